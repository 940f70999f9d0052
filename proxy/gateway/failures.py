"""What failed of late, for whoever looks at the dashboard: a worker tells its parent of a few failures a second, and
the parent keeps the newest.

Counts and log lines tell of all of them; this is to see at a glance whom it hits. What a client did wrong is no failure
of ours, nor is maintenance. Never a query, a field or a body: what the log line says, and less.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from proxy.core.errors import ERRORS, Fault, Reason
from proxy.gateway.control import Failed, Failure, Message
from proxy.gateway.exchange import Exchange

GATHER_S: Final = 0.5
MOST_AT_ONCE: Final = 20  # of one worker in GATHER_S: the first ones
MOST_KEPT: Final = 100
MAX_TEXT: Final = 200  # characters of a path or a name

_NO_ROUTE: Final = "none"
_FIRST_SERVER_ERROR: Final = 500

Say = Callable[[Message], Awaitable[None]]


def is_failure(status: int, reason: Reason | None) -> bool:
    """Of the app, which answers 5xx without any reason of ours, or of gateway, upstream or store."""
    if reason is None:
        return status >= _FIRST_SERVER_ERROR
    return ERRORS[reason].fault is not Fault.CLIENT and reason is not Reason.MAINTENANCE


def failure_of(exchange: Exchange, at_ms: int, elapsed_s: float) -> Failure:
    """``at_ms``: epoch, its end. What clients choose is cut, and may hold anything."""
    identity, attempt = exchange.identity, exchange.attempt
    origin = None if attempt is None else attempt.origin
    return Failure(
        at_ms=at_ms,
        request_id=exchange.request_id,
        method=exchange.method[:MAX_TEXT],
        path=_sound(exchange.path),
        route=exchange.route.name if exchange.route is not None else _NO_ROUTE,
        status=exchange.status,
        reason=exchange.reason.value if exchange.reason is not None else "",
        tenant=None if identity is None or identity.tenant is None else _sound(identity.tenant),
        upstream="" if origin is None else origin.authority,
        ms=round(elapsed_s * 1000, 1),
    )


def _sound(text: str) -> str:
    """JSON can say it: a path holds bytes as they came, and a token may hold half a character."""
    return text[:MAX_TEXT].encode("utf-8", "backslashreplace").decode()


class Failures:
    """A worker's end. Before ``open`` nothing is told."""

    def __init__(self) -> None:
        self._gathered: list[Failure] = []
        self._say: Say | None = None
        self._saying: set[asyncio.Task[None]] = set()

    def open(self, say: Say) -> None:
        self._say = say

    def ended(self, exchange: Exchange, at_ms: int, elapsed_s: float) -> None:
        """A request with a reason or a status of a server's error."""
        if len(self._gathered) >= MOST_AT_ONCE or self._say is None or not is_failure(exchange.status, exchange.reason):
            return
        if not self._gathered:
            asyncio.get_running_loop().call_later(GATHER_S, self._tell)
        self._gathered.append(failure_of(exchange, at_ms, elapsed_s))

    def _tell(self) -> None:
        gathered, self._gathered = self._gathered, []
        assert self._say is not None
        task = asyncio.ensure_future(self._say(Failed(tuple(gathered))))
        self._saying.add(task)  # the loop itself keeps no hold of it
        task.add_done_callback(self._saying.discard)


class RecentFailures:
    """The parent's: the newest of all workers."""

    def __init__(self) -> None:
        self._kept: deque[Failure] = deque(maxlen=MOST_KEPT)

    def add(self, failures: Iterable[Failure]) -> None:
        self._kept.extend(failures)

    def newest(self, most: int) -> list[Failure]:
        """The latest first."""
        return sorted(self._kept, key=lambda one: one.at_ms, reverse=True)[:most]
