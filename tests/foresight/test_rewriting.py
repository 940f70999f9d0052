"""Other rates in a policy's text, and nothing else changed."""

import pytest
import yaml

from proxy.foresight.rewriting import NotFound, overlay_of, plain_policy, quoted, with_rates
from proxy.policy.compiler import compile_text
from tests.foresight.policies import TEXT, compiled

BLOCK = """\
limits:
  a:            # by address
    scope: ip
    rate:
      trial: 5/1m   # few
      default: 9/1m

  # the next one
  b: {scope: user, concurrent: 3}  # in flight
routes: []
"""


def test_only_the_rate_changes() -> None:
    assert with_rates(BLOCK, {"a": "{trial: 6/1m, default: 8/1m}", "b": "4"}) == (
        BLOCK.replace("trial: 5/1m   # few\n      default: 9/1m", "{trial: 6/1m, default: 8/1m}").replace(
            ": 3}", ": 4}"
        )
    )


def test_a_whole_policy_is_still_one() -> None:
    text = with_rates(TEXT, {"per-user": "{enterprise: 21/1m, default: 6/1m}", "per-ip": "7/1m", "in-flight": "9"})
    limits = compiled(text).limits
    assert limits["per-user"].rates["enterprise"].capacity == 21_000
    assert limits["per-ip"].rates["trial"].capacity == 7_000
    assert limits["in-flight"].rates["trial"].capacity == 9_000
    assert compiled(text).routes[0] == compiled().routes[0]


@pytest.mark.parametrize(
    "text",
    [
        "x-a: &r 5/1m\nlimits: {a: {scope: ip, rate: *r}}",
        "x-a: &l {scope: ip, rate: 5/1m}\nlimits: {a: {<<: *l}}",
        "limits: {b: {}}",
    ],
)
def test_what_stands_elsewhere_is_not_changed_there(text: str) -> None:
    with pytest.raises(NotFound, match="the rate of a does not stand in the limit itself"):
        with_rates(text, {"a": "6/1m"})


@pytest.mark.parametrize("tiers", [["trial", "enterprise", "none", "anonymous"], []])
def test_a_policy_for_a_log_without_one_is_a_policy(tiers: list[str]) -> None:
    policy = compile_text(plain_policy(tiers, "5m"), "policy.yaml", {"HOME": "/nowhere"}).policy
    assert policy.tiers == (*(tier for tier in tiers if tier in ("trial", "enterprise")), "anonymous")
    assert policy.limits["per-user"].rates["anonymous"].window_ms == 300_000


def test_tiers_of_a_log_are_written_as_a_policy_can_have_them() -> None:
    """``on`` is no word to YAML, and a name with a blank none to a policy: `suggest` failed on what it had written."""
    text = plain_policy(["on", "gold plan", "2026", "no", "default", "null", 'a"b', ""], "5m")
    policy = compile_text(text, "policy.yaml", {"HOME": "/nowhere"}).policy
    assert policy.tiers == ("on", "2026", "no", "null", "anonymous")
    assert policy.identity.unknown_tier == "null"


@pytest.mark.parametrize(
    ("name", "written"), [("trial", "trial"), ("on", '"on"'), ("2026-11-99", '"2026-11-99"'), ("1.5", '"1.5"')]
)
def test_a_name_is_quoted_where_it_must_be(name: str, written: str) -> None:
    assert quoted(name) == written
    assert yaml.safe_load(f"{{{written}: 1}}") == {name: 1}


def test_rates_alone_are_an_overlay() -> None:
    """In the form that `check --overlay` takes."""
    text = overlay_of({"a": "5/1m", "b": "{trial: 6/1m, default: 8/1m}", "c": "3"}, ["c"])
    assert text == "limits:\n  a: {rate: 5/1m}\n  b: {rate: {trial: 6/1m, default: 8/1m}}\n  c: {concurrent: 3}\n"
