"""What cannot add up is told with its figures; ``warned/sums.yaml`` has the messages word for word."""

from collections.abc import Callable

import pytest

from proxy.policy.compiler import Loaded

Load = Callable[..., Loaded]


@pytest.mark.parametrize(
    ("written", "warned"),
    [
        ("daily: $1_000, monthly: $31_000", False),
        ("daily: $1_000, monthly: $30_999.999999999", True),
        ("daily: $1, weekly: $7", False),
        ("daily: $1, weekly: $6.999999999", True),
        ("weekly: $1, monthly: $4", False),
        ("weekly: $1, monthly: $3.999999999", True),
        ("daily: $1_000", False),
    ],
)
def test_a_longer_period_has_room_for_the_shorter_ones_or_a_warning(loaded: Load, written: str, warned: bool) -> None:
    """To the nano-dollar."""
    warnings = loaded(f"budgets: {{a: {{scope: global, {written}}}}}\n").warnings
    assert any("against" in problem.message for problem in warnings) is warned


def test_a_faulty_amount_is_no_reason_to_warn(loaded: Load) -> None:
    """Where a variable is missing its stand-in has no figure to tell."""
    text = "budgets: {a: {scope: global, daily: '${DAILY}', monthly: $2}}\n"
    warnings = loaded(text, allow_missing_secrets=True).warnings
    assert [problem.message for problem in warnings] == ["no route uses this budget"]
