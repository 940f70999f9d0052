"""The tables as the first user named their columns, and as nobody's deletion can empty them."""

import pytest
from sqlalchemy import Text

from proxy.ledger.schema import metadata, usage

FIRST_USERS = {
    "id", "user_id", "company_id", "model", "endpoint", "input_tokens", "output_tokens", "cost_usd",
    "subscription_tier", "created_at",
}  # fmt: skip


def test_the_first_users_columns_are_there() -> None:
    assert set(usage.columns.keys()) >= FIRST_USERS


@pytest.mark.parametrize("table", metadata.tables.values(), ids=str)
def test_no_table_refers_to_another_and_no_text_has_a_length(table) -> None:
    """ON DELETE CASCADE would erase what was spent along with a user."""
    assert not table.foreign_keys
    assert all(column.type.length is None for column in table.columns if isinstance(column.type, Text))
    assert table.primary_key.columns
