"""What ops ask of a policy's money, from its ledger and its store: reports, where budgets stand, grants,
and whether all agree.

For a process of its own: it speaks SQL. Whatever cannot be told is ``Unanswered``, in one line without a secret.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from redis.exceptions import RedisError

from proxy.admin.granting import Asked, ending, fitting, grants
from proxy.admin.standings import Budgets, Standing
from proxy.admin.stores import Unanswered, meters_url
from proxy.core.usage import Charge, Spender, UsageRecord
from proxy.gateway.reconciliation import reconcile
from proxy.ledger.database import Database, connect
from proxy.ledger.errors import Fault, LedgerAway, LedgerRefused, LedgerUrlError
from proxy.ledger.grants import Grant, Grants
from proxy.ledger.migrate import migrate, require_head, version
from proxy.ledger.outbox import arrivals
from proxy.ledger.reconcile import Difference
from proxy.ledger.reports import By, Line, named_whole, report
from proxy.ledger.sums import living
from proxy.ledger.url import Dialect, LedgerUrl, parse
from proxy.metering.inspection import Snapshot, snapshot
from proxy.policy.model import Policy
from proxy.policy.spending import Ledger
from proxy.store.plain import PlainClient

STORE_S: Final = 10.0  # for one answer; an outbox may be long
_MIGRATE: Final = "; `sluicegate ledger migrate` makes its tables"


def read_by(text: str) -> list[By]:
    """``tenant,model``; a user's issuer comes by itself. Raises: ValueError that names the words there are."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    known = [what.value for what in By]
    for place, word in enumerate(words):
        if word not in known:
            raise ValueError(f"there is no report by {word!r}, only by {', '.join(known)}")
        if word in words[:place]:
            raise ValueError(f"a report by {word!r} twice")
    return named_whole([By(word) for word in words])


async def usage(policy: Policy, by: Sequence[By], since_ms: int | None, until_ms: int | None) -> list[Line]:
    """From the replica, if the policy has one. Raises: Unanswered."""
    ledger = ledger_of(policy)
    async with opened(ledger.read_url or ledger.url) as database:
        return await report(database, by, since_ms, until_ms)


async def compared(policy: Policy, now_ms: int) -> tuple[list[Difference], int]:
    """Where counters, outbox, holds and ledger do not agree, and of how many counters. Raises: Unanswered."""
    async with opened(ledger_of(policy).url) as database, store(policy) as client:
        return await reconcile(client, database, now_ms)


async def standings(policy: Policy, scope: str | None, now_ms: int) -> tuple[list[Standing], str | None]:
    """Every budget of a period that has not ended, of one scope or of all; and why only the ledger could be asked.

    Raises: Unanswered; ValueError for a scope that no budget is counted by.
    """
    budgets = Budgets(policy.budgets, now_ms)
    asked = [] if scope is None else fitting(policy, scope)
    async with opened(ledger_of(policy).url) as database:
        spent = await living(database, now_ms)
        granted = await Grants(database).totals(now_ms)
    spenders: dict[Charge, Spender | None] = {one.charge: one.spender for one in spent}
    for charge in (*budgets.of_everybody(), *(budgets.charge(budget, found) for budget, found in asked)):
        spenders.setdefault(charge, None)
    settled = {one.charge: one.nanousd for one in spent}
    held: dict[Charge, int] | None = {}
    why = None
    try:
        settled, held = await _counted(policy, spenders, now_ms)
    except Unanswered as away:
        held, why = None, str(away)
    only = {found.text(budget.scopes) for budget, found in asked}
    found = [
        budgets.standing(charge, spender, granted, settled.get(charge, 0), None if held is None else held[charge])
        for charge, spender in spenders.items()
        if scope is None or charge.scope in only
    ]
    return sorted(found, key=lambda one: (one.charge.budget, one.charge.scope, one.charge.period)), why


async def _counted(
    policy: Policy, spenders: dict[Charge, Spender | None], now_ms: int
) -> tuple[dict[Charge, int], dict[Charge, int]]:
    """What the store's counters say is settled and held; adds to ``spenders`` whom only the store knows of yet.

    Raises: Unanswered.
    """
    async with store(policy) as client:
        for record in _records(await snapshot(client, ())):
            for charge in record.charges:
                if charge.counter and charge.ends_ms > now_ms and spenders.get(charge) is None:
                    spenders.pop(charge, None)  # the one that is there may not know its counter
                    spenders[charge] = record.spender
        live = await snapshot(client, [charge.counter.encode() for charge in spenders if charge.counter])
    keys = {charge: charge.counter.encode() for charge in spenders}
    return (
        {charge: live.settled.get(key, 0) for charge, key in keys.items()},
        {charge: live.held.get(key, 0) for charge, key in keys.items()},
    )


def _records(found: Snapshot) -> Iterator[UsageRecord]:
    for arrival in arrivals(found.entries):
        if arrival.record is not None:
            yield arrival.record
    for hold in found.holds:
        with suppress(ValueError):  # one without a record
            yield UsageRecord.decode(hold.record)


async def grant(policy: Policy, asked: Asked, now_ms: int) -> list[Grant]:
    """As recorded; in force within a second. Raises: Unanswered; ValueError for what cannot be granted."""
    made = grants(policy, asked, now_ms)
    async with opened(ledger_of(policy).url) as database:
        book = Grants(database)
        return [await book.append(one) for one in made]


async def end(policy: Policy, ids: Sequence[int], reason: str, by: str, now_ms: int) -> list[Grant]:
    """Grants before their time, all or none; in force within a second. Raises: Unanswered; ValueError for what cannot
    be ended."""
    made = ending(reason, by, now_ms)
    async with opened(ledger_of(policy).url) as database:
        return await Grants(database).end(ids, made)


async def history(policy: Policy, scope: str | None) -> list[Grant]:
    """Every grant that was ever made, of one scope or of all. Raises: Unanswered."""
    async with opened(ledger_of(policy).url) as database:
        return await Grants(database).history(scope)


async def migrated(url: str) -> tuple[str | None, str]:
    """Brings the ledger to this version: the revisions before and after. Raises: Unanswered."""
    address = _address(url)
    with _told(address):
        if (file := _file(address)) is not None:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return await migrate(url)


async def revision(url: str) -> str | None:
    """The ledger's; None where there is none. Raises: Unanswered."""
    address = _address(url)
    if (file := _file(address)) is not None and not file.exists():
        return None
    with _told(address):
        database = connect(address, pool=1)
        try:
            return await version(database)
        finally:
            await database.close()


def ledger_of(policy: Policy) -> Ledger:
    """Raises: Unanswered."""
    if policy.ledger is None:
        raise Unanswered("the policy has no ledger: none of its routes calls a provider")
    return policy.ledger


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """A ledger of this program's version. Raises: Unanswered, for errors of the database within, too."""
    address = _address(url)
    # To look into a file that is not there would make it.
    if (file := _file(address)) is not None and not file.exists():
        raise Unanswered(f"there is no ledger at {file} yet{_MIGRATE}, and so does a gateway that starts")
    database = connect(address, pool=1)
    try:
        with _told(address):
            await require_head(database)
            yield database
    finally:
        await database.close()


@asynccontextmanager
async def store(policy: Policy) -> AsyncIterator[Any]:
    """A client for look-ups. Raises: Unanswered, for errors of Redis within, too."""
    url = meters_url(policy)
    plain = PlainClient(url, STORE_S)
    try:
        yield plain.client
    except (RedisError, OSError, TimeoutError) as error:
        raise Unanswered(f"Redis ({url}) cannot be asked: {type(error).__name__}") from error
    finally:
        await plain.close()


@contextmanager
def _told(address: LedgerUrl) -> Iterator[None]:
    try:
        yield
    except LedgerAway as away:
        hint = _MIGRATE if away.fault is Fault.NOT_MIGRATED and "ledger migrate" not in str(away) else ""
        raise Unanswered(f"the ledger ({address}) cannot be used: {away}{hint}") from away
    except LedgerRefused as refused:
        raise Unanswered(f"the ledger ({address}) refused: {refused}") from refused
    except OSError as error:
        raise Unanswered(f"the ledger ({address}) cannot be used: {error.strerror or type(error).__name__}") from error


def _address(url: str) -> LedgerUrl:
    try:
        return parse(url)
    except LedgerUrlError as error:
        raise Unanswered(str(error)) from error


def _file(address: LedgerUrl) -> Path | None:
    database = address.address.database
    return Path(database) if address.dialect is Dialect.SQLITE and database is not None else None
