"""Server-Timing is read as its grammar says, and only what the policy lists is counted."""

import time

import pytest

from proxy.gateway.servertiming import MOST_BYTES, ServerTimings, durations
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("db;dur=53", [("db", 53.0)]),
        ("db;dur=53.2, app;dur=47.25", [("db", 53.2), ("app", 47.25)]),
        ('cache;desc="Cache, read; dur=9";dur=23.2', [("cache", 23.2)]),
        ('db; desc="a \\" b" ; DUR = "7.5"', [("db", 7.5)]),
        ("miss, db;dur=1", [("db", 1.0)]),
        ("total;dur=1;dur=2", [("total", 1.0)]),  # the first one counts
        ("db;dur=-1, app;dur=1e3, ok;dur=3", [("ok", 3.0)]),
        ("db;dur=99999999", []),
        ("db;dur=1 x, app;dur=2", []),
        ("", []),
        (";;;=,", []),
    ],
)
def test_durations(value: str, found: list[tuple[str, float]]) -> None:
    """https://www.w3.org/TR/server-timing/ §3.1"""
    assert durations(value) == found


@pytest.mark.parametrize("piece", [" ", "a", ";a", '="', ";a=b ", "\\", "a;dur=1,"])
def test_no_field_takes_long_to_read(piece: str) -> None:
    started_s = time.process_time()
    durations((piece * MOST_BYTES)[:MOST_BYTES] + "\x00")
    assert time.process_time() - started_s < 0.1


def test_only_names_of_the_list_are_counted() -> None:
    files = SheetFiles.make()
    timings = ServerTimings("app", frozenset({"db"}), Metrics(Sheet(files)))
    timings.observe([(b"Server-Timing", b"db;dur=100, made-up;dur=1"), (b"server-timing", b"db;dur=50"), (b"X", b"db")])
    counts = {key: value for key, value in SheetReader(files).series() if value}
    assert {name for name, _ in counts} == {"sluicegate_server_timing_seconds", "sluicegate_server_timing_seconds#sum"}
    assert counts["sluicegate_server_timing_seconds#sum", ("app", "db")] == pytest.approx(0.15)
    assert all(labels[:2] == ("app", "db") for _, labels in counts)
