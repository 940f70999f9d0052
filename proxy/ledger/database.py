"""A ledger's database: a small pool, transactions that write or read, and every driver's error as one of ours.

Nothing lives longer than a transaction on a connection, so that a transaction pooler may stand between. Writers take
turns: PostgreSQL by an advisory lock of the transaction, SQLite by ``BEGIN IMMEDIATE``. They change the same few sums
in any case, and one that waits at the start cannot deadlock at the end.
"""

import asyncio
import hashlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
from sqlalchemy import Table, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from proxy.ledger.faults import judge
from proxy.ledger.url import Dialect, LedgerUrl, parse

CONNECT_S: Final = 10.0
STATEMENT_S: Final = 60.0
POOL: Final = 3

Timing = Callable[[str, float], None]  # what ("pool", "read", "write", "copy"), seconds
_WRITES: Final = "sluicegate_writes"
_OPENERS: Final = 10  # of one new file at once


class Database:
    """One engine. ``on_time`` hears of every wait for a connection and every transaction."""

    def __init__(self, url: LedgerUrl, engine: AsyncEngine, on_time: Timing | None = None) -> None:
        self.url = url
        self.engine = engine
        self._on_time = on_time
        # The lock's number: one for each ledger in a database, the same in every gateway.
        self._lock = int.from_bytes(hashlib.sha256(f"sluicegate:{url.schema}".encode()).digest()[:8], signed=True)

    @property
    def on_postgresql(self) -> bool:
        return self.url.dialect is Dialect.POSTGRESQL

    def insert(self, table: Table) -> Any:
        """An INSERT that knows ON CONFLICT."""
        return postgresql.insert(table) if self.on_postgresql else sqlite.insert(table)

    def table(self, name: str) -> str:
        """The name with its schema, for SQL that no builder writes."""
        return f"{self.url.schema}.{name}" if self.url.schema else name

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits at the end, alone among writers. Raises: LedgerAway, LedgerRefused."""
        async with self._transaction("write", {_WRITES: True}) as connection:
            if self.on_postgresql:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": self._lock})
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state of the ledger throughout. Raises: LedgerAway, LedgerRefused."""
        options = {"isolation_level": "REPEATABLE READ"} if self.on_postgresql else {_WRITES: False}
        async with self._transaction("read", options) as connection:
            yield connection

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits at the end and writes no table of the ledger's: it takes no turn among writers.

        Raises: LedgerAway, LedgerRefused.
        """
        async with self._transaction("copy", {_WRITES: True}) as connection:
            yield connection

    async def close(self) -> None:
        await self.engine.dispose()

    @asynccontextmanager
    async def _transaction(self, what: str, options: dict[str, Any]) -> AsyncIterator[AsyncConnection]:
        began = time.perf_counter()
        try:
            async with self._connected() as connection:
                self._time("pool", began)
                await connection.execution_options(**options)
                began = time.perf_counter()
                async with connection.begin():
                    yield connection
                self._time(what, began)
        except Exception as error:
            judged = judge(error)
            if judged is None:
                raise
            raise judged from error

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        connection = self.engine.connect()
        if self.on_postgresql:
            await connection.start()
        else:
            await _whole(connection)
        try:
            yield connection
        finally:
            await asyncio.shield(connection.close())

    def _time(self, what: str, began: float) -> None:
        if self._on_time is not None:
            self._on_time(what, time.perf_counter() - began)


async def _whole(connection: AsyncConnection) -> None:
    """Opens it also for a task that is cancelled meanwhile, and closes it then: a file's connection that is given up
    while it is made ready is lost with its thread. It takes milliseconds."""
    opening = asyncio.ensure_future(connection.start())
    try:
        await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.wait([opening])
        if not opening.cancelled() and opening.exception() is None:
            await connection.close()
        raise


def connect(
    url: str | LedgerUrl, *, pool: int = POOL, statement_s: float = STATEMENT_S, on_time: Timing | None = None
) -> Database:
    """Opens nothing yet. A statement that takes longer than ``statement_s`` is given up. Raises: LedgerUrlError."""
    parsed = parse(url) if isinstance(url, str) else url
    arguments = dict(parsed.arguments)
    options: dict[str, Any] = {"pool_size": pool, "max_overflow": 0, "pool_timeout": CONNECT_S, "pool_pre_ping": True}
    if parsed.dialect is Dialect.POSTGRESQL:
        arguments |= {"timeout": CONNECT_S, "command_timeout": statement_s}
        options["execution_options"] = {"schema_translate_map": {None: parsed.schema}}
    else:
        arguments["timeout"] = CONNECT_S  # how long it waits for another writer
    options |= {"json_serializer": _to_json, "json_deserializer": orjson.loads}
    engine = create_async_engine(parsed.address, connect_args=arguments, **options)
    if parsed.dialect is Dialect.SQLITE:
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return Database(parsed, engine, on_time)


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
    cursor = connection.cursor()
    # The first one binds only while the file is empty, and must come before the journal's mode writes to it.
    cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
    for left in reversed(range(_OPENERS)):
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError:
            # Others open the new file as well. For the change itself SQLite makes nobody wait, for a writer it does.
            if not left:
                raise
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("ROLLBACK")
    cursor.execute("PRAGMA synchronous = FULL")  # what is committed leaves the outbox: it must outlive a power cut
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    writes = connection.get_execution_options().get(_WRITES, True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
