"""Who is heeded is said in words that YAML leaves alone."""

import yaml

from proxy.policy.tracing import ALL_HEEDED, Heeded


def test_no_word_is_a_switch_to_yaml() -> None:
    """As ``no`` and ``off`` would be."""
    assert all(yaml.safe_load(word.value) == word.value for word in Heeded)


def test_whoever_is_heeded_leaves_room_for_those_that_are_drawn() -> None:
    assert ALL_HEEDED.per_second >= 2
