"""Whose decisions to trace count, and how many traces a worker makes, is what the policy says."""

import pytest

from proxy.policy.problems import PolicyError
from proxy.policy.tracing import ALL_HEEDED, Heeded, Tracing


def test_by_default_anybodys_decision_counts(policy) -> None:
    assert policy().watching.tracing == ALL_HEEDED


@pytest.mark.parametrize("word", list(Heeded))
def test_they_may_be_left_to_trusted_proxies_or_to_nobody(policy, word: Heeded) -> None:
    written = f"tracing: {{decisions: {word.value}, per_second: 7}}\n"
    assert policy(written).watching.tracing == Tracing(word, 7)


@pytest.mark.parametrize("written", ["tracing: {decisions: some}\n", "tracing: {per_second: 0}\n"])
def test_what_is_no_rule_is_refused(policy, written: str) -> None:
    with pytest.raises(PolicyError):
        policy(written)
