"""docs/migration.md: its policies compile one after the other, and do what each step says; its files are there."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.policy.compiler import Loaded, compile_text
from proxy.policy.model import RouteMode

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/migration.md").read_text("utf-8")
STEPS = [
    (int(number), block)
    for number, text in re.findall(r"^## (\d)\. (.*?)(?=^## )", PAGE, re.DOTALL | re.MULTILINE)
    for block in re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
]


@pytest.fixture(scope="module")
def compiled() -> dict[int, Loaded]:
    """By step: the policy so far, with the keys that the step writes in place of those before it."""
    policy: dict[str, Any] = {}
    made = {}
    for number, block in STEPS:
        policy |= yaml.safe_load(block)
        text = yaml.safe_dump(policy, sort_keys=False)
        made[number] = compile_text(text, f"step {number}", {}, allow_missing_secrets=True)
    return made


def test_each_step_is_a_policy_without_a_warning(compiled: dict[int, Loaded]) -> None:
    """But one, which the goals themselves bring: a month's budget is less than its days'."""
    assert list(compiled) == [2, 3, 4, 5, 6]
    warnings = {number: [found.message for found in one.warnings] for number, one in compiled.items()}
    last = warnings.pop(6)
    assert not any(warnings.values()), warnings
    assert len(last) == 1
    assert "month" in last[0]


def test_nothing_is_refused_before_step_3(compiled: dict[int, Loaded]) -> None:
    shadowed = {number: {route.mode for route in one.policy.routes} for number, one in compiled.items()}
    assert shadowed == {2: {RouteMode.SHADOW}} | {number: {RouteMode.ENFORCE} for number in (3, 4, 5, 6)}


def test_answers_are_stored_from_step_5_on_and_calls_priced_from_6(compiled: dict[int, Loaded]) -> None:
    caches = {number: any(r.caching is not None for r in one.policy.routes) for number, one in compiled.items()}
    spends = {number: any(r.spending is not None for r in one.policy.routes) for number, one in compiled.items()}
    assert [number for number, it in caches.items() if it] == [5, 6]
    assert [number for number, it in spends.items() if it] == [6]


def test_what_it_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGE) + [f"../{name}" for name in re.findall(r"-f (deploy/\S+)", PAGE)]
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
