"""Which grants were ended before their time, by whom and why. Those of before were not."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    instant = sa.String().with_variant(TIMESTAMP(timezone=True, precision=3), "postgresql")
    op.create_table(
        "budget_grant_endings",
        sa.Column("grant_id", sa.BigInteger, autoincrement=False),
        sa.Column("ended_at", instant, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("ended_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("grant_id", name="budget_grant_endings_pkey"),
        schema=op.get_context().opts["ledger_schema"],
    )
