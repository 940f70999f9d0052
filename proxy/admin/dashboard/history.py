"""What the charts show of the last quarter of an hour, and what the tables sum over the last five minutes. Pure.

Points are kept by time and by number; snapshots to subtract from are kept every ten seconds. What was before the
gateway was first looked at is not known.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from proxy.admin.dashboard.figures import DECLINED, Ended, Figures, by, since
from proxy.admin.dashboard.quantiles import in_ms, quantile
from proxy.gateway.exchange import CacheResult
from proxy.telemetry.metrics import DURATION

KEEP_MS: Final = 900_000
MOST_POINTS: Final = 450  # a quarter of an hour at two seconds
WINDOW_MS: Final = 300_000
SNAPSHOT_MS: Final = 10_000
LEAST_MS: Final = 1_000  # rates over less would be noise

SERVED_BY_CACHE: Final = frozenset({CacheResult.HIT, CacheResult.STALE, CacheResult.REVALIDATED, CacheResult.COALESCED})
_SECOND_MS: Final = 1_000
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Point:
    """One step of the charts; its fields in this order are a row of what the page gets. None: nothing to tell of.

    ``at_ms``: epoch, its end. Rates are per second, spending in dollars an hour.
    """

    at_ms: int
    served: float
    refused: float
    failed: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    in_flight: int
    hit_ratio: float | None
    spend_usd_h: float

    def row(self) -> list[float | None]:
        return [getattr(self, name) for name in FIELDS]


FIELDS: Final = tuple(Point.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Window:
    """What was counted within the last ``span_ms``."""

    span_ms: int
    counted: Figures

    def per_s(self, count: float) -> float:
        return rate(count, self.span_ms)


def rate(count: float, span_ms: int) -> float:
    """Per second, to three digits behind the point; 0 where no time has gone by."""
    return round(count * _SECOND_MS / span_ms, 3) if span_ms > 0 else 0.0


def hit_ratio(results: dict[str, float]) -> float | None:
    """Of requests that were eligible: all but those that passed the cache by."""
    eligible = sum(results.values()) - results.get(CacheResult.BYPASS, 0.0)
    served = sum(results.get(result, 0.0) for result in SERVED_BY_CACHE)
    return round(served / eligible, 4) if eligible > 0 else None


def how_ended(counted: Figures) -> dict[Ended, float]:
    """Of all routes; the app's own 5xx are failures, and what was declined with one is none."""
    found = by(counted, "ended", 2)
    declined = sum(count for reason, count in by(counted, "reason", 2).items() if reason in DECLINED)
    moved = min(declined, found.get(Ended.FAILED, 0.0))
    return {
        Ended.SERVED: found.get(Ended.SERVED, 0.0),
        Ended.REFUSED: found.get(Ended.REFUSED, 0.0) + moved,
        Ended.FAILED: found.get(Ended.FAILED, 0.0) - moved + found.get(Ended.ERRORED, 0.0),
    }


def point(counted: Figures, span_ms: int, at_ms: int, in_flight: int) -> Point:
    """Of what was counted within ``span_ms``."""
    ends, took = how_ended(counted), by(counted, "took", 2)
    p50, p95, p99 = (in_ms(quantile(share, DURATION.buckets, took)) for share in (0.5, 0.95, 0.99))
    return Point(
        at_ms=at_ms,
        served=rate(ends[Ended.SERVED], span_ms),
        refused=rate(ends[Ended.REFUSED], span_ms),
        failed=rate(ends[Ended.FAILED], span_ms),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        in_flight=in_flight,
        hit_ratio=hit_ratio(by(counted, "cache", 2)),
        spend_usd_h=round(sum(by(counted, "spend").values()) * _HOUR_MS / span_ms, 6),
    )


class History:
    """Of one gateway. ``number`` is that of the newest point; the first has 1."""

    def __init__(self) -> None:
        self.number = 0
        self._points: deque[Point] = deque(maxlen=MOST_POINTS)
        self._snapshots: deque[tuple[int, Figures]] = deque()
        self._newest: tuple[int, Figures] | None = None
        self._pending: tuple[int, Figures] | None = None  # where the next point begins

    def look(self, now_ms: int, figures: Figures, in_flight: int) -> Point | None:
        """Takes what is counted by now. None: the first look, or one too soon for a point of its own."""
        if self._newest is not None and now_ms < self._newest[0]:  # the clock was set back: what was before has no time
            self._points.clear()
            self._snapshots.clear()
            self._pending = None
        self._newest = (now_ms, figures)
        if not self._snapshots or now_ms - self._snapshots[-1][0] >= SNAPSHOT_MS:
            self._snapshots.append((now_ms, figures))
        # One that is older than the window is kept to subtract from, until the next is old enough as well.
        while len(self._snapshots) > 1 and self._snapshots[1][0] <= now_ms - WINDOW_MS:
            self._snapshots.popleft()
        if self._pending is None:
            self._pending = self._newest
            return None
        then_ms, then = self._pending
        if now_ms - then_ms < LEAST_MS:
            return None
        self._pending = self._newest
        made = point(since(figures, then), now_ms - then_ms, now_ms, in_flight)
        self._points.append(made)
        self.number += 1
        while self._points[0].at_ms < now_ms - KEEP_MS:
            self._points.popleft()
        return made

    def points(self, after: int = 0) -> list[Point]:
        """Those that came after the one with this number, as far as they are kept."""
        missing = min(max(0, self.number - after), len(self._points))
        return list(self._points)[len(self._points) - missing :]

    def window(self) -> Window:
        """Since the oldest snapshot: five minutes, or as long as it has been looked."""
        if self._newest is None:
            return Window(0, {})
        (now_ms, now), (then_ms, then) = self._newest, self._snapshots[0]
        return Window(now_ms - then_ms, since(now, then))
