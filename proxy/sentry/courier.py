"""Takes what waits in the spool to Sentry: in the parent, one gateway at a time on one folder.

What Sentry does not take for now (it is away, it fails, it asks to wait) stays and is tried again; what it refuses for
good is counted and let go. A restart changes nothing of that.
"""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aiohttp import ClientError, ClientSession
from sentry_sdk.consts import EndpointType
from sentry_sdk.utils import Dsn

from proxy.policy.sentry import Sentry
from proxy.sentry.waiting import Kind, spool_in
from proxy.spooling.rounds import AT_ONCE, Rounds
from proxy.spooling.spool import Waiting
from proxy.telemetry.metrics import SENTRY_EVENTS, SENTRY_TRACES, SENTRY_TUNNEL, Family, Metrics

log = logging.getLogger("sluicegate.sentry")

ANSWER_S: Final = 15.0
FIRST_PAUSE_S: Final = 0.5
LAST_PAUSE_S: Final = 15.0
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
    LATER = "later"  # it waits; not counted


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


class Courier:
    """Follows policies; without a project it leaves everything where it is."""

    def __init__(self, data_dir: str, metrics: Metrics) -> None:
        self._spool = spool_in(data_dir)
        self._rounds = Rounds(self._spool, lambda: self._project is not None, self.round, ANSWER_S)
        self._metrics = metrics
        self._project: Project | None = None
        self._until: dict[Kind | None, float] = {}  # when each kind, or all (None), may be tried again
        self._pause_s = FIRST_PAUSE_S
        self._done: dict[str, int] = {}  # envelopes of a file that have gone already

    def follow(self, sentry: Sentry | None) -> None:
        self._project = Project.of(sentry.dsn) if sentry is not None else None

    def working(self) -> AbstractAsyncContextManager[None]:
        """While this lasts; at its end it tries once more, for a moment."""
        return self._rounds.working()

    async def round(self, session: ClientSession) -> None:
        """Bounds what waits, and sends what may go now. Raises: OSError."""
        if self._project is None:
            return
        for kind, count in (await asyncio.to_thread(self._spool.trim)).items():
            if count:
                self._metrics.inc(_FAMILIES[kind], "dropped", by=count)
        for one in await asyncio.to_thread(self._spool.waiting):
            if self._may(one.kind):
                await self._take(session, self._project, one)

    def _may(self, kind: Kind) -> bool:
        now_s = _now_s()
        return now_s >= self._until.get(None, 0.0) and now_s >= self._until.get(kind, 0.0)

    async def _take(self, session: ClientSession, project: Project, one: Waiting[Kind]) -> None:
        """The whole file, or as much of it as Sentry takes now."""
        envelopes = await asyncio.to_thread(self._spool.read, one.name) or []
        done = self._done.get(one.name, 0)
        while done < len(envelopes):
            batch = envelopes[done : done + AT_ONCE]
            results = await asyncio.gather(*(self._post(session, project, one.kind, body) for body in batch))
            for result in results:
                if result is Taken.LATER:
                    self._done[one.name] = done
                    return
                self._metrics.inc(_FAMILIES[one.kind], result.value)
                done += 1
        await asyncio.to_thread(self._spool.remove, one.name)
        self._done.pop(one.name, None)

    async def _post(self, session: ClientSession, project: Project, kind: Kind, body: bytes) -> Taken:
        try:
            async with session.post(project.url, data=body, headers=project.headers, allow_redirects=False) as answer:
                await answer.read()
                status, fields = answer.status, answer.headers
        except (ClientError, OSError, TimeoutError) as error:
            self._away(type(error).__name__)
            return Taken.LATER
        self._hear(fields.get("X-Sentry-Rate-Limits", ""))
        if status == 429:
            if "X-Sentry-Rate-Limits" not in fields:
                self._wait(None, _seconds(fields.get("Retry-After", "")))
            elif self._may(kind):  # it limits something of this kind that we do not know by name
                self._wait(kind, _seconds(fields.get("Retry-After", "")))
            return Taken.LATER
        if status >= 500 or status in (401, 403, 404, 408):  # what ops or Sentry mend: the DSN, the project, a proxy
            self._away(str(status))
            return Taken.LATER
        self._pause_s = FIRST_PAUSE_S
        if status >= 300:
            log.warning("Sentry refused an envelope", extra={"fields": {"status": status, "kind": kind.value}})
            return Taken.REFUSED
        return Taken.SENT

    def _away(self, why: str) -> None:
        if self._may_say():
            log.warning("Sentry cannot be reached: what it should hear waits", extra={"fields": {"error": why}})
        self._wait(None, self._pause_s)
        self._pause_s = min(2 * self._pause_s, LAST_PAUSE_S)

    def _may_say(self) -> bool:
        return self._pause_s == FIRST_PAUSE_S

    def _hear(self, limits: str) -> None:
        """``60:error;transaction:organization, …`` (https://develop.sentry.dev/sdk/expected-features/rate-limiting/)."""
        for limit in limits.split(","):
            seconds, _, rest = limit.strip().partition(":")
            if not seconds.isdigit():
                continue
            categories = [name for name in rest.partition(":")[0].split(";") if name]
            kinds = {_CATEGORIES.get(name) for name in categories} - {None} if categories else {None}
            for kind in kinds:
                self._wait(kind, _seconds(seconds))

    def _wait(self, kind: Kind | None, pause_s: float) -> None:
        self._until[kind] = max(self._until.get(kind, 0.0), _now_s() + pause_s)


def _seconds(text: str) -> float:
    return min(float(text), MOST_PAUSE_S) if text.isdigit() else 60.0


def _now_s() -> float:
    return asyncio.get_running_loop().time()
