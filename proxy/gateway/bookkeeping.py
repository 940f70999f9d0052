"""What the background process does with the ledger, for as long as it lives: each task by itself, so that one that
waits for a database holds up no other."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from redis.exceptions import RedisError

from proxy.core.clock import Clock
from proxy.core.usage import Charge, Spender
from proxy.gateway.alerting import Alerting
from proxy.gateway.control import Granted as GrantedMessage
from proxy.gateway.journals import journals
from proxy.gateway.moneygauges import MoneyGauges
from proxy.gateway.rebuilder import Rebuilder
from proxy.ledger.database import Database, connect
from proxy.ledger.errors import LedgerAway, LedgerRefused
from proxy.ledger.grants import Grant, Grants
from proxy.ledger.lookups import known
from proxy.ledger.migrate import migrate, require_head
from proxy.ledger.mover import Mover, Pace
from proxy.ledger.openings import opens_first
from proxy.ledger.outbox import Outbox
from proxy.ledger.projection import Projection
from proxy.ledger.retention import retain
from proxy.ledger.sums import Waiting, counters
from proxy.ledger.url import Dialect, parse
from proxy.ledger.writer import Written
from proxy.metering.budgets import Granted
from proxy.metering.budgets import Grants as GrantsNow
from proxy.metering.holds import Hold
from proxy.metering.inspection import living_holds
from proxy.metering.settlement import TOMBSTONE_MS
from proxy.policy.model import Policy
from proxy.store.client import Store
from proxy.telemetry.metrics import (
    DATABASE_DURATION,
    LEDGER_AWAY,
    LEDGER_DEAD,
    LEDGER_LAG,
    LEDGER_ROWS,
    OUTBOX_DEPTH,
    PROJECTED,
    REBUILDS,
    Metrics,
)

log = logging.getLogger("sluicegate.background")
logging.getLogger("alembic").setLevel(logging.WARNING)  # each step of a migration is no news

OPEN_AGAIN_S: Final = 2.0
GRANTS_S: Final = 0.5  # a grant is in force within a second
RETAIN_S: Final = 3_600.0
MOST_OUTBOX: Final = 1_000_000  # records counted for a rebuild, some 400 MB: of more the ledger takes some first
PAGE: Final = 1_000  # of them at once
ONE_READ_MS: Final = 250
GATHER_S: Final = 0.2  # how late a record may be in the ledger for the sake of the others
RESTED_MS: Final = 15_000  # of a process that died; should it live all the same, a row is written once


class Bookkeeping:
    """Of one gateway. A context: the tasks run from entering to leaving it."""

    def __init__(
        self,
        policy: Policy,
        store: Store,
        streams: Any,
        name: str,
        metrics: Metrics,
        clock: Clock,
        on_granted: Callable[[GrantedMessage], Awaitable[None]],
    ) -> None:
        """``streams``: redis-py's client, not decoding. ``name``: of this process, as a consumer of the outbox.

        Raises: LedgerUrlError.
        """
        if policy.ledger is None:
            raise ValueError("the policy has no ledger")
        self._ledger = policy.ledger
        self._metrics = metrics
        self._clock = clock
        self._on_granted = on_granted
        self._database: Database = connect(policy.ledger.url, on_time=self._timed)
        self._streams = streams
        self._outbox = Outbox(streams, name)
        self._mover = Mover(
            self._outbox, self._database, clock, self, Pace(block_ms=ONE_READ_MS, idle_ms=RESTED_MS, gather_s=GATHER_S)
        )
        folder = journals(policy.data_dir)
        self._rebuilder = Rebuilder(store, folder, self._settled, self._ended, self._opens_first, self._rebuilt)
        self._alerting = Alerting(policy, metrics, clock)
        self._gauges = MoneyGauges(self._outbox, self._database, metrics, clock, policy.budgets)
        self._copying: Projection | None = None
        if policy.ledger.project_into is not None:
            self._copying = Projection(connect(policy.ledger.url, pool=1), policy.ledger.project_into, self)
        self._opened = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._moving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._moving = self._begin("mover", self._move())
        for name, work in (
            ("opening", self._open()),
            ("rebuilder", self._rebuilder.run()),
            ("gauges", self._gauges.run()),
            ("grants", self._follow_grants()),
            ("retention", self._retain()),
            ("alerts", self._alert()),
            ("projection", self._copy()),
        ):
            self._tasks.append(self._begin(name, work))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = [*self._tasks, *([self._moving] if self._moving is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._alerting.close()
        await self._database.close()

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.create_task(work, name=name)

    def apply(self, policy: Policy) -> None:
        """From now on alerts are those of this policy. A ledger's address changes with a restart alone."""
        self._alerting.apply(policy)
        self._gauges.budgets = policy.budgets

    async def open(self) -> None:
        """Returns once the ledger can be used and budgets are open."""
        await self._opened.wait()
        await self._rebuilder.open.wait()

    async def finish(self, within_s: float) -> None:
        """Moves what the last workers have settled, if the database answers."""
        if not self._opened.is_set() or self._moving is None:
            return
        with contextlib.suppress(LedgerAway, LedgerRefused, RedisError, OSError, TimeoutError):
            async with asyncio.timeout(within_s):
                self._mover.stop()
                await self._moving
                await self._mover.drain()
                await self._alerting.look()

    # --- what others ask ---

    async def has(self, ids: Sequence[bytes]) -> set[bytes] | None:
        """Of these holds, those whose records the ledger has; None: it does not answer."""
        since_ms = self._clock.now_ms() - 2 * TOMBSTONE_MS
        try:
            found = await known(self._database, [one.hex() for one in ids], since_ms)
        except LedgerAway:
            return None
        return {bytes.fromhex(one) for one in found}

    def refused(self, charge: Charge, spender: Spender) -> None:
        """A budget has refused a call."""
        self._alerting.refused(charge, spender)

    def violated(self, route: str, tenant: str) -> None:
        """An answer named another tenant than the one it was for."""
        self._alerting.violated(route, tenant)

    # --- the tasks ---

    async def _open(self) -> None:
        """A file is brought to this version by whoever opens it; a server's tables are changed by ops alone."""
        told = ""
        while not self._opened.is_set():
            try:
                if parse(self._ledger.url).dialect is Dialect.SQLITE:
                    await asyncio.to_thread(_make_folder, self._ledger.url)
                    await migrate(self._ledger.url)
                await require_head(self._database)
            except (LedgerAway, LedgerRefused, OSError) as error:
                if str(error) != told:
                    log.error("the ledger cannot be used yet", extra={"fields": {"error": str(error)}})
                    told = str(error)
                await asyncio.sleep(OPEN_AGAIN_S)
            else:
                self._opened.set()

    async def _alert(self) -> None:
        await self._opened.wait()
        await self._alerting.run()

    async def _copy(self) -> None:
        await self._opened.wait()
        if self._copying is not None:
            await self._copying.run()

    async def _move(self) -> None:
        await self._opened.wait()
        await self._mover.run()

    async def _settled(self) -> Mapping[bytes, tuple[int, int]]:
        """What a rebuild sets. Raises: LedgerAway, RedisError."""
        await self._opened.wait()
        told = False
        while (depth := await self._outbox.depth()) > MOST_OUTBOX:
            if not told:
                log.warning("budgets wait for the outbox to become shorter", extra={"fields": {"records": depth}})
                told = True
            await asyncio.sleep(OPEN_AGAIN_S)
        waiting = Waiting()
        async for page in self._outbox.pages(PAGE):
            waiting.add(page)
        return await counters(self._database, waiting, self._clock.now_ms())

    async def _opens_first(self) -> bool:
        """Raises: LedgerAway."""
        await self._opened.wait()
        return await opens_first(self._database, self._clock.now_ms())

    async def _ended(self) -> list[Hold]:
        """The store's holds that have ended in the ledger or in the outbox. Raises: LedgerAway, RedisError."""
        holds = {hold.id.hex(): hold for hold in await living_holds(self._streams)}
        if not holds:
            return []
        ended: set[str] = set()
        async for page in self._outbox.pages(PAGE):
            ended.update(arrived.record.id for arrived in page if arrived.record is not None)
            ended &= holds.keys()
        ended |= await known(self._database, list(holds), self._clock.now_ms() - 2 * TOMBSTONE_MS)
        return [hold for name, hold in holds.items() if name in ended]

    def _rebuilt(self) -> None:
        self._metrics.inc(REBUILDS)
        self._alerting.look_at_all()

    async def _follow_grants(self) -> None:
        await self._opened.wait()
        book = Grants(self._database)
        told: GrantsNow = {}
        while True:
            with contextlib.suppress(LedgerAway):  # what is in force stays so, each until its own end
                now = by_budget(await book.active(self._clock.now_ms()))
                if now != told:
                    await self._on_granted(GrantedMessage(now))
                    told = now
            await asyncio.sleep(GRANTS_S)

    async def _retain(self) -> None:
        await self._opened.wait()
        while True:
            if self._ledger.keep_ms is not None:
                try:
                    await retain(self._database, self._ledger.keep_ms, self._clock.now_ms())
                except LedgerAway as away:
                    log.warning("what is too old stays for now", extra={"fields": {"error": str(away)}})
            await asyncio.sleep(RETAIN_S)

    # --- what the mover tells ---

    def moved(self, written: Written, seconds: float) -> None:
        self._metrics.inc(LEDGER_ROWS, by=written.rows)
        self._alerting.spent(written.spent)
        if self._copying is not None:
            self._copying.moved(written.keys)

    def waiting(self, depth: int, lag_ms: int) -> None:
        self._metrics.set(OUTBOX_DEPTH, depth)
        self._metrics.set(LEDGER_LAG, lag_ms / 1000)

    def away(self, part: str, reason: str) -> None:
        self._metrics.inc(LEDGER_AWAY, part)
        log.warning("records wait", extra={"fields": {"for": part, "reason": reason}})

    def dead(self, letter: str, reason: str) -> None:
        self._metrics.inc(LEDGER_DEAD)
        log.error("the database refused a record", extra={"fields": {"letter": letter, "reason": reason}})

    def projected(self, rows: int) -> None:
        self._metrics.inc(PROJECTED, "copied", by=rows)

    def left_out(self, rows: int, reason: str) -> None:
        self._metrics.inc(PROJECTED, "left_out", by=rows)
        log.warning("rows are left out of ledger.project_into", extra={"fields": {"rows": rows, "reason": reason}})

    def _timed(self, what: str, seconds: float) -> None:
        self._metrics.histogram(DATABASE_DURATION, what).observe(seconds)


def by_budget(active: Sequence[Grant]) -> dict[tuple[str, str], tuple[Granted, ...]]:
    """Grants as admission looks for them."""
    found: dict[tuple[str, str], tuple[Granted, ...]] = {}
    for grant in active:
        key = (grant.budget, grant.scope)
        found[key] = (*found.get(key, ()), Granted(grant.amount_nanousd, grant.until_ms))
    return found


def _make_folder(url: str) -> None:
    database = parse(url).address.database
    if database is not None:
        Path(database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
