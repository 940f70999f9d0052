"""What limits of tokens a row was charged to, beside its budgets. Of rows from before nobody knows."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    schema = op.get_context().opts["ledger_schema"]
    document = sa.JSON().with_variant(JSONB(), "postgresql")
    # With a default of its own no row is written anew, on either database.
    column = sa.Column("token_limits", document, nullable=False, server_default=sa.text("'[]'"))
    op.add_column("ai_usage", column, schema=schema)
