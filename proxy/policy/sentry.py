"""What Sentry hears, as compiled: our own faults always, those of upstreams as chosen, requests by a share; and what
browsers tell through us. Data."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from proxy.policy.otlp import Otlp
from proxy.policy.tracing import ALL_HEEDED, Tracing

if TYPE_CHECKING:  # which has what is here
    from proxy.policy.model import Cors


SHIFT: Final = "CLS"  # the web vital that is no time
TIMES: Final = frozenset({"LCP", "INP", "FCP", "TTFB"})  # web vitals in ms; as labels in small letters


class Reported(StrEnum):
    """Faults that are not ours, and may be reported all the same."""

    UPSTREAM_5XX = "upstream_5xx"  # it answered so
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_REFUSED = "upstream_refused"
    UPSTREAM_RESET = "upstream_reset"
    UPSTREAM_TLS = "upstream_tls"
    UPSTREAM_PROTOCOL = "upstream_protocol"
    TENANT_MISMATCH = "tenant_mismatch"
    KEYS_UNAVAILABLE = "keys_unavailable"
    STORE_AWAY = "store_away"


@dataclass(frozen=True, slots=True)
class Tunnel:
    """For the browser's SDK. ``max_body`` in bytes; ``per_minute``: envelopes from one address, in each worker."""

    max_body: int
    per_minute: int


@dataclass(frozen=True, slots=True)
class Sentry:
    dsn: str = field(repr=False)
    environment: str
    release: str
    traces_sample_rate: float  # 0 to 1, of requests that come without a decision
    report: frozenset[Reported]
    tunnel: Tunnel | None = None


@dataclass(frozen=True, slots=True)
class Vitals:
    """What pages may tell of themselves. ``measures``: beside the web vitals, in ms; ``per_minute``: as above."""

    measures: frozenset[str]
    per_minute: int


@dataclass(frozen=True, slots=True)
class Watching:
    """All of it. ``cors`` is the policy's own, for what browsers post to the gateway itself."""

    sentry: Sentry | None = None
    vitals: Vitals | None = None
    server_timing: frozenset[str] = frozenset()  # names of metrics in Server-Timing that are kept
    cors: "Cors | None" = None
    otlp: Otlp | None = None
    tracing: Tracing = ALL_HEEDED


UNWATCHED: Final = Watching()
