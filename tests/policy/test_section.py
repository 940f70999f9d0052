"""What sections are made of, seen on real ones: a subclass made here would count as a part of the file."""

import pytest
from pydantic import ValidationError

from proxy.policy.money import Budgets, Ledger, Unusual

LEDGER = "postgresql://u:hush@db/ledger"


def test_a_default_is_read_as_if_it_were_written() -> None:
    """In the program's units."""
    assert Unusual.model_validate({}).at_least == 5_000_000_000


def test_a_section_stays_as_it_is() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Unusual.model_validate({}).at_least = 0


def test_a_section_does_not_show_its_secrets() -> None:
    """Neither itself, nor in what is wrong with it."""
    assert "hush" not in repr(Ledger.model_validate({"url": LEDGER}))
    with pytest.raises(ValidationError) as error:
        Ledger.model_validate({"uri": LEDGER})
    assert "hush" not in str(error.value)


def test_members_go_by_their_names() -> None:
    """Beside the keys that a section of named members has itself."""
    budgets = Budgets.model_validate({"time_zone": "UTC", "a": {"scope": "ip", "daily": "$5"}})
    assert list(budgets.by_name) == ["a"]
    assert Budgets.model_validate({}).by_name == {}
