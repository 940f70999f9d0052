"""Rules of matching, and their order."""

import pytest

from proxy.ai.prices.matching import Matcher, compiled, dashed_dates, exact_names


@pytest.mark.parametrize(
    ("rule", "name", "holds"),
    [
        (["equals", "GPT"], "gpt", True),
        (["equals", "gpt"], "gpt-5", False),
        (["starts_with", "gpt"], "gpt-5", True),
        (["ends_with", "5"], "gpt-5", True),
        (["contains", "t-"], "gpt-5", True),
        (["contains", "x"], "gpt-5", False),
        (["regex", "^o[134]"], "o3-mini", True),
        (["regex", "^o[134]"], "xo3", False),
        (["or", [["equals", "a"], ["equals", "b"]]], "b", True),
        (["and", [["starts_with", "a"], ["ends_with", "b"]]], "axb", True),
        (["and", [["starts_with", "a"], ["ends_with", "b"]]], "ax", False),
    ],
)
def test_a_rule(rule: list, name: str, holds: bool) -> None:
    assert compiled(rule)(name) is holds


def test_an_unknown_rule_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown"):
        compiled(["sounds_like", "x"])


def test_the_first_model_whose_rule_holds_is_meant() -> None:
    matcher = Matcher([["equals", "a"], ["starts_with", "a"], ["equals", "ab"], ["or", [["equals", "z"]]]])
    assert [matcher.find(name) for name in ("a", "ab", "ac", "z", "y")] == [0, 1, 1, 3, None]


def test_exact_names() -> None:
    assert exact_names(["or", [["equals", "A"], ["or", [["equals", "b"]]]]]) == ["a", "b"]
    assert exact_names(["or", [["equals", "a"], ["contains", "b"]]]) is None


@pytest.mark.parametrize(
    ("name", "dashed"),
    [
        ("gpt-5-20251211", "gpt-5-2025-12-11"),
        ("gpt-5-20250230", "gpt-5-20250230"),
        ("gpt-5-20251211:free", "gpt-5-2025-12-11:free"),
        ("gpt-5-202512110", "gpt-5-202512110"),
    ],
)
def test_dates_are_dashed(name: str, dashed: str) -> None:
    assert dashed_dates(name) == dashed
