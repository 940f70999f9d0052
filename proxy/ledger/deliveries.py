"""Alerts that have fired and who is still to be told: markers and deliveries in one transaction, so that none is lost.

A delivery is taken for a while by whoever sends it, as a lease that ends by itself: several gateways do not send the
same one in normal running, and one that dies holds nothing up for long.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import case, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.core.delivery import Delivery
from proxy.ledger.database import Database
from proxy.ledger.markers import mark_once, marked
from proxy.ledger.schema import deliveries

_KEY: Final = tuple(deliveries.c[name] for name in ("id", "channel", "recipient"))


class Firing(Protocol):
    """An alert that is due. Its marker is what fires once; ``posts`` are (channel, recipient)."""

    @property
    def id(self) -> str: ...
    @property
    def meter(self) -> str: ...
    @property
    def period(self) -> str: ...
    @property
    def capacity(self) -> int: ...
    @property
    def threshold(self) -> int: ...
    @property
    def payload(self) -> str: ...
    @property
    def posts(self) -> Sequence[tuple[str, str]]: ...


class Told(NamedTuple):
    """An alert and how many of its posts were delivered or still wait; the others were given up."""

    payload: str
    fired_ms: int
    posts: int
    delivered: int
    waiting: int


class Deliveries:
    """Raises: LedgerAway throughout."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fire(self, firings: Sequence[Firing], now_ms: int) -> set[str]:
        """Ids of those that had not fired before: by anybody, ever. Each now has its deliveries, due at once."""
        marks = [(firing.meter, firing.period, firing.capacity, firing.threshold) for firing in firings]
        # A level stays reached: mostly all have fired, and to find that no writer has to wait.
        async with self._database.reading() as connection:
            known = await marked(connection, marks)
        fresh = [(firing, mark) for firing, mark in zip(firings, marks, strict=True) if mark not in known]
        fired: set[str] = set()
        if fresh:
            async with self._database.writing() as connection:
                for firing, mark in fresh:
                    if await mark_once(self._database, connection, mark, now_ms):
                        await self._post(connection, firing, now_ms)
                        fired.add(firing.id)
        return fired

    async def due(self, channel: str, now_ms: int, count: int, lease_ms: int) -> list[Delivery]:
        """The first of those that are due, for whoever asks and for ``lease_ms``."""
        found = select(*_KEY).where(deliveries.c.channel == channel, deliveries.c.next_at <= now_ms)
        found = found.order_by(deliveries.c.next_at).limit(count)
        # Mostly there is none, and a reader waits for no writer.
        async with self._database.reading() as connection:
            if (await connection.execute(found.limit(1))).first() is None:
                return []
        take = (
            update(deliveries)
            .where(tuple_(*_KEY).in_(found))
            .values(next_at=now_ms + lease_ms, attempts=deliveries.c.attempts + 1)
            .returning(deliveries)
        )
        async with self._database.writing() as connection:
            taken = (await connection.execute(take)).all()
        return [
            Delivery(row.id, row.channel, row.recipient, row.payload, row.attempts, row.created_at) for row in taken
        ]

    async def delivered(self, delivery: Delivery, now_ms: int) -> None:
        await self._change(delivery, delivered_at=now_ms, next_at=None)

    async def failed(self, delivery: Delivery, next_ms: int | None, error: str) -> None:
        """To be tried again at ``next_ms``; None: never."""
        await self._change(delivery, next_at=next_ms, last_error=error)

    async def oldest(self) -> dict[str, int]:
        """By channel, when the oldest that is still to be told was fired (epoch ms)."""
        created = func.min(deliveries.c.created_at, type_=deliveries.c.created_at.type).label("created_ms")
        query = select(deliveries.c.channel, created).where(deliveries.c.next_at.is_not(None))
        async with self._database.reading() as connection:
            rows = await connection.execute(query.group_by(deliveries.c.channel))
            return {row.channel: row.created_ms for row in rows}

    async def recent(self, count: int) -> list[Told]:
        """The newest alerts, latest first: each once, whoever is told."""
        created = func.max(deliveries.c.created_at, type_=deliveries.c.created_at.type).label("created_ms")
        waiting = func.sum(case((deliveries.c.next_at.is_not(None), 1), else_=0))
        sent = func.sum(case((deliveries.c.delivered_at.is_not(None), 1), else_=0))
        query = select(func.min(deliveries.c.payload), created, func.count(), sent, waiting)
        query = query.group_by(deliveries.c.id).order_by(created.desc(), deliveries.c.id).limit(count)
        async with self._database.reading() as connection:
            return [Told(*row) for row in await connection.execute(query)]

    async def _post(self, connection: AsyncConnection, firing: Firing, now_ms: int) -> None:
        rows = [
            {
                "id": firing.id,
                "channel": channel,
                "recipient": recipient,
                "payload": firing.payload,
                "attempts": 0,
                "created_at": now_ms,
                "next_at": now_ms,
            }
            for channel, recipient in firing.posts
        ]
        if rows:
            await connection.execute(self._database.insert(deliveries).on_conflict_do_nothing(), rows)

    async def _change(self, delivery: Delivery, **values: Any) -> None:
        """Not of one that has been delivered meanwhile, by whoever took it when this lease had ended."""
        query = update(deliveries).where(
            deliveries.c.id == delivery.id,
            deliveries.c.channel == delivery.channel,
            deliveries.c.recipient == delivery.recipient,
            deliveries.c.delivered_at.is_(None),
        )
        async with self._database.writing() as connection:
            await connection.execute(query.values(**values))
