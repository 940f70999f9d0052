"""All upstreams of one worker: chooses origins, sends requests, retries where that is safe, follows the policy.

Retries (RFC 9110 §9.2.2, RFC 9112 §9.3.1): a failed connect tries the next origin, for nothing was sent; a reused
connection that ends before the first byte of an answer is replaced once, if the method is idempotent, the body can be
sent again and the route allows it. Nothing else is retried.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.core.errors import GatewayError, Reason
from proxy.policy.model import Origin, Timeouts, Upstream
from proxy.upstream.answer import OnInterim
from proxy.upstream.connect import tls_context
from proxy.upstream.connection import Connection
from proxy.upstream.pool import Pool
from proxy.upstream.response import Response
from proxy.upstream.upload import SLICE, Body, slices

IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})  # RFC 9110 §9.2.2; TRACE is refused
SWEEP_S: Final = 0.1  # how late a deadline may be noticed

HeadFor = Callable[[Origin], bytes]  # the request's head for this origin: its Host and base path differ

_PoolKey = tuple[Origin, int, int, str | None, int]
_NEXT_ORIGIN: Final = frozenset({Reason.UPSTREAM_REFUSED, Reason.UPSTREAM_TLS, Reason.UPSTREAM_TIMEOUT})


@dataclass(slots=True)
class Attempt:
    """What happened on the way to the upstream, for the log and the metrics; filled in as it happens."""

    origin: Origin | None = None
    connect_ms: float = 0.0  # spent on getting a connection: the line, failed origins, TLS; 0 when one was idle
    reused: bool = False
    retried: bool = False  # a stale connection was replaced
    failed_connects: int = 0  # origins that were passed over
    failures: tuple[tuple[Origin, Reason], ...] = ()  # those, and the origin of a stale connection, in their order
    sent: bool = False  # something of the request went out, so that the upstream may have acted on it


class _Group:
    """The origins of one upstream, in rotation."""

    __slots__ = ("_next", "pools", "upstream")

    def __init__(self, upstream: Upstream, pools: tuple[Pool, ...]) -> None:
        self.upstream = upstream  # held, so that its id() stays its own
        self.pools = pools
        self._next = 0

    def pick(self, now_s: float, passed_over: Iterable[Pool] = ()) -> Pool | None:
        """The pool with the fewest in flight, in turn among equals; those that lately failed to connect come last."""
        pools = self.pools
        count = len(pools)
        self._next = start = (self._next + 1) % count
        best: Pool | None = None
        best_rank = (True, 0)
        for step in range(count):
            pool = pools[(start + step) % count]
            if pool in passed_over:
                continue
            rank = (pool.shunned_until > now_s, pool.in_flight)
            if best is None or rank < best_rank:
                best, best_rank = pool, rank
        return best


class Upstreams:
    """Made and used on one loop. ``apply`` before the first ``send``, and again after each reload of the policy."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._groups: dict[int, _Group] = {}  # by id(): hashing an Upstream would cost as much as sending a request
        self._by_value: dict[Upstream, _Group] = {}
        self._pools: dict[_PoolKey, Pool] = {}
        self._retired: dict[_PoolKey, Pool] = {}
        self._stamps: dict[str | None, int] = {}
        self._contexts: dict[tuple[str | None, int], ssl.SSLContext] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def apply(self, upstreams: Iterable[Upstream]) -> None:
        """Make these the upstreams. Pools whose origin and settings stay are kept, with their connections.

        Others finish what is under way; a request that began under the old policy may still send. A CA file that
        changed on disk makes new pools. Raises: OSError when a CA file can't be used; then nothing has changed. One
        call at a time.
        """
        upstreams = tuple(upstreams)
        secure = [upstream for upstream in upstreams if any(origin.scheme == "https" for origin in upstream.primary)]
        for ca_file in {upstream.ca_file for upstream in secure}:
            stamp = await asyncio.to_thread(_ca_stamp, ca_file)
            if (ca_file, stamp) not in self._contexts:
                self._contexts[ca_file, stamp] = await asyncio.to_thread(tls_context, ca_file)
            self._stamps[ca_file] = stamp
        known, self._pools = self._retired | self._pools, {}
        self._by_value = {upstream: self._group(upstream, known) for upstream in upstreams}
        self._groups = {id(upstream): self._by_value[upstream] for upstream in upstreams}
        self._retired = {key: pool for key, pool in known.items() if key not in self._pools}
        for pool in self._retired.values():
            pool.retire()
        self._watch()

    def _group(self, upstream: Upstream, known: dict[_PoolKey, Pool]) -> _Group:
        pools = []
        for origin in upstream.primary:
            secure = origin.scheme == "https"
            stamp = self._stamps[upstream.ca_file] if secure else 0
            key = (origin, upstream.max_connections, upstream.keepalive_ms, upstream.ca_file, stamp)
            pool = self._pools.get(key) or known.get(key)
            if pool is None:
                pool = Pool(
                    origin,
                    self._contexts[upstream.ca_file, stamp] if secure else None,
                    max_connections=upstream.max_connections,
                    keepalive_ms=upstream.keepalive_ms,
                )
            pool.revive()
            self._pools[key] = pool
            pools.append(pool)
        return _Group(upstream, tuple(pools))

    def _late(self, upstream: Upstream) -> _Group:
        """For a request that began under a policy that has been replaced meanwhile.

        Raises: KeyError for a TLS upstream that was never applied.
        """
        group = self._by_value.get(upstream)
        if group is None:
            current, self._pools = self._pools, {}
            group = self._group(upstream, current | self._retired)
            late, self._pools = self._pools, current
            for key, pool in late.items():
                if key not in current:
                    pool.retire()
                    self._retired[key] = pool
        return group

    async def send(
        self,
        upstream: Upstream,
        method: bytes,
        head_for: HeadFor,
        body: Body = None,
        *,
        framing: int,
        retryable: bool,
        timeouts: Timeouts,
        attempt: Attempt,
        on_interim: OnInterim | None = None,
    ) -> Response:
        """Send one request and return the final answer as soon as its head is there, or all of it if it came at once.

        ``framing`` is that of the head (NO_BODY, CHUNKED or a length); the body gets its chunks and is held to its
        length here. ``retryable`` is the route's word. ``on_interim`` gets each 1xx but 101. Cancelled, it drops the
        connection at once, also while the upload is held up. An answer of 300 and above that comes before the upload's
        end stops the upload, as does any that is complete; beside a 2xx that streams the upload goes on, until the
        answer's end or its ``close()``. Neither connection serves again.
        Raises: GatewayError UPSTREAM_*; OVERLOADED (no connection free in time); BAD_FRAMING; what the body's iterator
        raises.
        """
        group = self._groups.get(id(upstream)) or self._late(upstream)
        whole = body is None or isinstance(body, bytes)
        short = isinstance(body, bytes) and len(body) == framing and framing <= SLICE
        replayable = retryable and whole and method in IDEMPOTENT
        pool = group.pools[0] if len(group.pools) == 1 else group.pick(self._loop.time())
        assert pool is not None
        connection = pool.take(probe=not replayable)
        if self._sweeper is None:
            self._watch()
        while True:
            if connection is None:
                pool, connection = await self._open(group, pool, timeouts, attempt)
            attempt.origin = pool.origin
            attempt.reused = connection.served > 0
            try:
                head = head_for(pool.origin)
            except BaseException:
                connection.abort()
                raise
            attempt.sent = True
            answer = connection.start(
                head + body if short else head,  # type: ignore[operator]
                head_request=method == b"HEAD",
                first_byte_s=timeouts.first_byte_ms / 1000,
                idle_s=timeouts.idle_ms / 1000,
                on_interim=on_interim,
            )
            try:
                if body is None or short:
                    return await answer
                return await self._upload(connection, answer, body, framing)
            except asyncio.CancelledError:
                connection.abort()
                raise
            except GatewayError as error:
                stale = attempt.reused and not connection.heard and error.reason is Reason.UPSTREAM_RESET
                if not (stale and replayable) or attempt.retried:
                    raise
                attempt.failures += ((pool.origin, error.reason),)
            attempt.retried = True
            connection = None

    async def _upload(
        self, connection: Connection, answer: asyncio.Future[Response], body: bytes | AsyncIterator[bytes], framing: int
    ) -> Response:
        """The answer to a request whose body is sent while it is awaited."""
        connection.start_upload(slices(body) if isinstance(body, bytes) else body, framing)
        try:
            response = await answer
        except asyncio.CancelledError:
            connection.abort()
            await connection.stop_upload()
            raise
        except BaseException:
            await connection.stop_upload()
            raise
        if response.status >= 300 or response.body_complete:
            await connection.stop_upload()
        return response

    async def _open(self, group: _Group, pool: Pool, timeouts: Timeouts, attempt: Attempt) -> tuple[Pool, Connection]:
        """A connection to this origin, or to the next that accepts one."""
        started_s = self._loop.time()
        failed: list[Pool] = []
        while True:
            try:
                connection = await pool.acquire(timeouts.connect_ms)
            except GatewayError as error:
                failed.append(pool)
                attempt.origin = pool.origin
                attempt.failed_connects = len(failed)
                attempt.failures += ((pool.origin, error.reason),)
                attempt.connect_ms = (self._loop.time() - started_s) * 1000
                other = group.pick(self._loop.time(), failed) if error.reason in _NEXT_ORIGIN else None
                if other is None:
                    raise
                pool = other
                idle = pool.take(probe=True)
                if idle is None:
                    continue
                connection = idle
            attempt.connect_ms = (self._loop.time() - started_s) * 1000
            return pool, connection

    # --- time and the end --------------------------------------------------------------------------------------

    def _watch(self) -> None:
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now_s = self._loop.time()
        busy = False
        for pool in (*self._pools.values(), *self._retired.values()):
            pool.sweep(now_s)
            busy = busy or not pool.quiet
        self._retired = {key: pool for key, pool in self._retired.items() if not pool.quiet}
        if busy:
            self._watch()

    def close(self) -> None:
        """Drop every connection at once. Requests under way get UPSTREAM_RESET."""
        for pool in (*self._pools.values(), *self._retired.values()):
            pool.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None


def _ca_stamp(ca_file: str | None) -> int:
    """Changes when the file does: its time of change in nanoseconds. 0 for the system's certificates."""
    return Path(ca_file).stat().st_mtime_ns if ca_file is not None else 0
