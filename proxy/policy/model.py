"""The compiled policy: frozen, picklable, and all that a worker needs to decide. Made by ``policy.compiler``.

It is built once, in the parent, and swapped whole; a request keeps the one it began with. Nothing here reads a file,
a clock or the environment. Durations are integer milliseconds, sizes bytes, amounts thousandths of a request (so that
a weight of 0.1 stays exact).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Final

from proxy.policy.sentry import UNWATCHED, Watching

if TYPE_CHECKING:  # made of what is here
    from proxy.policy.caching import CacheStores, Caching
    from proxy.policy.spending import Alerts, Budget, Ledger, Prices, Spending

MILLI: Final = 1000  # amounts per request of weight 1
EXACT_ENTRIES: Final = 64  # a window that admits no more takes than this keeps their exact times

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. ``host`` is an IP literal or a name; port 0 lets the kernel choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


# --- server ------------------------------------------------------------------------------------------------------


class Ambiguous(StrEnum):
    """What to do with a path that upstreams read in different ways."""

    REFUSE = "refuse"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Listen:
    address: Address
    workers: int  # 0: one per core
    trusted_proxies: tuple[Network, ...]
    max_uri: int
    max_header: int  # bytes of one field, and of all of them together
    max_fields: int
    max_connections: int  # per worker
    header_timeout_ms: int
    body_min_rate: int  # bytes a second, once body_grace_ms have passed
    body_grace_ms: int
    keepalive_ms: int
    drain_ms: int
    double_slash: Ambiguous
    encoded_slash: Ambiguous


@dataclass(frozen=True, slots=True)
class Admin:
    address: Address
    token: str = field(repr=False)  # empty: reading only


@dataclass(frozen=True, slots=True)
class Redis:
    """``meters`` is ``embedded`` or a URL: redis, rediss, unix, redis+sentinel, redis+cluster."""

    meters: str = field(repr=False)  # may hold a password
    timeout_ms: int


# --- identity ----------------------------------------------------------------------------------------------------


class AuthMode(StrEnum):
    REQUIRED = "required"
    OPTIONAL = "optional"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class TokenSource:
    """``header`` (lower case; a Bearer scheme is taken off) or ``cookie`` (a name, ``*`` allowed in it)."""

    header: str | None = None
    cookie: str | None = None


@dataclass(frozen=True, slots=True)
class Issuer:
    issuer: str
    audiences: tuple[str, ...]  # empty: aud is not looked at
    algorithms: tuple[str, ...]  # empty: those that fit each key
    jwks_url: str | None
    jwks_file: str | None
    secrets: tuple[str, ...] = field(repr=False)
    tenants: tuple[str, ...] | None  # None: any
    leeway_ms: int
    max_age_ms: int | None  # refuse tokens whose iat is older


@dataclass(frozen=True, slots=True)
class ClaimPaths:
    """Where in the token each fact is; a path is its steps."""

    tenant: tuple[str, ...]
    member_of: tuple[str, ...] | None
    user: tuple[str, ...]
    tier: tuple[str, ...] | None
    feature: tuple[str, ...] | None = None
    cost_centre: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ClaimRule:
    """Matches a token whose claims at these paths equal these values (or list them)."""

    claims: tuple[tuple[tuple[str, ...], str | int | bool], ...] = ()
    equals_header: str | None = None  # the token is the same as this header's value (Supabase's public apikey)


@dataclass(frozen=True, slots=True)
class GatewayKey:
    """A machine client's key. ``sha256`` are lower-case hex digests; several while one is rotated."""

    name: str
    sha256: tuple[tuple[str, int | None], ...]  # (digest, epoch ms when it ends, or None)
    tenant: str | None
    user: str | None
    tier: str | None
    may_act_for: tuple[str, ...] | None  # tenants it may name; ("*",): any; None: its own tenant only
    routes: tuple[str, ...] | None  # None: all
    feature: str | None = None  # tags of what it spends
    cost_centre: str | None = None


class ExpiredCookie(StrEnum):
    ANONYMOUS = "anonymous"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class ForwardedIdentity:
    """Names of the fields that tell the upstream who calls; stripped from every request first."""

    tenant: str
    user: str
    tier: str


@dataclass(frozen=True, slots=True)
class Identity:
    token_from: tuple[TokenSource, ...]
    issuers: tuple[Issuer, ...]
    claims: ClaimPaths
    tenant_header: str  # lower case; how a member of several tenants chooses
    unknown_tier: str
    anonymous_tier: str
    refuse: tuple[ClaimRule, ...]
    anonymous_tokens: tuple[ClaimRule, ...]
    expired_cookie: ExpiredCookie
    keys: tuple[GatewayKey, ...]
    forward: ForwardedIdentity
    attempts_per_minute: int  # verifications of tokens not seen before, by address and worker


# --- meters ------------------------------------------------------------------------------------------------------


class MeterKind(IntEnum):
    WINDOW = 1  # trailing, strict
    SMOOTH = 2  # GCRA
    CALENDAR = 3
    CONCURRENCY = 4
    HOLD = 5  # a calendar period's, held and settled: budgets


class Period(StrEnum):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class ScopeKind(StrEnum):
    IP = "ip"
    USER = "user"
    TENANT = "tenant"
    TIER = "tier"
    ROUTE = "route"
    GLOBAL = "global"
    CLAIM = "claim"
    MODEL = "model"  # of a call to a provider: budgets and limits of tokens
    FEATURE = "feature"  # what the caller says that a call is for, verified


@dataclass(frozen=True, slots=True)
class Scope:
    kind: ScopeKind
    claim: tuple[str, ...] = ()  # for CLAIM


@dataclass(frozen=True, slots=True)
class Rate:
    """One limit's numbers for one tier or tenant.

    ``capacity`` in thousandths of a request; ``window_ms`` is the window (WINDOW), the time in which ``capacity`` drips
    back (SMOOTH), 0 otherwise; ``burst`` in thousandths is what SMOOTH admits at once; ``period`` is CALENDAR's.
    """

    capacity: int
    window_ms: int = 0
    burst: int = 0
    period: Period | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """One named limit. ``rates`` has every tier; ``tenants`` are the exceptions, with when each ends (epoch ms)."""

    name: str
    index: int
    kind: MeterKind
    scopes: tuple[Scope, ...]  # one or more, combined
    rates: Mapping[str, Rate]
    tenants: Mapping[str, tuple[Rate, int | None]]
    shadow: bool
    time_zone: str  # CALENDAR's
    min_amount: int  # the least that any route takes of it, thousandths: decides between exact times and sub-windows
    tokens: bool = False  # its unit: a WINDOW that is held from; "request" then reads "token" in ``Rate``


# --- upstreams and routes ----------------------------------------------------------------------------------------


class HostMode(StrEnum):
    PRESERVE = "preserve"
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True)
class Origin:
    """``scheme://host:port`` of an upstream; ``base_path`` is put before the request's path, without a final slash."""

    scheme: str
    host: str
    port: int
    base_path: str = ""

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == default else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Timeouts:
    connect_ms: int
    first_byte_ms: int
    idle_ms: int


@dataclass(frozen=True, slots=True)
class Upstream:
    name: str
    primary: tuple[Origin, ...]
    timeouts: Timeouts
    host: HostMode
    headers: tuple[tuple[str, str], ...] = field(repr=False)  # set on every request; may hold keys
    max_connections: int  # per worker and origin
    keepalive_ms: int
    ca_file: str | None  # None: the system's


class BatchKind(StrEnum):
    TRPC = "trpc"
    GRAPHQL = "graphql"


class RedisDown(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class RetryMode(StrEnum):
    IDEMPOTENT = "idempotent"
    NEVER = "never"


class RouteMode(StrEnum):
    ENFORCE = "enforce"
    SHADOW = "shadow"


class LegacyReset(StrEnum):
    """The form of X-RateLimit-Reset, which no standard fixes."""

    OFF = "off"
    DELTA = "delta"
    EPOCH = "epoch"


@dataclass(frozen=True, slots=True)
class Cors:
    origins: tuple[str, ...]  # exact, ``*``, or with one ``*`` label: https://*.example.com
    credentials: bool
    methods: tuple[str, ...]
    headers: tuple[str, ...]  # empty: those that the preflight asks for
    expose: tuple[str, ...]
    max_age_s: int


@dataclass(frozen=True, slots=True)
class Match:
    """All that is given must hold. ``path``: ``{x}`` is one segment, ``*`` within one, a final ``/**`` the rest."""

    path: str
    methods: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()  # (lower-case name, pattern; ``*``: present)
    query: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    name: str
    index: int
    match: Match
    upstream: str
    auth: AuthMode
    limits: tuple[Limit, ...]
    weight: int  # thousandths
    batch: BatchKind | None  # multiplies the weight by what the request holds
    max_body: int
    redis_down: RedisDown
    retry: RetryMode
    mode: RouteMode
    strip_prefix: str  # taken off the path before forwarding; "" for none
    add_prefix: str
    timeouts: Timeouts | None  # None: the upstream's
    cors: Cors | None
    caching: "Caching | None" = None
    spending: "Spending | None" = None  # of a route to a provider: its upstream speaks a dialect


@dataclass(frozen=True, slots=True)
class Maintenance:
    retry_after_ms: int
    allow: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class IpRules:
    """``deny`` wins over ``allow``; an empty ``allow`` allows all."""

    deny: tuple[Network, ...]
    allow: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """How our own answers look."""

    legacy_reset: LegacyReset  # X-RateLimit-*: off, or the form of its reset


OTHER_TENANTS: Final = "other"  # what metrics call the tenants that the policy does not list


@dataclass(frozen=True, slots=True)
class Policy:
    """One whole policy. ``version`` is a short digest of its source: it is in logs, metrics and remembered refusals."""

    version: str
    listen: Listen
    metrics: Address | None
    admin: Admin | None
    redis: Redis
    data_dir: str
    identity: Identity
    tiers: tuple[str, ...]  # best first, ``anonymous`` last
    upstreams: Mapping[str, Upstream]
    limits: Mapping[str, Limit]
    ip: IpRules
    maintenance: Maintenance | None
    answers: Answers
    routes: tuple[Route, ...]
    prices: "Prices"
    alerts: "Alerts"
    caches: "CacheStores"
    budgets: "tuple[Budget, ...]" = ()
    ledger: "Ledger | None" = None  # None: no route spends
    watching: Watching = UNWATCHED
    counted_tenants: frozenset[str] = frozenset()  # by name in metrics; none: no tenant is counted
