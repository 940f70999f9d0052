"""What a worker counts alone while the store is away: a share of each limit, by the pure reference.

The share is the capacity divided by the last known number of workers, at least one request. So an outage admits at most
the limit and the sum of the shares: what the store had admitted before, and each worker's own.
"""

from dataclasses import replace
from typing import Final

from proxy.metering.decision import Decision
from proxy.metering.plan import Plan
from proxy.metering.reference import Reference
from proxy.metering.takes import Ask, Outcome, Take, Verdict
from proxy.policy.model import MILLI, MeterKind

MAX_METERS: Final = 50_000
PRUNE_MS: Final = 10_000


def share(take: Take, workers: int) -> Take:
    """The take as one of so many workers may make it."""
    capacity = min(take.capacity, max(MILLI, take.capacity // workers))
    if take.kind is MeterKind.SMOOTH:
        return replace(take, capacity=capacity, b=take.b * workers)  # what drips back is shared too
    return replace(take, capacity=capacity)


class LocalMeters:
    """One worker's own counts. They outlive an outage: the next one within a window goes on with them."""

    def __init__(self) -> None:
        self._reference = Reference()
        self._pruned_ms = 0

    def admit(self, plan: Plan, lease: bytes | None, now_ms: int, workers: int) -> Decision:
        """The decision on a plan by this worker's share. ``now_ms``: epoch."""
        reference = self._reference
        now_ms, _ = reference.tick(now_ms)
        if now_ms - self._pruned_ms > PRUNE_MS or len(reference.meters) > MAX_METERS:
            self._prune(now_ms)
        takes = [share(take, workers) for take in plan.takes]
        (answer,) = reference.decide([Ask(takes, lease=lease)], now_ms, now_ms)
        outcome, meters = answer.outcome, answer.meters
        if outcome is Outcome.IMPOSSIBLE and all(
            take.amount <= take.capacity for take in plan.takes if not take.shadow
        ):
            # More than the share, not more than the limit: it may pass when the store is back.
            outcome = Outcome.REFUSED
            meters = tuple(
                (Verdict.NOT_NOW if value == Verdict.NEVER else value) if place % 3 == 0 else value
                for place, value in enumerate(meters)
            )
        return Decision(plan, outcome, meters, local=True)

    def release(self, lease: bytes, plan: Plan) -> None:
        """Gives a lease of this worker's own back."""
        for take in plan.takes:
            if take.kind is MeterKind.CONCURRENCY:
                self._reference.drop(take.key, lease)

    def _prune(self, now_ms: int) -> None:
        self._pruned_ms = now_ms
        self._reference.prune(now_ms)
        meters = self._reference.meters
        for key in list(meters)[: max(0, len(meters) - MAX_METERS // 2)] if len(meters) > MAX_METERS else ():
            del meters[key]
