"""What admission found: one value that the gateway answers, logs and counts by. Pure."""

from collections.abc import Sequence

from proxy.metering.answers import Field, rate_limit_fields, retry_fields, violated
from proxy.metering.plan import Plan
from proxy.metering.takes import Outcome, Verdict
from proxy.policy.model import Limit


class Decision:
    """One decision. ``meters`` is (verdict, remaining, delay_ms) by limit, flat, amounts in thousandths of a request.

    A remaining of -1 is not known. ``local``: made by this worker alone, Redis being away. ``remembered``: a refusal
    that needed no asking.
    """

    __slots__ = ("lease", "local", "meters", "outcome", "plan", "remembered")

    def __init__(
        self, plan: Plan, outcome: Outcome, meters: Sequence[float], *, local: bool = False, remembered: bool = False
    ) -> None:
        self.plan = plan
        self.outcome = outcome
        self.meters = meters
        self.local = local
        self.lease: bytes | None = None  # of an admitted one that counts as in flight
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
        return int(max(delays))

    def remaining(self, place: int) -> float:
        """Thousandths of a request left of the plan's limit at ``place``; -1 where it is not known."""
        return self.meters[3 * place + 1]

    def fields(self, now_ms: int) -> list[Field]:
        """RateLimit fields for any answer; with a refusal also Retry-After and its kin. ``now_ms``: epoch."""
        fields = rate_limit_fields(self.plan.forms, self.meters, now_ms)
        return fields if self.outcome == Outcome.ADMITTED else fields + retry_fields(self.retry_after_ms)

    def violated_policies(self) -> list[str]:
        """``violated-policies`` of the problem body."""
        return violated(self.plan.limits, self.plan.takes, self.meters)

    def _judged(self) -> list[tuple[Limit, bool, float]]:
        return [
            (limit, take.shadow, self.meters[3 * place])
            for place, (limit, take) in enumerate(zip(self.plan.limits, self.plan.takes, strict=True))
        ]
