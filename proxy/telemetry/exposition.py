"""Sums the workers' sheets into what Prometheus scrapes. Lives in the parent."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar as TracedSample

from proxy.telemetry.exemplar import Exemplar
from proxy.telemetry.metrics import FAMILIES, SUM, Kind
from proxy.telemetry.points import Told, bucket_labels, told
from proxy.telemetry.sheet import SeriesKey, SheetReader

_Bucket = tuple[str, float] | tuple[str, float, TracedSample]

OPENMETRICS: Final = "application/openmetrics-text"
_COUNTS_OUTLIVE = frozenset(
    name for family in FAMILIES if family.kind is not Kind.GAUGE for name in (family.name, family.name + SUM)
)
_HAVE_EXEMPLARS = frozenset(family.name for family in FAMILIES if family.exemplars)


class Exposition:
    """All sheets of the gateway; what dead workers counted is kept. All counts began with it, at ``began_s``."""

    def __init__(self, now_s: Callable[[], float] = time.time) -> None:
        self._keys = itertools.count()
        self._live: dict[int, SheetReader] = {}
        self._retired: dict[SeriesKey, float] = {}
        self._retired_exemplars: dict[SeriesKey, Exemplar] = {}
        self.began_s = now_s()

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
        _keep_newest(self._retired_exemplars, reader)
        reader.close()

    def totals(self) -> dict[SeriesKey, float]:
        totals = dict(self._retired)
        for reader in self._live.values():
            for series, value in reader.series():
                totals[series] = totals.get(series, 0.0) + value
        return totals

    def exemplars(self) -> dict[SeriesKey, Exemplar]:
        """Of each bucket the newest."""
        newest = dict(self._retired_exemplars)
        for reader in self._live.values():
            _keep_newest(newest, reader)
        return newest

    def told(self) -> Iterator[Told]:
        """All of it, with exemplars."""
        return told(self.totals(), self.exemplars())

    def scrape(self, accept: str) -> tuple[bytes, str]:
        """The body and its Content-Type, in the format that ``accept`` asks for."""
        encode, content_type = choose_encoder(accept)
        if content_type.startswith(OPENMETRICS):
            return encode(_Scraped(self.told())), content_type
        return encode(_Scraped(told(self.totals(), {}))), content_type


def _keep_newest(newest: dict[SeriesKey, Exemplar], reader: SheetReader) -> None:
    for series, exemplar in reader.exemplars(_HAVE_EXEMPLARS):
        before = newest.get(series)
        if before is None or before.at_s <= exemplar.at_s:
            newest[series] = exemplar


class _Scraped(Collector):
    """For one scrape. Without OpenMetrics' ``_created``: Prometheus asks for that format by itself, and keeps each as a
    series of its own beside the count."""

    def __init__(self, metrics: Iterable[Told]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        for one in self._metrics:
            yield _METRICS[one.family.kind](one)


def _counter(one: Told) -> Metric:
    metric = CounterMetricFamily(one.family.name, one.family.help, labels=one.family.labels)
    for number in one.numbers:
        metric.add_metric(number.labels, number.value)
    return metric


def _gauge(one: Told) -> Metric:
    metric = GaugeMetricFamily(one.family.name, one.family.help, labels=one.family.labels)
    for number in one.numbers:
        metric.add_metric(number.labels, number.value)
    return metric


def _histogram(one: Told) -> Metric:
    family = one.family
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    bounds = ["+Inf" if label == "inf" else label for label in bucket_labels(family)]
    for each in one.distributions:
        accumulated = itertools.accumulate(each.counts)
        buckets = [
            _bucket(bound, count, exemplar)
            for bound, count, exemplar in zip(bounds, accumulated, each.exemplars, strict=True)
        ]
        metric.add_metric(each.labels, buckets, each.total)
    return metric


def _bucket(bound: str, count: float, exemplar: Exemplar | None) -> _Bucket:
    if exemplar is None:
        return bound, count
    return bound, count, TracedSample({"trace_id": exemplar.trace_id}, exemplar.value, exemplar.at_s)


_METRICS: Final = {Kind.COUNTER: _counter, Kind.GAUGE: _gauge, Kind.HISTOGRAM: _histogram}
