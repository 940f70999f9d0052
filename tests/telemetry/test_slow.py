"""Which route is slow is told by the counts that Prometheus scrapes."""

from proxy.telemetry.metrics import DURATION, SERVER_TIMING, Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader
from proxy.telemetry.slow import slow_routes


def test_the_slowest_comes_first_with_where_its_time_goes() -> None:
    files = SheetFiles.make()
    metrics = Metrics(Sheet(files))
    for route, seconds in (("quick", 0.004), ("slow", 2.0), ("endless", 90.0)):
        for _ in range(20):
            metrics.histogram(DURATION, route).observe(seconds)
    metrics.histogram(SERVER_TIMING, "slow", "db").observe(1.5)
    metrics.histogram(DURATION, "unused")
    found = slow_routes(dict(SheetReader(files).series()))
    assert [(one["route"], one["p95_s"], one["mean_s"], one["count"]) for one in found] == [
        ("endless", None, 90.0, 20), ("slow", 2.5, 2.0, 20), ("quick", 0.005, 0.004, 20),
    ]  # fmt: skip
    assert found[1]["server_timing"] == {"db": {"count": 1, "mean_s": 1.5, "p95_s": 2.5}}
    assert found[0]["server_timing"] == {}


def test_one_in_twenty_may_be_slower_than_the_95th_percentile() -> None:
    files = SheetFiles.make()
    metrics = Metrics(Sheet(files))
    for seconds in [0.004] * 19 + [50.0]:
        metrics.histogram(DURATION, "app").observe(seconds)
    (found,) = slow_routes(dict(SheetReader(files).series()))
    assert found["p95_s"] == 0.005


def test_nothing_counted_is_nothing_slow() -> None:
    assert slow_routes({}) == []
