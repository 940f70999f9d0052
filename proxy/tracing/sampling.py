"""Who hears of traces, and of what share of them each. Data, made of the policy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from proxy.policy.sentry import Watching


@dataclass(frozen=True, slots=True)
class Sampling:
    """Shares from 0 to 1, of requests that come without a decision; None: that one hears of none at all.

    ``scope``: what Sentry's own sampling goes by, the same for every trace.
    """

    sentry: float | None = None
    otlp: float | None = None
    scope: Mapping[str, str] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Of all that is drawn: what one of them hears of, the other with the larger share does, too."""
        return max(self.sentry or 0.0, self.otlp or 0.0)

    @classmethod
    def of(cls, watching: Watching) -> "Sampling | None":
        """None: nobody hears of any."""
        sentry, otlp = watching.sentry, watching.otlp
        otlp_rate = otlp.sample_rate if otlp is not None else None
        if sentry is None:
            return None if otlp_rate is None else cls(otlp=otlp_rate)
        scope = {
            "public_key": urlsplit(sentry.dsn).username or "",
            "environment": sentry.environment,
            "release": sentry.release,
        }
        return cls(sentry.traces_sample_rate, otlp_rate, scope)
