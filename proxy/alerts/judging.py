"""Whether what was counted, or is, breaks a rule's bounds. Pure: callers pass now_ms, monotonic."""

from proxy.alerts.incident import Reading
from proxy.alerts.windows import History, Tally
from proxy.policy.service import Bound, Measure, Rule


def judge_history(rule: Rule, history: History, now_ms: float) -> tuple[Reading, Tally, Bound]:
    """What was counted breaks a bound if it does over the bound's whole time and lately, with as many requests and as
    many bad ones as the rule asks. Also: what was counted within the time of the bound that is told of, and that bound.
    """
    calm = True
    broken: Bound | None = None
    for bound in rule.bounds:
        lately = history.over(bound.lately_ms, now_ms)
        value = measured(rule.measure, lately)
        if value is None or value <= bound.limit:
            continue
        calm = False
        whole = history.over(bound.over_ms, now_ms)
        long_value = measured(rule.measure, whole)
        enough = whole.total >= rule.at_least and whole.bad >= rule.fewest
        if enough and long_value is not None and long_value > bound.limit:
            broken = bound
    told = broken or rule.bounds[0]
    whole = history.over(told.over_ms, now_ms)
    lately_value = measured(rule.measure, history.over(told.lately_ms, now_ms))
    current = measured(rule.measure, whole) or 0.0
    level = None if broken is None else broken.level
    return Reading(level, calm, current, lately_value, told.limit), whole, told


def judge_value(rule: Rule, value: float) -> Reading:
    """Of what is now; NaN breaks nothing."""
    broken = None
    for bound in rule.bounds:
        if value < bound.limit if rule.measure is Measure.BELOW else value > bound.limit:
            broken = bound
    told = broken or rule.bounds[0]
    return Reading(None if broken is None else broken.level, broken is None, value, None, told.limit)


def measured(measure: Measure, tally: Tally) -> float | None:
    """A share, a mean in seconds, or a count; None: of nothing."""
    if measure is Measure.COUNT:
        return tally.amount
    return tally.amount / tally.total if tally.total > 0 else None
