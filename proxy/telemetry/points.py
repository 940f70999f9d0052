"""What all sheets together say, metric by metric: the form that whoever tells it outside starts from. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from proxy.telemetry.exemplar import Exemplar
from proxy.telemetry.metrics import FAMILIES, SUM, Family, Kind
from proxy.telemetry.sheet import SeriesKey


@dataclass(frozen=True, slots=True)
class Number:
    """A counter or a gauge. ``labels`` in the order of the family's."""

    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram. ``counts`` of each bucket alone, and ``exemplars``, have one more than the family has bounds."""

    labels: tuple[str, ...]
    counts: tuple[float, ...]
    total: float
    exemplars: tuple[Exemplar | None, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """One metric; of ``numbers`` and ``distributions`` one is empty. Both are sorted by labels."""

    family: Family
    numbers: tuple[Number, ...] = ()
    distributions: tuple[Distribution, ...] = ()


def bucket_labels(family: Family) -> tuple[str, ...]:
    """The last label of a histogram's counts in a sheet."""
    return tuple(repr(bound) for bound in (*family.buckets, float("inf")))


def told(totals: Mapping[SeriesKey, float], exemplars: Mapping[SeriesKey, Exemplar]) -> Iterator[Told]:
    """Of every family, also where nothing was counted yet."""
    by_name: dict[str, dict[tuple[str, ...], float]] = {}
    for (name, labels), value in totals.items():
        by_name.setdefault(name, {})[labels] = value
    for family in FAMILIES:
        samples = by_name.get(family.name, {})
        if family.kind is not Kind.HISTOGRAM:
            yield Told(family, numbers=tuple(Number(labels, value) for labels, value in sorted(samples.items())))
            continue
        bounds = bucket_labels(family)
        yield Told(
            family,
            distributions=tuple(
                Distribution(
                    labels,
                    tuple(samples.get((*labels, bound), 0.0) for bound in bounds),
                    total,
                    tuple(exemplars.get((family.name, (*labels, bound))) for bound in bounds),
                )
                for labels, total in sorted(by_name.get(family.name + SUM, {}).items())
            ),
        )
