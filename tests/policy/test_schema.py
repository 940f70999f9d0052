"""The schema itself: strict, complete, and nothing that does not bind yet."""

import pytest
from pydantic import ValidationError

from proxy.policy import schema
from proxy.policy.section import Section

LATER = {"queue", "health", "replicas"}


def sections() -> list[type[Section]]:
    return Section.__subclasses__()


@pytest.mark.parametrize("model", [one for one in sections() if one.members is None], ids=lambda model: model.__name__)
def test_every_section_refuses_what_it_does_not_know(model):
    """Nothing is accepted that does not bind."""
    with pytest.raises(ValidationError) as error:
        model.model_validate({"no_such_key": 1})
    assert "extra_forbidden" in {details["type"] for details in error.value.errors()}


def test_a_section_of_named_members_takes_these_and_nothing_else():
    """A budget's name may be any; what is under it is a budget."""
    named = [model for model in sections() if model.members is not None]
    assert [model.__name__ for model in named] == ["Budgets"]
    with pytest.raises(ValidationError) as error:
        named[0].model_validate({"any-name": {"scope": "global", "no_such_key": 1}})
    assert [(details["type"], details["loc"]) for details in error.value.errors()] == [
        ("extra_forbidden", ("any-name", "no_such_key"))
    ]


def test_keys_of_later_issues_are_not_there_yet():
    """A key enters the schema when it works."""
    assert schema.Config in sections()
    assert not LATER & {name for model in sections() for name in model.model_fields}


def test_every_default_is_in_its_own_range():
    """Sections without required keys can be made of nothing; their defaults are validated as if they were written."""
    empty = [model for model in sections() if not any(info.is_required() for info in model.model_fields.values())]
    assert len(empty) >= 15
    for model in empty:
        model.model_validate({})
