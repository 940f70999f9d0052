"""An incident from its first sign to its end: what is told of it, and what is not."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.alerts.incident import Incident, News, Reading, step
from proxy.policy.service import Bound, Measure, Rule
from proxy.policy.spending import Level

WARNING, CRITICAL = Level.WARNING, Level.CRITICAL
FOR_MS, CALM_MS, REPEAT_MS = 60_000, 300_000, 3_600_000
RULE = Rule(Measure.SHARE, (Bound(WARNING, 0.01, for_ms=FOR_MS), Bound(CRITICAL, 0.05)), CALM_MS)
CALM, NEITHER = Reading(None, calm=True), Reading(None, calm=False)
BAD, WORSE = Reading(WARNING, calm=False), Reading(CRITICAL, calm=False)


def lived(
    *readings: tuple[int, Reading], repeat_ms: int | None = None, muted: bool = False
) -> list[tuple[int, News, Level]]:
    """What is told, and when, of readings at these instants."""
    told: list[tuple[int, News, Level]] = []
    incident: Incident | None = None
    for at_ms, reading in readings:
        before = incident
        incident, news = step(incident, reading, RULE, repeat_ms, at_ms, muted=muted)
        if news is not None:
            level = (incident or before).level  # type: ignore[union-attr]
            assert level is not None
            told.append((at_ms, news, level))
    return told


def test_a_warning_has_to_last_and_what_is_critical_does_not() -> None:
    assert lived((0, BAD), (59_999, BAD)) == []
    assert lived((0, BAD), (59_999, BAD), (60_000, BAD)) == [(60_000, News.FIRED, WARNING)]
    assert lived((0, WORSE)) == [(0, News.FIRED, CRITICAL)]


def test_what_becomes_critical_before_it_was_told_is_told_once() -> None:
    assert lived((0, BAD), (5_000, WORSE), (90_000, WORSE)) == [(5_000, News.FIRED, CRITICAL)]


def test_a_warning_that_gets_worse_is_told_again_and_one_that_gets_better_is_not() -> None:
    told = lived((0, BAD), (60_000, BAD), (70_000, WORSE), (80_000, BAD), (90_000, WORSE))
    assert told == [(60_000, News.FIRED, WARNING), (70_000, News.RAISED, CRITICAL)]


def test_it_is_over_once_all_was_calm_for_long_enough() -> None:
    """What is neither calm nor broken begins that anew."""
    told = lived((0, WORSE), (1_000, CALM), (200_000, CALM), (250_000, NEITHER), (300_000, CALM), (599_999, CALM))
    assert told == [(0, News.FIRED, CRITICAL)]
    assert lived((0, WORSE), (1_000, CALM), (301_000, CALM))[1:] == [(301_000, News.RESOLVED, CRITICAL)]


def test_what_was_not_told_has_no_end() -> None:
    assert lived((0, BAD), (10_000, CALM), (400_000, CALM)) == []


def test_a_warning_that_pauses_begins_anew() -> None:
    assert lived((0, BAD), (50_000, CALM), (70_000, BAD), (129_000, BAD)) == []


def test_reminders_come_only_where_they_are_wanted() -> None:
    """And while it lasts: not in the calm before the end."""
    readings = [(minute * 60_000, WORSE) for minute in range(181)]
    assert lived(*readings) == [(0, News.FIRED, CRITICAL)]
    told = lived(*readings, repeat_ms=REPEAT_MS)
    assert [at_ms for at_ms, _, _ in told] == [0, REPEAT_MS, 2 * REPEAT_MS, 3 * REPEAT_MS]
    assert {news for _, news, _ in told[1:]} == {News.REMINDED}
    calm = [(0, WORSE), (REPEAT_MS - 1, CALM), (REPEAT_MS + 1, CALM)]
    assert lived(*calm, repeat_ms=REPEAT_MS) == [(0, News.FIRED, CRITICAL)]


def test_what_something_else_explains_is_not_told_but_its_end_is() -> None:
    assert lived((0, WORSE), (1_000, WORSE), muted=True) == []
    told = Incident(0, WARNING, told_ms=0)
    after, news = step(told, WORSE, RULE, REPEAT_MS, 2 * REPEAT_MS, muted=True)
    assert (after, news) == (Incident(0, WARNING, 0, None, {WARNING: 2 * REPEAT_MS, CRITICAL: 2 * REPEAT_MS}), None)
    calm = Incident(0, WARNING, told_ms=0, calm_ms=1_000)
    assert step(calm, CALM, RULE, None, 301_000, muted=True) == (None, News.RESOLVED)


def test_what_may_be_explained_waits_for_that() -> None:
    """Even where it is critical."""
    incident, news = step(None, WORSE, RULE, None, 0, patience_ms=30_000)
    assert news is None
    assert step(incident, WORSE, RULE, None, 30_000, patience_ms=30_000)[1] is News.FIRED


def test_what_outlasts_its_explanation_is_told_then() -> None:
    incident, _ = step(None, WORSE, RULE, None, 0, muted=True)
    assert step(incident, WORSE, RULE, None, 5_000)[1] is News.FIRED


def test_a_clock_that_is_set_back_stops_nothing() -> None:
    """The end comes after the time that it takes, by the new clock."""
    incident: Incident | None = Incident(10_000_000, CRITICAL, 10_000_000)
    incident, _ = step(incident, CALM, RULE, None, 10_001_000)
    incident, _ = step(incident, CALM, RULE, None, 5_000)
    assert step(incident, CALM, RULE, None, 5_000 + CALM_MS)[1] is News.RESOLVED


_READINGS = st.lists(
    st.tuples(st.integers(1, 200_000), st.sampled_from([CALM, NEITHER, BAD, WORSE]), st.booleans()), max_size=80
)


@given(_READINGS, st.sampled_from([None, 600_000]))
def test_whoever_hears_of_a_beginning_hears_of_one_end(
    steps: list[tuple[int, Reading, bool]], repeat_ms: int | None
) -> None:
    """Never two beginnings without an end between them, nor an end without a beginning; between them it only gets
    worse, once; reminders are as far apart as asked."""
    incident, now_ms, open_level, told_ms = None, 0, None, 0
    heard: list[tuple[News, bool]] = []
    for elapsed_ms, reading, muted in steps:
        now_ms += elapsed_ms
        incident, news = step(incident, reading, RULE, repeat_ms, now_ms, muted=muted)
        match news:
            case News.FIRED:
                assert open_level is None
            case News.RAISED:
                assert (open_level, incident and incident.level) == (WARNING, CRITICAL)
            case News.REMINDED:
                assert open_level is not None
                assert repeat_ms is not None
                assert now_ms - told_ms >= repeat_ms
            case News.RESOLVED:
                assert open_level is not None
                assert incident is None
        if news is not None:
            heard.append((news, muted))
            told_ms = now_ms
        open_level = None if incident is None else incident.level
    assert {news for news, muted in heard if muted} <= {News.RESOLVED}
