"""Copies what was moved into a table of the first user's own, as well as that takes it: ``ledger.project_into``.

The truth stays where it is. This runs beside the mover, which never waits for it: what it cannot copy for long it lets
go of and says so, and a row that the table refuses (a user who was deleted, a name that is too long) is left out. The
table is described by the database itself, so that its columns may have any type that text or numbers are cast to, and
those that it does not have are left out. PostgreSQL only.
"""

import asyncio
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.ledger.database import Database
from proxy.ledger.errors import Fault, LedgerAway, LedgerRefused
from proxy.ledger.instants import Instant
from proxy.store.waiting import until

MOST_WAITING: Final = 20_000
BATCH: Final = 500
FIRST_PAUSE_S: Final = 0.5
LAST_PAUSE_S: Final = 60.0

COLUMNS: Final = (
    "id", "user_id", "company_id", "model", "endpoint", "input_tokens", "output_tokens", "cost_usd",
    "subscription_tier", "created_at",
)  # fmt: skip
_CORRECTED: Final = ("input_tokens", "output_tokens", "cost_usd")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\.[A-Za-z_][A-Za-z0-9_]{0,62}")
_UUID: Final = "^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$"
_DESCRIBE: Final = text(
    "SELECT attname, format_type(atttypid, NULL) FROM pg_catalog.pg_attribute"
    " WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped"
)
# Whoever changes that table comes first: we try again.
_PATIENCE: Final = text("SET LOCAL lock_timeout = '2s'")

Key = tuple[str, int]  # id, created_ms


class Watch(Protocol):
    """Who wants to know. Called on the loop; must be quick and raise nothing."""

    def projected(self, rows: int) -> None:
        """So many were copied."""

    def left_out(self, rows: int, reason: str) -> None:
        """The table refused them (``reason`` names the error), or they waited in vain ("waited")."""

    def away(self, part: str, reason: str) -> None:
        """``part`` ("projection") did not take rows; it will be asked again. Once an attempt."""


@dataclass(frozen=True, slots=True)
class Pace:
    first_pause_s: float = FIRST_PAUSE_S
    last_pause_s: float = LAST_PAUSE_S


class Projection:
    """``run`` until ``stop``. ``database`` is the ledger's: give it a connection of its own, lest others wait."""

    def __init__(self, database: Database, table: str, watch: Watch, pace: Pace | None = None) -> None:
        """``table`` with its schema. Raises: ValueError for what is no such name."""
        if not _NAME.fullmatch(table):
            raise ValueError("a table is named with its schema, such as public.ai_usage")
        self._database = database
        self._table = ".".join(f'"{part}"' for part in table.split("."))
        self._watch = watch
        self._pace = pace or Pace()
        self._waiting: deque[Key] = deque()
        self._told = asyncio.Event()
        self._stopping = asyncio.Event()

    def moved(self, keys: Sequence[Key]) -> None:
        """Rows were written or corrected: ``Written.keys``."""
        self._waiting.extend(keys)
        surplus = len(self._waiting) - MOST_WAITING
        for _ in range(surplus):
            self._waiting.popleft()
        if surplus > 0:
            self._watch.left_out(surplus, "waited")
        self._told.set()

    def stop(self) -> None:
        """``run`` returns after the batch under way; what waits is let go of."""
        self._stopping.set()
        self._told.set()

    async def run(self) -> None:
        pause_s = self._pace.first_pause_s
        while not self._stopping.is_set():
            self._told.clear()
            batch = list(islice(self._waiting, BATCH))
            if not batch:
                await self._told.wait()
                continue
            try:
                await self._copy(batch)
            except LedgerAway as away:
                self._watch.away("projection", str(away))
                await until(self._stopping, pause_s)
                pause_s = min(pause_s * 2, self._pace.last_pause_s)
                continue
            pause_s = self._pace.first_pause_s
            for key in batch:
                # Those may have been let go of meanwhile.
                if self._waiting and self._waiting[0] == key:
                    self._waiting.popleft()

    async def _copy(self, batch: Sequence[Key]) -> None:
        """All of it, but for what the table refuses. Raises: LedgerAway."""
        try:
            async with self._database.beside() as connection:
                await connection.execute(_PATIENCE)
                types = await self._described(connection)
                query = text(self._insert(types)).bindparams(
                    bindparam("first", min(created_ms for _, created_ms in batch), Instant),
                    bindparam("last", max(created_ms for _, created_ms in batch), Instant),
                )
                await connection.execute(query, {"ids": [name for name, _ in batch]})
        except LedgerRefused as refused:
            if len(batch) == 1:
                self._watch.left_out(1, refused.reason)
                return
            middle = len(batch) // 2
            await self._copy(batch[:middle])
            await self._copy(batch[middle:])
        else:
            self._watch.projected(len(batch))

    async def _described(self, connection: AsyncConnection) -> dict[str, str]:
        """Of the columns that we know, those that it has, and their types."""
        rows = await connection.execute(_DESCRIBE, {"name": self._table})
        found = {row.attname: row.format_type for row in rows}
        if "id" not in found:
            raise LedgerAway(Fault.NOT_MIGRATED, f"no table {self._table} with an id")
        return {name: found[name] for name in COLUMNS if name in found}

    def _insert(self, types: dict[str, str]) -> str:
        values = ", ".join(_value(name, kind) for name, kind in types.items())
        corrected = [name for name in _CORRECTED if name in types]
        sets = ", ".join(f"{name} = excluded.{name}" for name in corrected)
        return (
            f"INSERT INTO {self._table} ({', '.join(types)})"  # noqa: S608 - names of ours and of the catalogue's
            f" SELECT {values} FROM {self._database.table('ai_usage')} u"
            " WHERE u.id = ANY(:ids) AND u.created_at BETWEEN :first AND :last AND u.kind = 'usage'"
            f" ON CONFLICT (id) DO {f'UPDATE SET {sets}' if sets else 'NOTHING'}"
        )


def _value(name: str, kind: str) -> str:
    """A column of the ledger's as one of theirs. Where ids are UUIDs, one that is none becomes one that is always the
    same, and a user or company that is none becomes NULL."""
    if kind != "uuid":
        return f"CAST(u.{name} AS {kind})"
    parsed = f"CASE WHEN u.{name} ~* '{_UUID}' THEN CAST(u.{name} AS uuid) END"
    return f"coalesce({parsed}, CAST(md5(u.{name}) AS uuid))" if name == "id" else parsed
