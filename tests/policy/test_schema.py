"""The schema itself: strict, complete, and nothing that does not bind yet."""

import pytest
from pydantic import ValidationError

from proxy.policy import schema

LATER = {
    "include",
    "budgets",
    "ledger",
    "sentry",
    "alerts",
    "prices",
    "cache",
    "queue",
    "health",
    "replicas",
    "dialect",
}


def sections() -> list[type[schema.Section]]:
    return schema.Section.__subclasses__()


@pytest.mark.parametrize("model", sections(), ids=lambda model: model.__name__)
def test_every_section_refuses_what_it_does_not_know(model):
    """Nothing is accepted that does not bind."""
    with pytest.raises(ValidationError) as error:
        model.model_validate({"no_such_key": 1})
    assert "extra_forbidden" in {details["type"] for details in error.value.errors()}


def test_keys_of_later_issues_are_not_there_yet():
    """A key enters the schema when it works."""
    assert not LATER & {name for model in sections() for name in model.model_fields}


def test_every_default_is_in_its_own_range():
    """Sections without required keys can be made of nothing; their defaults are validated as if they were written."""
    empty = [model for model in sections() if not any(info.is_required() for info in model.model_fields.values())]
    assert len(empty) >= 15
    for model in empty:
        model.model_validate({})
