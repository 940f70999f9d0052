"""The ledger's tables, once for SQLite and PostgreSQL. Changed only together with a migration.

The first user's columns keep their names; ids are text without a length, and nothing refers to another table: a user
who is deleted must not take what was spent along. ``cost_nanousd`` is the amount; ``cost_usd`` is made from it, exact
on PostgreSQL, for reading only on SQLite.

``ai_usage`` is partitioned by month of ``created_at`` on PostgreSQL, and the key must hold that column, so the primary
key is ``(id, created_at)``. That an id has one row is kept by the one place that writes, ``changes.py``: under
a lock it looks an id up, and a revision goes to the row that stands, whatever instant it brings along.

``ai_budget_sums`` is what every budget was charged in every period, moved in the same transaction as the rows. A narrow
table with a row for each charge would answer the same question, at three rows and three index entries a call, by
reading millions of them, while every budget is closed and waits; this one has a row for each budget, scope and period.
The rows' ``charges`` remain the truth, and reconciling adds them up.
"""

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Computed,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement

from proxy.ledger.instants import Instant

DOCUMENT: Final = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
# SQLite makes a key of its own only of this very word.
SERIAL: Final = BigInteger().with_variant(Integer(), "sqlite")
metadata: Final = MetaData()


class InDollars(ColumnElement[Any]):
    """The amount in dollars. A whole number times a decimal is exact in PostgreSQL; SQLite has floats only."""

    inherit_cache = True


@compiles(InDollars, "postgresql")
def _exact(element: InDollars, compiler: Any, **_: Any) -> str:
    return "cost_nanousd * 0.000000001"


@compiles(InDollars, "sqlite")
def _rounded(element: InDollars, compiler: Any, **_: Any) -> str:
    return "cost_nanousd / 1000000000.0"


def _number(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False)


def _word(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Text, nullable=nullable)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


# What is wide and fixed comes first: PostgreSQL pads between columns.
usage: Final = Table(
    "ai_usage",
    metadata,
    Column("created_at", Instant, nullable=False),
    Column("settled_at", Instant, nullable=False),
    Column("cost_nanousd", BigInteger, nullable=False),
    Column("held_nanousd", BigInteger, nullable=False),
    Column("saved_nanousd", BigInteger, nullable=False),
    _number("rev"),
    _number("input_tokens"),
    _number("output_tokens"),
    _number("cached_read_tokens"),
    _number("cache_write_tokens"),
    _number("reasoning_tokens"),
    _number("audio_input_tokens"),
    _number("audio_output_tokens"),
    _number("images"),
    _number("status"),
    _number("latency_ms"),
    _flag("estimated"),
    _flag("orphaned"),
    _flag("overrun"),
    _word("id"),
    _word("user_id", nullable=True),
    _word("company_id", nullable=True),
    _word("model"),
    _word("endpoint"),
    _word("subscription_tier"),
    _word("kind"),
    _word("state"),
    _word("request_id"),
    _word("provider_request_id", nullable=True),
    _word("route"),
    _word("provider"),
    _word("issuer"),
    _word("credential"),
    _word("feature", nullable=True),
    _word("cost_centre", nullable=True),
    _word("price_version"),
    Column("charges", DOCUMENT, nullable=False),  # [[budget, scope, period], …], each charged cost_nanousd
    Column("cost_usd", Numeric().with_variant(Float(), "sqlite"), Computed(InDollars(), persisted=True)),
    # [[limit, scope, window in ms, tokens], …]: what limits of tokens were charged.
    Column("token_limits", DOCUMENT, nullable=False, server_default=text("'[]'")),
    PrimaryKeyConstraint("id", "created_at", name="ai_usage_pkey"),
    # A month is a partition, so what is left to find inside one is a day (BRIN: a few pages) or a company.
    Index("ai_usage_created_at", "created_at", postgresql_using="brin"),
    Index("ai_usage_company_id", "company_id", "created_at"),
    postgresql_partition_by="RANGE (created_at)",
)

# The same few rows change with every batch: room on their page keeps a change from touching an index, as long as none
# is on what changes. ``counter`` and ``ends_at`` are what a rebuild sets, NULL where no record ever said. ``spender``
# is who moved it last, [tier, tenant, user, [[claim, value], …]]: whom an alert may have to tell, even after a crash.
budget_sums: Final = Table(
    "ai_budget_sums",
    metadata,
    Column("cost_nanousd", BigInteger, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("ends_at", Instant),
    _word("budget"),
    _word("scope"),
    _word("period"),
    _word("counter", nullable=True),
    Column("spender", DOCUMENT),
    PrimaryKeyConstraint("budget", "period", "scope", name="ai_budget_sums_pkey"),
    Index("ai_budget_sums_ends_at", "ends_at"),
    postgresql_with={"fillfactor": 60},
)

dead: Final = Table(
    "ai_usage_dead",
    metadata,
    Column("died_at", Instant, nullable=False),
    _word("id"),  # of the entry and its content, so that it is one row however often it comes
    _word("reason"),
    Column("record", LargeBinary, nullable=False),
    PrimaryKeyConstraint("id", name="ai_usage_dead_pkey"),
)

alert_markers: Final = Table(
    "ai_alert_markers",
    metadata,
    Column("capacity", BigInteger, nullable=False),
    Column("threshold", Integer, nullable=False),  # percent
    Column("marked_at", Instant, nullable=False),
    _word("meter"),
    _word("period"),
    PrimaryKeyConstraint("meter", "period", "capacity", "threshold", name="ai_alert_markers_pkey"),
)

# An alert and its marker are one transaction; what is here is still to be told, or was.
deliveries: Final = Table(
    "alert_deliveries",
    metadata,
    Column("created_at", Instant, nullable=False),
    Column("next_at", Instant),  # NULL: delivered or given up
    Column("delivered_at", Instant),
    _number("attempts"),
    _word("id"),  # the alert's: what receivers know it by
    _word("channel"),
    _word("recipient"),  # an address of e-mail; "" where the channel itself is one
    _word("payload"),  # JSON
    _word("last_error", nullable=True),
    PrimaryKeyConstraint("id", "channel", "recipient", name="alert_deliveries_pkey"),
    Index("alert_deliveries_next_at", "channel", "next_at"),
)

grants: Final = Table(
    "budget_grants",
    metadata,
    Column("id", SERIAL, autoincrement=True),
    Column("granted_at", Instant, nullable=False),
    Column("until_at", Instant, nullable=False),
    Column("amount_nanousd", BigInteger, nullable=False),  # below zero takes from the budget
    _word("budget"),
    _word("scope"),
    _word("reason"),
    _word("granted_by"),
    PrimaryKeyConstraint("id", name="budget_grants_pkey"),
    Index("budget_grants_until_at", "until_at"),
)

# A grant that was ended before its time; its own row stays as it was.
grant_endings: Final = Table(
    "budget_grant_endings",
    metadata,
    Column("grant_id", BigInteger, autoincrement=False),
    Column("ended_at", Instant, nullable=False),
    _word("reason"),
    _word("ended_by"),
    PrimaryKeyConstraint("grant_id", name="budget_grant_endings_pkey"),
)
