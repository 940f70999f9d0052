"""Quantiles of what a histogram counted, as Prometheus' ``histogram_quantile`` estimates them: within a bucket values
are taken to be spread evenly. Pure.
"""

from collections.abc import Mapping, Sequence


def quantile(share: float, buckets: Sequence[float], counts: Mapping[str, float]) -> float | None:
    """In the histogram's unit; None of nothing, the last bound of what lies beyond it. ``counts``: of each bucket
    alone, by its bound's ``repr``."""
    total = sum(counts.values())
    if total <= 0:
        return None
    wanted, running, lower = share * total, 0.0, 0.0
    for bound in buckets:
        count = counts.get(repr(bound), 0.0)
        if count and running + count >= wanted:
            return lower + (bound - lower) * (wanted - running) / count
        running, lower = running + count, bound
    return lower


def in_ms(seconds: float | None) -> float | None:
    """To three digits or so: more would be made up."""
    return None if seconds is None else round(seconds * 1000, 1 if seconds >= 0.01 else 2)
