"""The first tables: usage by month, budgets' sums, dead letters, alert markers and deliveries, grants."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0001"
down_revision = None


def upgrade() -> None:
    context = op.get_context()
    schema = context.opts["ledger_schema"]
    on_postgresql = context.dialect.name == "postgresql"
    instant = sa.String().with_variant(TIMESTAMP(timezone=True, precision=3), "postgresql")

    document = sa.JSON().with_variant(JSONB(), "postgresql")

    def moment(name: str, *, nullable: bool = False) -> sa.Column[str]:
        return sa.Column(name, instant, nullable=nullable)

    def amount(name: str) -> sa.Column[int]:
        return sa.Column(name, sa.BigInteger, nullable=False)

    def number(name: str) -> sa.Column[int]:
        return sa.Column(name, sa.Integer, nullable=False)

    def flag(name: str) -> sa.Column[bool]:
        return sa.Column(name, sa.Boolean, nullable=False)

    def word(name: str, *, nullable: bool = False) -> sa.Column[str]:
        return sa.Column(name, sa.Text, nullable=nullable)

    in_dollars = "cost_nanousd * 0.000000001" if on_postgresql else "cost_nanousd / 1000000000.0"
    op.create_table(
        "ai_usage",
        moment("created_at"),
        moment("settled_at"),
        amount("cost_nanousd"),
        amount("held_nanousd"),
        amount("saved_nanousd"),
        number("rev"),
        number("input_tokens"),
        number("output_tokens"),
        number("cached_read_tokens"),
        number("cache_write_tokens"),
        number("reasoning_tokens"),
        number("audio_input_tokens"),
        number("audio_output_tokens"),
        number("images"),
        number("status"),
        number("latency_ms"),
        flag("estimated"),
        flag("orphaned"),
        flag("overrun"),
        word("id"),
        word("user_id", nullable=True),
        word("company_id", nullable=True),
        word("model"),
        word("endpoint"),
        word("subscription_tier"),
        word("kind"),
        word("state"),
        word("request_id"),
        word("provider_request_id", nullable=True),
        word("route"),
        word("provider"),
        word("issuer"),
        word("credential"),
        word("feature", nullable=True),
        word("cost_centre", nullable=True),
        word("price_version"),
        sa.Column("charges", document, nullable=False),
        sa.Column("cost_usd", sa.Numeric().with_variant(sa.Float(), "sqlite"), sa.Computed(in_dollars, persisted=True)),
        sa.PrimaryKeyConstraint("id", "created_at", name="ai_usage_pkey"),
        schema=schema,
        postgresql_partition_by="RANGE (created_at)",
    )
    op.create_index("ai_usage_created_at", "ai_usage", ["created_at"], schema=schema, postgresql_using="brin")
    op.create_index("ai_usage_company_id", "ai_usage", ["company_id", "created_at"], schema=schema)
    op.create_table(
        "ai_budget_sums",
        amount("cost_nanousd"),
        moment("changed_at"),
        moment("ends_at", nullable=True),
        word("budget"),
        word("scope"),
        word("period"),
        word("counter", nullable=True),
        sa.Column("spender", document),
        sa.PrimaryKeyConstraint("budget", "period", "scope", name="ai_budget_sums_pkey"),
        schema=schema,
        postgresql_with={"fillfactor": 60},
    )
    op.create_index("ai_budget_sums_ends_at", "ai_budget_sums", ["ends_at"], schema=schema)
    op.create_table(
        "ai_usage_dead",
        moment("died_at"),
        word("id"),
        word("reason"),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="ai_usage_dead_pkey"),
        schema=schema,
    )
    op.create_table(
        "ai_alert_markers",
        amount("capacity"),
        number("threshold"),
        moment("marked_at"),
        word("meter"),
        word("period"),
        sa.PrimaryKeyConstraint("meter", "period", "capacity", "threshold", name="ai_alert_markers_pkey"),
        schema=schema,
    )
    op.create_table(
        "alert_deliveries",
        moment("created_at"),
        moment("next_at", nullable=True),
        moment("delivered_at", nullable=True),
        number("attempts"),
        word("id"),
        word("channel"),
        word("recipient"),
        word("payload"),
        word("last_error", nullable=True),
        sa.PrimaryKeyConstraint("id", "channel", "recipient", name="alert_deliveries_pkey"),
        schema=schema,
    )
    op.create_index("alert_deliveries_next_at", "alert_deliveries", ["channel", "next_at"], schema=schema)
    op.create_table(
        "budget_grants",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True),
        moment("granted_at"),
        moment("until_at"),
        amount("amount_nanousd"),
        word("budget"),
        word("scope"),
        word("reason"),
        word("granted_by"),
        sa.PrimaryKeyConstraint("id", name="budget_grants_pkey"),
        schema=schema,
    )
    op.create_index("budget_grants_until_at", "budget_grants", ["until_at"], schema=schema)
