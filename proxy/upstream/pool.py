"""The connections to one origin, in one worker: last used first, bounded, with a line of those who wait."""

import asyncio
import ssl
from collections import deque
from math import inf
from typing import Final

from proxy.core.errors import GatewayError, Reason
from proxy.policy.model import Origin
from proxy.upstream.connect import open_connection
from proxy.upstream.connection import Connection
from proxy.upstream.cork import Cork
from proxy.upstream.framing import idle_limit_s

SHUN_S: Final = 1.0  # after a failed connect the origin is the last choice for so long

_Waiter = asyncio.Future[Connection | None]


class Pool:
    """Connections to one origin. ``max_connections`` counts busy, idle and opening ones.

    The line is first come, first served: whoever waits gets the first connection that becomes free, or the place of
    one that closed. ``shunned_until`` is a time of the loop's clock.
    """

    def __init__(self, origin: Origin, tls: ssl.SSLContext | None, *, max_connections: int, keepalive_ms: int) -> None:
        self.origin = origin
        self.shunned_until = -inf
        self._tls = tls
        self._max = max_connections
        self._keepalive_s = keepalive_ms / 1000
        self._loop = asyncio.get_running_loop()
        self.cork = Cork(self._loop)
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._places = 0  # connections, and those being opened
        self._line: deque[tuple[_Waiter, float]] = deque()
        self._retired = False

    @property
    def in_flight(self) -> int:
        """Connections that serve a request or are being opened for one, and requests in the line."""
        return self._places - len(self._idle) + len(self._line)

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to sweep."""
        return self._places == 0 and not self._line

    def take(self, *, probe: bool) -> Connection | None:
        """The idle connection that was used last, or None. Never waits.

        ``probe`` asks the kernel whether the upstream has closed it meanwhile: worth 1 µs where the request could not
        be sent a second time (RFC 9112 §9.3.1).
        """
        idle = self._idle
        while idle:
            connection = idle.pop()
            if probe and connection.readable():
                connection.abort()
                continue
            connection.deadline = inf
            return connection
        return None

    async def acquire(self, connect_ms: int) -> Connection:
        """A connection for a request: opened, or after waiting in the line. ``connect_ms`` bounds each of the two.

        Raises: GatewayError OVERLOADED when the line did not move in time, and those of ``open_connection``.
        """
        while self._places >= self._max:
            connection = await self._wait(connect_ms / 1000)
            if connection is None:
                break  # a place, counted already
            if not connection.closed:  # else it closed between hand-over and now
                return connection
        else:
            self._places += 1
        try:
            connection = await open_connection(self.origin, self._tls, connect_ms, self)
        except GatewayError:
            self.shunned_until = self._loop.time() + SHUN_S
            self._leave_place()
            raise
        except BaseException:
            self._leave_place()
            raise
        if connection.closed:  # the upstream spoke or hung up at once
            self._leave_place()
            raise GatewayError(Reason.UPSTREAM_RESET)
        self._all.add(connection)
        return connection

    async def _wait(self, limit_s: float) -> Connection | None:
        """The first free connection, or None: a place to open one in, already counted."""
        waiter: _Waiter = self._loop.create_future()
        entry = (waiter, self._loop.time() + limit_s)
        self._line.append(entry)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._pass_on(waiter.result())
            elif entry in self._line:
                self._line.remove(entry)
            raise

    def _pass_on(self, connection: Connection | None) -> None:
        if connection is None:
            self._leave_place()
        elif not connection.closed:
            self.released(connection)

    def _next(self) -> _Waiter | None:
        while self._line:
            waiter, _ = self._line.popleft()
            if not waiter.done():
                return waiter
        return None

    def _leave_place(self) -> None:
        """A connection is gone or was never made: whoever is first in the line may open one instead."""
        waiter = self._next()
        if waiter is None:
            self._places -= 1
        else:
            waiter.set_result(None)

    # --- the connections' side ---------------------------------------------------------------------------------

    def released(self, connection: Connection) -> None:
        """A connection has done its exchange and may serve again."""
        if self._retired:
            connection.abort()
            return
        waiter = self._next() if self._line else None
        if waiter is not None:
            waiter.set_result(connection)
            return
        keepalive_s = self._keepalive_s
        if connection.served == 1:
            limit_s = idle_limit_s(connection.answer_headers)
            connection.keep_s = keepalive_s if limit_s is None else min(limit_s, keepalive_s)
        connection.deadline = self._loop.time() + connection.keep_s
        self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        """A connection is closed."""
        if connection in self._all:
            self._all.remove(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._leave_place()

    # --- time and the end --------------------------------------------------------------------------------------

    def sweep(self, now_s: float) -> None:
        """End what is past its time: idle connections, answers, uploads, waits in the line."""
        for connection in [c for c in self._all if c.deadline <= now_s or c.stalled <= now_s]:
            connection.expire()
        for waiter, until_s in list(self._line):
            if until_s <= now_s and not waiter.done():
                waiter.set_exception(GatewayError(Reason.OVERLOADED, retry_after_ms=1000))
        while self._line and self._line[0][0].done():
            self._line.popleft()

    def retire(self) -> None:
        """No longer wanted: idle connections close now, busy ones when they are done. Still usable meanwhile."""
        self._retired = True
        for connection in list(self._idle):
            connection.abort()

    def revive(self) -> None:
        """Wanted again."""
        self._retired = False

    def abort(self) -> None:
        """Close everything at once; requests under way get UPSTREAM_RESET."""
        self._retired = True
        while (waiter := self._next()) is not None:
            waiter.set_exception(GatewayError(Reason.UPSTREAM_RESET))
        for connection in list(self._all):
            connection.fail(GatewayError(Reason.UPSTREAM_RESET))
