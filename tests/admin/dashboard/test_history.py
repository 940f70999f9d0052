"""What the charts show and the tables sum."""

from proxy.admin.dashboard.figures import Ended, Figures
from proxy.admin.dashboard.history import (
    FIELDS,
    KEEP_MS,
    MOST_POINTS,
    SNAPSHOT_MS,
    WINDOW_MS,
    History,
    hit_ratio,
    how_ended,
    point,
)

NOW = 1_795_000_000_000


def served(count: float, route: str = "app") -> Figures:
    return {("ended", route, "served"): count}


def test_the_first_look_is_where_points_begin() -> None:
    """What was counted before has no time to be divided by."""
    history = History()
    assert history.look(NOW, served(1_000), 3) is None
    made = history.look(NOW + 2_000, served(1_010), 3)
    assert made is not None
    assert (made.at_ms, made.served, made.in_flight, made.p95_ms, made.hit_ratio) == (NOW + 2_000, 5.0, 3, None, None)
    assert (history.number, history.points()) == (1, [made])


def test_a_look_too_soon_makes_no_point_and_loses_nothing() -> None:
    history = History()
    history.look(NOW, served(0), 0)
    assert history.look(NOW + 500, served(4), 0) is None
    made = history.look(NOW + 2_000, served(8), 0)
    assert made is not None
    assert made.served == 4.0


def test_who_missed_some_points_gets_those() -> None:
    history = History()
    for second in range(0, 12, 2):
        history.look(NOW + second * 1_000, served(second), 0)
    assert history.number == 5
    assert [one.at_ms - NOW for one in history.points(3)] == [8_000, 10_000]
    assert history.points(5) == []
    assert len(history.points(0)) == 5
    assert history.points(99) == []  # of another history: its listener is told all


def test_points_and_snapshots_are_bounded_by_time_and_number() -> None:
    history = History()
    for tick in range(2 * MOST_POINTS):
        history.look(NOW + tick * 2_000, served(tick), 0)
    points = history.points()
    assert len(points) <= MOST_POINTS
    assert points[-1].at_ms - points[0].at_ms <= KEEP_MS
    assert len(history._snapshots) <= WINDOW_MS // SNAPSHOT_MS + 2


def test_the_window_is_the_last_five_minutes_or_what_was_seen() -> None:
    history = History()
    assert history.window().counted == {}
    history.look(NOW, served(100), 0)
    history.look(NOW + 30_000, served(160), 0)
    assert history.window().span_ms == 30_000
    assert history.window().per_s(60) == 2.0
    for second in range(40, 700, 10):
        history.look(NOW + second * 1_000, served(100 + 2 * second), 0)
    window = history.window()
    assert WINDOW_MS <= window.span_ms <= WINDOW_MS + SNAPSHOT_MS
    assert window.counted == served(2 * window.span_ms / 1_000)


def test_a_clock_that_was_set_back_begins_anew() -> None:
    """Else there would be no point until it has come back to where it was."""
    history = History()
    history.look(NOW, served(0), 0)
    history.look(NOW + 2_000, served(2), 0)
    assert history.look(NOW - 3_600_000, served(4), 0) is None
    made = history.look(NOW - 3_598_000, served(8), 0)
    assert made is not None
    assert (made.served, history.points(), history.window().span_ms) == (2.0, [made], 2_000)


def test_the_cache_has_no_part_in_what_passes_it_by() -> None:
    assert hit_ratio({"hit": 6, "stale": 1, "coalesced": 1, "miss": 2, "bypass": 90}) == 0.8
    assert hit_ratio({"bypass": 3}) is None


def test_maintenance_and_clients_faults_are_no_failures() -> None:
    counted: Figures = {
        ("ended", "app", "served"): 10.0,
        ("ended", "app", "failed"): 8.0,
        ("ended", "app", "errored"): 2.0,
        ("ended", "app", "refused"): 1.0,
        ("reason", "gateway", "maintenance"): 5.0,
        ("reason", "client", "upgrade_unsupported"): 1.0,
        ("reason", "upstream", "upstream_reset"): 2.0,
    }
    assert how_ended(counted) == {Ended.SERVED: 10.0, Ended.REFUSED: 7.0, Ended.FAILED: 4.0}


def test_a_point_says_all_and_its_row_is_in_the_fields_order() -> None:
    counted: Figures = {
        ("ended", "a", "served"): 6.0,
        ("ended", "b", "refused"): 2.0,
        ("took", "a", "0.01"): 4.0,
        ("took", "b", "0.1"): 4.0,
        ("cache", "a", "hit"): 3.0,
        ("cache", "a", "miss"): 1.0,
        ("spend", "openai"): 0.001,
    }
    row = dict(zip(FIELDS, point(counted, 2_000, NOW, 7).row(), strict=True))
    assert row == {
        "at_ms": NOW, "served": 3.0, "refused": 1.0, "failed": 0.0, "p50_ms": 10.0, "p95_ms": 95.0, "p99_ms": 99.0,
        "in_flight": 7, "hit_ratio": 0.75, "spend_usd_h": 1.8,
    }  # fmt: skip
