"""Looks at what was spent as it is told of it, and has what is due fired: once, in the ledger's database.

Whoever tells does not wait. What is told within a moment is looked at together, and told again where the database was
away; and because levels are looked at and not crossings, everything that lives is looked at again now and then: a
process that died between a batch and its look has forgotten nothing that matters.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from proxy.alerts.alert import Firing, Mark
from proxy.alerts.watch import Granted, Hour, Watch
from proxy.core.clock import Clock
from proxy.core.usage import Charge, Spender, Spent
from proxy.store.waiting import until

MOST_REMEMBERED: Final = 100_000
AT_ONCE: Final = 200  # firings a transaction


class Book(Protocol):
    """What alerts read and write of a ledger. Its errors are those that ``Lookout`` is told to wait out."""

    async def living(self, now_ms: int) -> Sequence[Spent]:
        """What was spent in every period that has not ended."""

    async def standing(self, charges: Sequence[Charge]) -> Sequence[Spent]:
        """What was spent of these, where anything was."""

    async def granted(self, now_ms: int) -> Granted: ...

    async def hours(self, now_ms: int, at_least_nanousd: int) -> Sequence[Hour]:
        """Of tenants that spent at least so much within the last hour."""

    async def fire(self, firings: Sequence[Firing], now_ms: int) -> Collection[str]:
        """In one transaction; the ids of those that had not fired before."""


@dataclass(frozen=True, slots=True)
class Gait:
    """Seconds."""

    together_s: float = 0.2
    all_every_s: float = 600.0
    hours_every_s: float = 300.0
    first_pause_s: float = 0.5
    last_pause_s: float = 30.0


class Lookout:
    """``run`` until ``stop``. ``fired`` hears of what has fired just now, ``away`` of each attempt that failed: on the
    loop, and must raise nothing. ``passing``: the book's errors that pass."""

    def __init__(
        self,
        watch: Watch,
        book: Book,
        clock: Clock,
        *,
        passing: type[Exception],
        fired: Callable[[Sequence[Firing]], None],
        away: Callable[[str], None],
        gait: Gait | None = None,
    ) -> None:
        self._watch = watch
        self._book = book
        self._clock = clock
        self._passing = passing
        self._fired = fired
        self._away = away
        self._gait = gait or Gait()
        self._spent: dict[Charge, Spent] = {}
        self._refused: dict[tuple[Charge, str], tuple[Charge, Spender]] = {}  # one a tier
        self._violated: dict[tuple[str, str], None] = {}
        self._known: dict[Mark, None] = {}
        self._all_at_ms = self._hours_at_ms = clock.monotonic_ms()
        self._told = asyncio.Event()
        self._stopping = asyncio.Event()

    def spent(self, spent: Iterable[Spent]) -> None:
        """A batch was committed, and its budgets stand here: ``Written.spent``."""
        self._spent.update((one.charge, one) for one in spent)
        self._told.set()

    def refused(self, charge: Charge, spender: Spender) -> None:
        """A call did not fit into this budget."""
        self._refused[charge, spender.tier] = charge, spender
        self._told.set()

    def violated(self, route: str, tenant: str) -> None:
        """An answer named another tenant than this one, for whom it was."""
        self._violated[route, tenant] = None
        self._told.set()

    def reload(self, watch: Watch) -> None:
        """Everything is looked at with other eyes."""
        self._watch = watch
        self.look_at_all()

    def look_at_all(self) -> None:
        """After a rebuild, and when a grant was taken back."""
        self._all_at_ms = self._clock.monotonic_ms()
        self._told.set()

    def stop(self) -> None:
        self._stopping.set()
        self._told.set()

    async def run(self) -> None:
        pause_s = self._gait.first_pause_s
        while not self._stopping.is_set():
            self._told.clear()
            try:
                await self.look()
                pause_s, rest_s = self._gait.first_pause_s, self._gait.together_s
            except self._passing as error:
                self._away(type(error).__name__)
                pause_s, rest_s = min(pause_s * 2, self._gait.last_pause_s), pause_s
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not silence all alerts for good
                report = {"message": "looking for alerts failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(report)
                rest_s = self._gait.last_pause_s
            await self._rest(rest_s)

    async def look(self) -> None:
        """At what was told since the last time, and at what is due again. Raises: what the book raises; it is kept."""
        now_ms, monotonic_ms = self._clock.now_ms(), self._clock.monotonic_ms()
        at_all, at_hours = monotonic_ms >= self._all_at_ms, monotonic_ms >= self._hours_at_ms
        spent, refused, violated = self._spent, self._refused, self._violated
        if not (at_all or at_hours or spent or refused or violated):
            return
        # Before anything is awaited: what is told meanwhile is for the next time.
        self._spent, self._refused, self._violated = {}, {}, {}
        if at_all:
            self._all_at_ms = monotonic_ms + self._gait.all_every_s * 1000
        if at_hours:
            self._hours_at_ms = monotonic_ms + self._gait.hours_every_s * 1000
        try:
            firings = [
                *self._unknown(self._watch.judge_violations(violated, now_ms)),
                *await self._due(spent, list(refused.values()), now_ms, at_all=at_all, at_hours=at_hours),
            ]
            for start in range(0, len(firings), AT_ONCE):
                await self._fire(firings[start : start + AT_ONCE], now_ms)
        except self._passing:
            self._spent, self._refused = spent | self._spent, refused | self._refused
            self._violated = violated | self._violated
            self._all_at_ms = monotonic_ms if at_all else self._all_at_ms
            self._hours_at_ms = monotonic_ms if at_hours else self._hours_at_ms
            raise

    async def _due(
        self,
        spent: dict[Charge, Spent],
        refused: Sequence[tuple[Charge, Spender]],
        now_ms: int,
        *,
        at_all: bool,
        at_hours: bool,
    ) -> list[Firing]:
        """What is due and not known to have fired."""
        watch, book, unusual = self._watch, self._book, self._watch.alerts.unusual
        granted = await book.granted(now_ms)
        if at_all:
            spent = {**spent, **{one.charge: one for one in await book.living(now_ms)}}
        firings = [firing for one in spent.values() for firing in watch.judge(one, granted, now_ms)]
        if refused:
            stands = {one.charge: one.nanousd for one in await book.standing([charge for charge, _ in refused])}
            for charge, spender in refused:
                firings += watch.judge_refused(Spent(charge, stands.get(charge, 0), spender), granted, now_ms)
        if at_hours and unusual is not None:
            firings += watch.judge_hours(await book.hours(now_ms, unusual.at_least_nanousd), now_ms)
        return self._unknown(firings)

    def _unknown(self, firings: Iterable[Firing]) -> list[Firing]:
        due = {firing.alert.mark: firing for firing in firings if firing.alert.mark not in self._known}
        return list(due.values())

    async def _fire(self, firings: Sequence[Firing], now_ms: int) -> None:
        ids = await self._book.fire(firings, now_ms)
        if len(self._known) + len(firings) > MOST_REMEMBERED:
            self._known.clear()  # the database knows
        self._known.update((firing.alert.mark, None) for firing in firings)
        if ids:
            self._fired([firing for firing in firings if firing.id in ids])

    async def _rest(self, seconds: float) -> None:
        """At least so long, then until somebody tells something or something is due again."""
        await until(self._stopping, seconds)
        if not (self._spent or self._refused or self._violated):
            due_ms = min(self._all_at_ms, self._hours_at_ms) - self._clock.monotonic_ms()
            await until(self._told, due_ms / 1000)
