"""Takes traces that wait, and what is counted, to the policy's collector over OTLP/HTTP. Lives in the parent.

Traces stay in the spool until the collector has taken or refused them, or failed over them again and again while it
took others; one gateway at a time sends from a folder. Of metrics each gateway tells its own, every so often and once
more at its end.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from aiohttp import ClientError, ClientSession, ClientTimeout

from proxy import __version__
from proxy.otlp import extra
from proxy.otlp.waiting import Kind, spool_in
from proxy.policy.otlp import Otlp
from proxy.spooling.patience import Patience
from proxy.spooling.rounds import Rounds
from proxy.spooling.spool import Waiting
from proxy.telemetry.metrics import OTLP_PUSHES, OTLP_TRACES, Metrics
from proxy.telemetry.points import Told

if TYPE_CHECKING:
    from proxy.otlp.messages import Messages

log = logging.getLogger("sluicegate.otlp")

MOST_PAUSE_S: Final = 3600.0  # that a collector may ask for
LONGEST_ANSWER_S: Final = 60.0  # the policy's own timeout is shorter
LAST_ROUND_S: Final = 3.0  # for all that is still there when the gateway ends
AT_ONCE: Final = 200  # traces in one message
_TRACES: Final = "/v1/traces"
_METRICS: Final = "/v1/metrics"
_MENDED: Final = frozenset({401, 403, 404, 408, 429})  # by ops or with time; every 5xx, too


class Taken(StrEnum):
    """What became of a message: the metric's label."""

    SENT = "sent"
    PARTLY = "partly"  # the collector left some of it out
    REFUSED = "refused"  # for good
    LATER = "later"  # it is away or asks to wait: traces do, of metrics the next ones say it all
    FAILED = "failed"  # the same, so far as anybody can tell; or it fails over this message alone


@dataclass(frozen=True, slots=True)
class _Collector:
    """As the policy has it."""

    otlp: Otlp
    headers: dict[str, str]
    messages: "Messages"
    timeout: ClientTimeout
    patience: Patience[Kind] = field(default_factory=lambda: Patience(Kind))


class Courier:
    """Follows policies; without a collector it leaves everything where it is, and imports nothing for it.

    ``told``: what all sheets say, and ``began_s`` since when (seconds since 1970).
    """

    def __init__(self, data_dir: str, metrics: Metrics, told: Callable[[], Iterable[Told]], began_s: float) -> None:
        self._spool = spool_in(data_dir)
        self._rounds = Rounds(self._spool, self._hears_traces, (self.round,), LONGEST_ANSWER_S, LAST_ROUND_S)
        self._metrics = metrics
        self._told = told
        self._began_s = began_s
        self._instance = secrets.token_hex(16)
        self._collector: _Collector | None = None
        self._said_away = False
        self._done: dict[str, int] = {}  # traces of a file that have gone already
        self._followed = asyncio.Event()  # there may be another collector

    def follow(self, otlp: Otlp | None) -> None:
        """From now on by this policy. Raises: ImportError, where the extra is missing."""
        if otlp is None:
            self._collector = None
        elif self._collector is None or self._collector.otlp != otlp:
            resource = {
                "service.name": "sluicegate",
                "service.version": __version__,
                "service.instance.id": self._instance,
                **dict(otlp.resource),
            }
            headers = {**dict(otlp.headers), "Content-Type": "application/x-protobuf"}
            timeout = ClientTimeout(total=otlp.timeout_ms / 1000)
            self._collector = _Collector(otlp, headers, extra.load()(resource), timeout)
            self._said_away = False
        self._followed.set()

    def _hears_traces(self) -> bool:
        return self._collector is not None and self._collector.otlp.sample_rate is not None

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """While this lasts; at its end what is there is sent, for a moment."""
        pushing = asyncio.create_task(self._push_every(), name="otlp metrics")
        try:
            async with self._rounds.working():
                yield
                await self._last_push()
        finally:
            pushing.cancel()
            await asyncio.wait({pushing})

    # --- traces ---

    async def round(self, session: ClientSession) -> None:
        """Bounds what waits, and sends what may go now. Raises: OSError."""
        dropped = (await asyncio.to_thread(self._spool.trim))[Kind.TRACE]
        if dropped:
            self._metrics.inc(OTLP_TRACES, "dropped", by=dropped)
        collector, files = self._collector, await asyncio.to_thread(self._spool.waiting)
        if collector is None or not self._hears_traces():
            return
        patience, here = collector.patience, {one.name for one in files}
        patience.forget(Kind.TRACE, here)
        self._done = {name: done for name, done in self._done.items() if name in here}
        for one in sorted(files, key=patience.doubts):
            if collector is not self._collector or not patience.may(Kind.TRACE, _now_s()):
                return
            if patience.may_file(one, _now_s()):
                await self._take(session, collector, one)

    async def _take(self, session: ClientSession, collector: _Collector, one: Waiting[Kind]) -> None:
        """The whole file, or as much of it as the collector takes now."""
        traces = await asyncio.to_thread(self._spool.read, one.name) or []
        done = self._done.get(one.name, 0)
        while done < len(traces):
            batch = traces[done : done + AT_ONCE]
            taken = await self._send_traces(session, collector, batch)
            if taken is Taken.LATER or (taken is Taken.FAILED and self._is_tried_again(collector, one)):
                self._done[one.name] = done
                return
            if taken is Taken.FAILED:
                self._metrics.inc(OTLP_TRACES, "dropped", by=len(traces) - done)
                break
            collector.patience.took(Kind.TRACE)
            self._metrics.inc(OTLP_TRACES, taken.value, by=len(batch))
            done += len(batch)
        await asyncio.to_thread(self._spool.remove, one.name)
        self._done.pop(one.name, None)

    def _is_tried_again(self, collector: _Collector, one: Waiting[Kind]) -> bool:
        collector.patience.failed(Kind.TRACE, _now_s())
        if collector.patience.put_off(one, _now_s()):
            return True
        log.warning("the collector fails over what others get through: given up")
        return False

    async def _send_traces(self, session: ClientSession, collector: _Collector, traces: list[bytes]) -> Taken:
        messages = collector.messages
        try:
            body = await asyncio.to_thread(messages.traces, traces)
        except ValueError:  # of another version, or somebody else's
            log.warning("a file of traces cannot be read")
            return Taken.REFUSED
        return await self._post(session, collector, _TRACES, body, messages.rejected_spans)

    # --- metrics ---

    async def _push_every(self) -> None:
        """At the policy's pace, the first when that has passed once."""
        async with ClientSession() as session:
            while True:
                self._followed.clear()
                collector = self._collector
                every_ms = collector.otlp.every_ms if collector is not None else None
                try:
                    async with asyncio.timeout(None if every_ms is None else every_ms / 1000):
                        await self._followed.wait()
                except TimeoutError:
                    await self.push(session)

    async def _last_push(self) -> None:
        async with ClientSession() as session:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_ROUND_S):
                    await self.push(session)

    async def push(self, session: ClientSession) -> None:
        """Tells all that is counted, if anybody is to hear."""
        collector = self._collector
        if collector is None or collector.otlp.every_ms is None:
            return
        messages, told = collector.messages, list(self._told())
        body = await asyncio.to_thread(messages.metrics, told, self._began_s, time.time())
        taken = await self._post(session, collector, _METRICS, body, messages.rejected_points)
        self._metrics.inc(OTLP_PUSHES, (Taken.LATER if taken is Taken.FAILED else taken).value)

    # --- either ---

    async def _post(
        self, session: ClientSession, collector: _Collector, path: str, body: bytes, rejected: Callable[[bytes], int]
    ) -> Taken:
        url, headers = collector.otlp.endpoint + path, collector.headers
        try:
            async with session.post(
                url, data=body, headers=headers, allow_redirects=False, timeout=collector.timeout
            ) as answer:
                told = await answer.read()
                status, retry_after = answer.status, answer.headers.get("Retry-After", "")
        except (ClientError, OSError, TimeoutError) as error:
            self._say_away(type(error).__name__)
            return Taken.FAILED
        if status >= 500 or status in _MENDED:
            self._say_away(str(status))
            if not retry_after.isdigit():
                return Taken.FAILED
            collector.patience.wait(None, min(float(retry_after), MOST_PAUSE_S), _now_s())
            return Taken.LATER
        self._said_away = False
        if status >= 300:
            log.warning("the collector refused a message", extra={"fields": {"status": status, "path": path}})
            return Taken.REFUSED
        if left_out := rejected(told):
            fields = {"path": path, "left_out": left_out}
            log.warning("the collector left out a part of a message", extra={"fields": fields})
            return Taken.PARTLY
        return Taken.SENT

    def _say_away(self, why: str) -> None:
        if not self._said_away:
            log.warning("the collector cannot be reached: traces for it wait", extra={"fields": {"error": why}})
        self._said_away = True


def _now_s() -> float:
    return asyncio.get_running_loop().time()
