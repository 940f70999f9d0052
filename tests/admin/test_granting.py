"""What is granted by what ops ask for."""

from dataclasses import replace
from pathlib import Path

import pytest

from proxy.admin.granting import Asked, ending, grants, read_amount, read_number
from proxy.ledger.grants import Ending
from proxy.policy.compiler import load
from proxy.policy.model import Policy
from tests.admin.spent import written_policy
from tests.ledger.samples import NOW_MS

ASKED = Asked("tenant:acme", "$200", "2026-12-01", "a demo", "ops")
MORE = "  extra: {scope: tenant, daily: $1}"


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load(written_policy(tmp_path, zone="Europe/Zurich", more=MORE), {}).policy


def test_it_is_for_every_budget_that_is_counted_so(policy: Policy) -> None:
    made = grants(policy, ASKED, NOW_MS)
    assert [(one.budget, one.scope, one.amount_nanousd) for one in made] == [
        ("tenant", "tenant:acme", 200 * 10**9),
        ("extra", "tenant:acme", 200 * 10**9),
    ]
    assert {(one.granted_ms, one.reason, one.granted_by) for one in made} == {(NOW_MS, "a demo", "ops")}


def test_it_is_for_the_one_that_is_named(policy: Policy) -> None:
    assert [one.budget for one in grants(policy, replace(ASKED, budget="extra"), NOW_MS)] == ["extra"]


def test_a_budget_of_several_periods_is_granted_once(policy: Policy) -> None:
    assert [one.budget for one in grants(policy, replace(ASKED, scope="global"), NOW_MS)] == ["global"]


def test_it_ends_in_the_budgets_time_zone(policy: Policy) -> None:
    (made, _) = grants(policy, ASKED, NOW_MS)
    assert made.until_ms == 1_796_079_600_000  # 2026-11-30T23:00Z


def test_the_scope_is_written_as_admission_looks_for_it(policy: Policy) -> None:
    """A user without an issuer is of the only one; what need not be escaped may come plain."""
    assert grants(policy, replace(ASKED, scope="user:u%201"), NOW_MS)[0].scope == "user:test-issuer u%201"
    assert grants(policy, replace(ASKED, scope="tenant:50%"), NOW_MS)[0].scope == "tenant:50%25"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scope": "tenat:acme"}, "no budget is counted by 'tenat:acme': global is by global, tenant is by"),
        ({"budget": "tenat"}, "the policy has no budget 'tenat'; did you mean 'tenant'"),
        ({"budget": "user"}, "no budget is counted by 'tenant:acme': user is by user:ISSUER USER"),
        ({"amount": "200"}, "is not in dollars"),
        ({"amount": "$0"}, "a grant of nothing"),
        ({"amount": "$10_000_000"}, "2\\^53"),
        ({"until": "soon"}, "none of eod, eow, eom"),
        ({"until": "2026-11-01"}, "is over"),
        ({"until": "0s"}, "is over"),
        ({"reason": " "}, "says why"),
        ({"by": ""}, "who granted"),
        ({"scope": "tenant:%FF"}, "'tenant:%FF' is not UTF-8"),
        ({"scope": "tenant:\udcff"}, "is not UTF-8"),
        ({"reason": "\ud800"}, "is not UTF-8"),
        ({"by": "\udcff"}, "is not UTF-8"),
    ],
)  # fmt: skip
def test_what_cannot_be_granted_says_what_could(policy: Policy, changes: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        grants(policy, replace(ASKED, **changes), NOW_MS)


def test_half_a_character_of_a_token_can_be_named(policy: Policy) -> None:
    assert grants(policy, replace(ASKED, scope="tenant:%ED%A0%80"), NOW_MS)[0].scope == "tenant:%ED%A0%80"


@pytest.mark.parametrize("text", ["$-0.50", "-$0.50", " $-0.50 "])
def test_below_zero_takes_back(text: str) -> None:
    assert read_amount(text) == -500_000_000


def test_an_ending_is_of_now() -> None:
    assert ending("well again", "ops", NOW_MS) == Ending(NOW_MS, "well again", "ops")
    with pytest.raises(ValueError, match="not UTF-8"):
        ending("\ud800", "ops", NOW_MS)


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "\u0661", "seven", "9" * 19, " 7"])
def test_a_grant_is_named_by_its_number(text: str) -> None:
    assert read_number("7") == 7
    assert read_number("9" * 18) < 2**63
    with pytest.raises(ValueError, match="no number of a grant"):
        read_number(text)
