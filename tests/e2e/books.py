"""A running gateway's money, looked at from outside: its ledger's file, its Redis, and whether they agree."""

import asyncio
import sqlite3
import time
from contextlib import closing
from typing import Any

from proxy.core.storeurl import parse_store_url
from proxy.gateway.reconciliation import reconcile
from proxy.ledger.database import connect
from proxy.ledger.reconcile import Difference
from proxy.store.embedded import running_url
from proxy.store.plain import PlainClient
from tests.e2e.gateway import Gateway, eventually


def ledger_path(gateway: Gateway) -> str:
    return str(gateway.config.parent / "data" / "ledger.db")


def rows(gateway: Gateway) -> list[dict[str, Any]]:
    """Of ``ai_usage``, in the order in which they were created."""
    with closing(sqlite3.connect(f"file:{ledger_path(gateway)}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute("SELECT * FROM ai_usage ORDER BY created_at, id")]


def redis_url(gateway: Gateway) -> str:
    url = running_url(gateway.config.parent / "data")
    assert url is not None
    return url


def disagreements(gateway: Gateway, redis: str | None = None, ledger: str | None = None) -> list[Difference]:
    """Between counters, outbox, holds and ledger, now."""

    store, file = redis or redis_url(gateway), ledger or f"sqlite:///{ledger_path(gateway)}"

    async def compare() -> list[Difference]:
        streams = PlainClient(parse_store_url(store), 10.0)
        database = connect(file, pool=1)
        try:
            found, compared = await reconcile(streams.client, database, int(time.time() * 1000))
            assert compared, "nothing was compared"
            return found
        finally:
            await streams.close()
            await database.close()

    return asyncio.run(compare())


def settled(gateway: Gateway, calls: int, within_s: float = 15.0) -> list[dict[str, Any]]:
    """The ledger's rows once there are so many; fails when there are more, or not so many in time."""

    def found() -> list[dict[str, Any]] | None:
        there = rows(gateway)
        return there if len(there) >= calls else None

    there: list[dict[str, Any]] = eventually(found, within_s)
    assert len(there) == calls
    return there
