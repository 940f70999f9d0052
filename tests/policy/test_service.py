"""What is watched of the service, as compiled."""

from proxy.policy.service import MINUTE_MS, Bound, Kind, Measure, Rule
from proxy.policy.spending import Level


def test_a_rule_knows_its_times() -> None:
    """The longest is what has to be remembered, the shortest what must not pass between two looks."""
    bounds = (Bound(Level.WARNING, 0.1, 300_000, 60_000, 60_000), Bound(Level.CRITICAL, 0.5, 300_000, 60_000))
    rule = Rule(Measure.SHARE, bounds, 300_000)
    assert (rule.longest_ms, rule.shortest_ms) == (300_000, 60_000)
    assert Rule(Measure.ABOVE, (Bound(Level.CRITICAL, 0, for_ms=2_000),), 5_000).shortest_ms == 2_000
    assert Rule(Measure.ABOVE, (Bound(Level.CRITICAL, 0),), 0).shortest_ms == MINUTE_MS


def test_what_explains_others_is_judged_before_them() -> None:
    kinds = list(Kind)
    assert kinds.index(Kind.UPSTREAM) < kinds.index(Kind.ERROR_RATE) < kinds.index(Kind.AVAILABILITY)
    assert kinds.index(Kind.UPSTREAM) < kinds.index(Kind.LATENCY)
