"""Sums the workers' sheets into what Prometheus scrapes. Lives in the parent."""

import itertools
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from proxy.telemetry.metrics import FAMILIES, SUM, Family, Kind
from proxy.telemetry.sheet import SeriesKey, SheetReader

_COUNTS_OUTLIVE = frozenset(
    name for family in FAMILIES if family.kind is not Kind.GAUGE for name in (family.name, family.name + SUM)
)


class Exposition(Collector):
    """All sheets of the gateway; what dead workers counted is kept."""

    def __init__(self) -> None:
        self._keys = itertools.count()
        self._live: dict[int, SheetReader] = {}
        self._retired: dict[SeriesKey, float] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def attach(self, reader: SheetReader) -> int:
        """From now on it is summed; the number is what it is retired by."""
        key = next(self._keys)
        self._live[key] = reader
        return key

    def retire(self, key: int) -> None:
        """The process behind this sheet has ended: keep its counts, forget its gauges."""
        reader = self._live.pop(key)
        for series, value in reader.series():
            if series[0] in _COUNTS_OUTLIVE:
                self._retired[series] = self._retired.get(series, 0.0) + value
        reader.close()

    def totals(self) -> dict[SeriesKey, float]:
        totals = dict(self._retired)
        for reader in self._live.values():
            for series, value in reader.series():
                totals[series] = totals.get(series, 0.0) + value
        return totals

    def scrape(self, accept: str) -> tuple[bytes, str]:
        """The body and its Content-Type, in the format that ``accept`` asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        by_name: dict[str, dict[tuple[str, ...], float]] = {}
        for (name, labels), value in self.totals().items():
            by_name.setdefault(name, {})[labels] = value
        for family in FAMILIES:
            yield _METRICS[family.kind](family, by_name)

    def describe(self) -> Iterable[Metric]:
        return ()


Samples = dict[str, dict[tuple[str, ...], float]]


def _counter(family: Family, samples: Samples) -> Metric:
    metric = CounterMetricFamily(family.name, family.help, labels=family.labels)
    for labels, value in sorted(samples.get(family.name, {}).items()):
        metric.add_metric(labels, value)
    return metric


def _gauge(family: Family, samples: Samples) -> Metric:
    metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
    for labels, value in sorted(samples.get(family.name, {}).items()):
        metric.add_metric(labels, value)
    return metric


def _histogram(family: Family, samples: Samples) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    counts = samples.get(family.name, {})
    for labels, total in sorted(samples.get(family.name + SUM, {}).items()):
        running, buckets = 0.0, []
        for bound in (*family.buckets, float("inf")):
            running += counts.get((*labels, repr(bound)), 0.0)
            buckets.append(("+Inf" if bound == float("inf") else repr(bound), running))
        metric.add_metric(labels, buckets, total)
    return metric


_METRICS = {Kind.COUNTER: _counter, Kind.GAUGE: _gauge, Kind.HISTOGRAM: _histogram}
