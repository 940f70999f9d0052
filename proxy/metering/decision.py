"""What admission found: one value that the gateway answers, logs and counts by. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from proxy.metering.answers import Field, rate_limit_fields, retry_fields
from proxy.metering.holds import Hold, HoldMeter
from proxy.metering.plan import Plan
from proxy.metering.takes import Outcome, Verdict
from proxy.policy.model import Limit


@dataclass(frozen=True, slots=True)
class Holding:
    """What a decision says of its hold. ``hold``: as it was taken, or as it was asked for where it was refused.

    ``meters`` is (verdict, remaining, delay_ms) and ``sums`` (settled, held) of each of its meters, flat, in the
    meter's unit; a window has no sums (0).
    """

    hold: Hold
    meters: tuple[float, ...]
    sums: tuple[float, ...]

    def refused_by(self, *, shadow: bool = False) -> list[HoldMeter]:
        """The meters that refused; those in shadow would have."""
        verdicts = zip(self.hold.plan.meters, self.meters[::3], strict=True)
        return [meter for meter, verdict in verdicts if verdict != Verdict.FITS and meter.shadow is shadow]

    def delays(self) -> list[float]:
        """Milliseconds until each refusing meter would admit this, if nothing is given back."""
        looked = zip(self.hold.plan.meters, self.meters[::3], self.meters[2::3], strict=True)
        return [delay for meter, verdict, delay in looked if verdict != Verdict.FITS and not meter.shadow]


class Decision:
    """One decision. ``meters`` is (verdict, remaining, delay_ms) by limit, flat, amounts in thousandths of a request.

    A remaining of -1 is not known. ``local``: made by this worker alone, Redis being away. ``remembered``: a refusal
    that needed no asking.
    """

    __slots__ = ("holding", "lease", "local", "meters", "outcome", "plan", "remembered")

    def __init__(
        self, plan: Plan, outcome: Outcome, meters: Sequence[float], *, local: bool = False, remembered: bool = False
    ) -> None:
        self.plan = plan
        self.outcome = outcome
        self.meters = meters
        self.local = local
        self.lease: bytes | None = None  # of an admitted one that counts as in flight
        self.holding: Holding | None = None
        self.remembered = remembered

    @property
    def admitted(self) -> bool:
        return self.outcome == Outcome.ADMITTED

    @property
    def refused_by(self) -> list[Limit]:
        """The enforced limits that refused."""
        return [limit for limit, shadow, verdict in self._judged() if verdict != Verdict.FITS and not shadow]

    @property
    def shadow_refused_by(self) -> list[Limit]:
        """The limits in shadow that would have refused."""
        return [limit for limit, shadow, verdict in self._judged() if verdict != Verdict.FITS and shadow]

    @property
    def retry_after_ms(self) -> int | None:
        """How long until every refusing limit would admit this, if nothing is given back; None: waiting is useless."""
        if self.outcome != Outcome.REFUSED:
            return None
        delays = [
            self.meters[3 * place + 2]
            for place, take in enumerate(self.plan.takes)
            if self.meters[3 * place] != Verdict.FITS and not take.shadow
        ]
        return int(max(chain(delays, self.holding.delays() if self.holding is not None else ())))

    def remaining(self, place: int) -> float:
        """Thousandths of a request left of the plan's limit at ``place``; -1 where it is not known."""
        return self.meters[3 * place + 1]

    def fields(self, now_ms: int) -> list[Field]:
        """RateLimit fields for any answer; with a refusal also Retry-After and its kin. ``now_ms``: epoch."""
        fields = rate_limit_fields(self.plan.forms, self.meters, now_ms)
        return fields if self.outcome == Outcome.ADMITTED else fields + retry_fields(self.retry_after_ms)

    def _judged(self) -> list[tuple[Limit, bool, float]]:
        return [
            (limit, take.shadow, self.meters[3 * place])
            for place, (limit, take) in enumerate(zip(self.plan.limits, self.plan.takes, strict=True))
        ]
