"""Refusals worth remembering, so that a client who hammers costs no round trip. Pure: callers pass now_ms.

Only of meters that never give back (requests in a window): there, what did not fit cannot fit before its delay has
passed, whatever else happens, and neither can anything larger. Never of concurrency: a slot may be free a moment later.
Kept as a delay from receipt on this worker's monotonic clock, so that no difference of clocks matters.
"""

from typing import Final

from proxy.metering.plan import Plan
from proxy.metering.takes import Outcome, Verdict
from proxy.policy.model import MeterKind

NEVER_GIVE_BACK: Final = frozenset({MeterKind.WINDOW, MeterKind.SMOOTH, MeterKind.CALENDAR})
MAX_REFUSALS: Final = 10_000  # about 2 MB
WORTH_MS: Final = 2.0  # a shorter delay is over before it is looked up


class Refusals:
    """Remembered by meter key: the least amount refused, and until when. Of one policy version."""

    __slots__ = ("_until", "_version")

    def __init__(self) -> None:
        self._until: dict[bytes, tuple[int, float]] = {}
        self._version = ""

    def __bool__(self) -> bool:
        return bool(self._until)

    def learn(self, plan: Plan, outcome: int, meters: tuple[float, ...], now_ms: float) -> None:
        """Remembers what refused. ``now_ms``: monotonic, of the reply's receipt."""
        if outcome != Outcome.REFUSED:
            return
        if plan.version != self._version:
            self._until.clear()
            self._version = plan.version
        for place, take in enumerate(plan.takes):
            delay_ms = meters[3 * place + 2]
            if (
                take.kind in NEVER_GIVE_BACK
                and not take.shadow
                and meters[3 * place] == Verdict.NOT_NOW
                and delay_ms >= WORTH_MS
            ):
                known = self._until.get(take.key)
                if known is not None and known[0] < take.amount and known[1] > now_ms:
                    continue  # what is known refuses more
                if len(self._until) >= MAX_REFUSALS:
                    self._make_room(now_ms)
                self._until[take.key] = (take.amount, now_ms + delay_ms)

    def recall(self, plan: Plan, now_ms: float) -> tuple[float, ...] | None:
        """The meters of a refusal that is still certain (see ``Decision``), or None: ask. ``now_ms``: monotonic."""
        if plan.version != self._version:
            return None
        meters: list[float] = []
        refused = False
        for take in plan.takes:
            known = self._until.get(take.key)
            if known is None or take.shadow or take.amount < known[0]:
                meters += (Verdict.FITS, -1, 0)
            elif known[1] <= now_ms:
                del self._until[take.key]
                meters += (Verdict.FITS, -1, 0)
            else:
                refused = True
                meters += (Verdict.NOT_NOW, -1, max(1.0, known[1] - now_ms))
        return tuple(meters) if refused else None

    def _make_room(self, now_ms: float) -> None:
        live = {key: known for key, known in self._until.items() if known[1] > now_ms}
        # Full of live ones: forgetting only costs a round trip.
        self._until = live if len(live) < MAX_REFUSALS // 2 else {}
