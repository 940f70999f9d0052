"""What ops ask of a policy's money, from its ledger and its store: reports, and whether all agree.

For a process of its own: it speaks SQL. Whatever cannot be told is ``Unanswered``, in one line without a secret.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from redis.exceptions import RedisError

from proxy.core.storeurl import StoreUrl, parse_store_url
from proxy.gateway.reconciliation import reconcile
from proxy.ledger.database import Database, connect
from proxy.ledger.errors import Fault, LedgerAway, LedgerRefused, LedgerUrlError
from proxy.ledger.migrate import migrate, require_head, version
from proxy.ledger.reconcile import Difference
from proxy.ledger.reports import By, Line, report
from proxy.ledger.url import Dialect, LedgerUrl, parse
from proxy.policy.model import Policy
from proxy.policy.spending import Ledger
from proxy.store.embedded import running_url
from proxy.store.plain import PlainClient

STORE_S: Final = 10.0  # for one answer; an outbox may be long
_MIGRATE: Final = "; `sluicegate ledger migrate` makes its tables"


class Unanswered(Exception):
    """What was asked cannot be told or done now. The message is for ops."""


async def usage(policy: Policy, by: Sequence[By], since_ms: int | None, until_ms: int | None) -> list[Line]:
    """From the replica, if the policy has one. Raises: Unanswered."""
    ledger = ledger_of(policy)
    async with opened(ledger.read_url or ledger.url) as database:
        return await report(database, by, since_ms, until_ms)


async def compared(policy: Policy, now_ms: int) -> tuple[list[Difference], int]:
    """Where counters, outbox, holds and ledger do not agree, and of how many counters. Raises: Unanswered."""
    async with opened(ledger_of(policy).url) as database, store(policy) as client:
        return await reconcile(client, database, now_ms)


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


def store_url(policy: Policy) -> StoreUrl:
    """Where the meters are. Raises: Unanswered where they are a running gateway's own, and none runs."""
    url = running_url(policy.data_dir) if policy.redis.meters == "embedded" else policy.redis.meters
    if url is None:
        raise Unanswered(f"the embedded Redis of {policy.data_dir} does not run: no gateway does")
    return parse_store_url(url)


@asynccontextmanager
async def store(policy: Policy) -> AsyncIterator[Any]:
    """A client for look-ups. Raises: Unanswered, for errors of Redis within, too."""
    url = store_url(policy)
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
