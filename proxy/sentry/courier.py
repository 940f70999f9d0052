"""Takes what waits in the spool to Sentry: in the parent, one gateway at a time on one folder.

What Sentry does not take for now (it is away, it fails, it asks to wait) stays and is tried again; what it refuses for
good, and what it fails over again and again while it takes the rest, is counted and let go. A restart changes nothing
of that.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Final

from aiohttp import ClientError, ClientSession
from sentry_sdk.consts import EndpointType
from sentry_sdk.utils import Dsn

from proxy.policy.sentry import Sentry
from proxy.sentry.waiting import Kind, spool_in
from proxy.spooling.patience import Patience
from proxy.spooling.rounds import AT_ONCE, Rounds, Turn
from proxy.spooling.spool import Waiting
from proxy.telemetry.metrics import SENTRY_EVENTS, SENTRY_TRACES, SENTRY_TUNNEL, Family, Metrics

log = logging.getLogger("sluicegate.sentry")

ANSWER_S: Final = 15.0
TURN_S: Final = 2.0  # that new ones of a kind wait at the most for one that is slow
MOST_PAUSE_S: Final = 3600.0  # that Sentry may ask for
_CLIENT: Final = "sluicegate"
_FAMILIES: Final[dict[Kind, Family]] = {
    Kind.ERROR: SENTRY_EVENTS,
    Kind.TRACE: SENTRY_TRACES,
    Kind.BROWSER: SENTRY_TUNNEL,
}
_CATEGORIES: Final = {"error": Kind.ERROR, "transaction": Kind.TRACE, "span": Kind.TRACE}


class Taken(StrEnum):
    """What became of an envelope: the metric's label."""

    SENT = "sent"
    REFUSED = "refused"
    FAILED = "failed"  # neither it nor those below are counted: they wait
    LATER = "later"  # Sentry asks to wait


_SETTLED: Final = frozenset({Taken.SENT, Taken.REFUSED})


@dataclass(frozen=True, slots=True)
class Project:
    """Where a DSN leads."""

    url: str
    headers: dict[str, str]

    @classmethod
    def of(cls, dsn: str) -> "Project":
        """Raises: ValueError."""
        auth = Dsn(dsn).to_auth(_CLIENT)
        return cls(
            str(auth.get_api_url(EndpointType.ENVELOPE)),
            {"Content-Type": "application/x-sentry-envelope", "X-Sentry-Auth": str(auth.to_header())},
        )


@dataclass(frozen=True, slots=True)
class _Line:
    """To one project, which is told nothing that another has said of itself."""

    project: Project
    patience: Patience[Kind]


@dataclass(frozen=True, slots=True)
class _Lane:
    """Of one kind."""

    going: dict[str, asyncio.Task[None]] = field(default_factory=dict)  # files, by name
    gone: dict[str, set[int]] = field(default_factory=dict)  # which envelopes of a file have
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))  # for envelopes


class Courier:
    """Follows policies; without a project it leaves everything where it is. No kind waits for another."""

    def __init__(self, data_dir: str, metrics: Metrics) -> None:
        self._spool = spool_in(data_dir)
        turns: tuple[Turn, ...] = (self._bound, *(partial(self._turn, kind) for kind in Kind))
        self._rounds = Rounds(self._spool, lambda: self._line is not None, turns, ANSWER_S)
        self._metrics = metrics
        self._line: _Line | None = None
        self._lanes = {kind: _Lane() for kind in Kind}
        self._said_away: set[Kind] = set()

    def follow(self, sentry: Sentry | None) -> None:
        project = Project.of(sentry.dsn) if sentry is not None else None
        if project is None:
            self._line = None
        elif self._line is None or self._line.project != project:
            self._line = _Line(project, Patience(Kind))
            self._said_away.clear()

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """While this lasts; at its end it tries once more, for a moment."""
        try:
            async with self._rounds.working():
                yield
        finally:
            late = [task for lane in self._lanes.values() for task in lane.going.values()]
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _bound(self, _: ClientSession) -> None:
        """Raises: OSError."""
        if self._line is not None:
            for kind, count in (await asyncio.to_thread(self._spool.trim)).items():
                if count:
                    self._metrics.inc(_FAMILIES[kind], "dropped", by=count)

    async def _turn(self, kind: Kind, session: ClientSession) -> None:
        """Sends what may go now, and waits for it only so long. Raises: OSError."""
        line, lane = self._line, self._lanes[kind]
        if line is not None and line.patience.may(kind, _now_s()):
            await self._begin(kind, session, line, lane)
        if lane.going:
            await asyncio.wait(lane.going.values(), timeout=TURN_S)

    async def _begin(self, kind: Kind, session: ClientSession, line: _Line, lane: _Lane) -> None:
        """With all that may go now, as places get free. Raises: OSError."""
        files = await asyncio.to_thread(self._spool.waiting, kind)
        here = {one.name for one in files}
        line.patience.forget(kind, here)
        for name in [name for name in lane.gone if name not in here and name not in lane.going]:
            del lane.gone[name]
        for one in sorted(files, key=line.patience.doubts):
            if one.name in lane.going or not line.patience.may_file(one, _now_s()):
                continue
            while len(lane.going) >= line.patience.places(kind, AT_ONCE):
                await asyncio.wait(lane.going.values(), return_when=asyncio.FIRST_COMPLETED)
            if line is not self._line or not line.patience.may(kind, _now_s()):
                break
            task = lane.going[one.name] = asyncio.create_task(self._take(session, line, lane, one))
            task.add_done_callback(lambda _, name=one.name: lane.going.pop(name))  # type: ignore[misc]

    async def _take(self, session: ClientSession, line: _Line, lane: _Lane, one: Waiting[Kind]) -> None:
        """The whole file, or as much of it as Sentry takes now."""
        try:
            envelopes = await asyncio.to_thread(self._spool.read, one.name) or []
            gone = lane.gone.setdefault(one.name, set())
            left = [number for number in range(len(envelopes)) if number not in gone]
            sent = (self._send(session, line, one.kind, envelopes[number], number, gone) for number in left)
            failed = Taken.FAILED in await asyncio.gather(*sent)
            left_over = len(envelopes) - len(gone)
            if left_over and not (failed and self._is_given_up(line, one, left_over)):
                return
            await asyncio.to_thread(self._spool.remove, one.name)
            lane.gone.pop(one.name, None)
        except OSError as error:
            line.patience.put_off(one, _now_s())
            self._rounds.report(error)

    def _is_given_up(self, line: _Line, one: Waiting[Kind], count: int) -> bool:
        if line.patience.put_off(one, _now_s()):
            return False
        log.warning("Sentry fails over what others get through: given up", extra={"fields": {"kind": one.kind.value}})
        self._metrics.inc(_FAMILIES[one.kind], "dropped", by=count)
        return True

    async def _send(
        self, session: ClientSession, line: _Line, kind: Kind, body: bytes, number: int, gone: set[int]
    ) -> Taken:
        """One envelope, which is counted as soon as that is known: whoever waits for others of its file may end."""
        async with self._lanes[kind].places:
            if not line.patience.may(kind, _now_s()):
                return Taken.LATER
            taken = await self._post(session, line, kind, body)
        if taken in _SETTLED:
            self._metrics.inc(_FAMILIES[kind], taken.value)
            gone.add(number)
        return taken

    async def _post(self, session: ClientSession, line: _Line, kind: Kind, body: bytes) -> Taken:
        project, patience = line.project, line.patience
        try:
            async with session.post(project.url, data=body, headers=project.headers, allow_redirects=False) as answer:
                await answer.read()
                status, fields = answer.status, answer.headers
        except (ClientError, OSError, TimeoutError) as error:
            return self._failed(patience, kind, type(error).__name__)
        _hear(patience, fields.get("X-Sentry-Rate-Limits", ""))
        if status == 429:
            if "X-Sentry-Rate-Limits" not in fields:
                patience.wait(None, _seconds(fields.get("Retry-After", "")), _now_s())
            elif patience.may(kind, _now_s()):  # it limits something of this kind that we do not know by name
                patience.wait(kind, _seconds(fields.get("Retry-After", "")), _now_s())
            return Taken.LATER
        if status >= 500 or status in (401, 403, 404, 408):  # what ops or Sentry mend: the DSN, the project, a proxy
            return self._failed(patience, kind, str(status))
        patience.took(kind)
        self._said_away.discard(kind)
        if status >= 300:
            log.warning("Sentry refused an envelope", extra={"fields": {"status": status, "kind": kind.value}})
            return Taken.REFUSED
        return Taken.SENT

    def _failed(self, patience: Patience[Kind], kind: Kind, why: str) -> Taken:
        if patience.failed(kind, _now_s()) and kind not in self._said_away:
            self._said_away.add(kind)
            fields = {"error": why, "kind": kind.value}
            log.warning("Sentry cannot be reached: what it should hear waits", extra={"fields": fields})
        return Taken.FAILED


def _hear(patience: Patience[Kind], limits: str) -> None:
    """``60:error;transaction:organization, …`` (https://develop.sentry.dev/sdk/expected-features/rate-limiting/)."""
    for limit in limits.split(","):
        seconds, _, rest = limit.strip().partition(":")
        if not seconds.isdigit():
            continue
        categories = [name for name in rest.partition(":")[0].split(";") if name]
        kinds = {_CATEGORIES.get(name) for name in categories} - {None} if categories else {None}
        for kind in kinds:
            patience.wait(kind, _seconds(seconds), _now_s())


def _seconds(text: str) -> float:
    return min(float(text), MOST_PAUSE_S) if text.isdigit() else 60.0


def _now_s() -> float:
    return asyncio.get_running_loop().time()
