"""What is known of a traced request that has ended: all that spans are made of. Data."""

from dataclasses import dataclass, field

from proxy.tracing.trace import Trace


@dataclass(frozen=True, slots=True)
class Peer:
    """The upstream that was asked. ``status``: of its answer, 0 if none came; ``resends``: attempts before the last."""

    name: str
    scheme: str = ""
    host: str = ""  # "": no connection was tried
    port: int = 0
    status: int = 0
    resends: int = 0


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """A priced call to a provider. ``cost_usd`` is None until it is settled; tokens are those of ``core.usage``."""

    provider: str
    kind: str
    model: str
    stream: bool
    most_output: int | None
    cost_usd: float | None = None
    estimated: bool = False
    input: int = 0
    output: int = 0
    cached_read: int = 0
    cache_write: int = 0


@dataclass(frozen=True, slots=True)
class Traced:
    """Times are monotonic seconds, ``now_s`` the end in seconds since 1970.

    ``query`` holds names alone. ``reason``: a word of the log's closed set; "": the request did not fail.
    """

    trace: Trace
    marks: tuple[tuple[str, float], ...]
    started_s: float
    ended_s: float
    now_s: float
    method: str
    scheme: str
    version: str  # of HTTP: 1.1
    status: int
    path_pattern: str  # the route's; "": no route matched
    query: str
    reason: str
    asked_redis: bool  # for an admission
    about: dict[str, str] = field(default_factory=dict)  # sluicegate.* attributes: route, tier, tenant, …
    peer: Peer | None = None
    call: ProviderCall | None = None
