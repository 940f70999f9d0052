"""Every key of the policy file: its type, unit, range, default and one line that says what it is for.

The JSON Schema and docs/configuration.md are made from this. It holds the file as written; ``policy.compiler`` makes
the frozen ``Policy`` of it and checks what one key has to do with another. Imported by the parent and the CLI, never by
a worker.
"""

from enum import StrEnum
from typing import Annotated, Any

from proxy.policy import cachewords, money, moneywords, otlpwords, sentrywords, tracingwords, words
from proxy.policy.model import (
    Address,
    Ambiguous,
    AuthMode,
    BatchKind,
    ExpiredCookie,
    HostMode,
    LegacyReset,
    Origin,
    RedisDown,
    RetryMode,
    RouteMode,
    Scope,
)
from proxy.policy.section import FieldName, Flag, Name, Networks, Secret, Section, Tenants, Text, key, section
from proxy.policy.spelling import choice, count, duration, off_for, one_or_many, single, size, word_for
from proxy.policy.spending import Dialect, OnDisconnect
from proxy.policy.words import WrittenRate


class Unit(StrEnum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"


class LimitKind(StrEnum):
    """How a rate is counted; what is in flight has ``concurrent`` and no kind."""

    WINDOW = "window"
    SMOOTH = "smooth"
    CALENDAR = "calendar"


# --- the server --------------------------------------------------------------------------------------------------


class Listen(Section):
    address: Annotated[Address, words.ADDRESS] = key("Where clients connect.", "127.0.0.1:8080")
    workers: Annotated[int, count(1, 256, "a number", {"auto": 0})] = key(
        "Processes; `auto`: one per core, of those that the cgroup's CPU quota pays for.", "auto"
    )
    trusted_proxies: Networks = key(
        "Who may say X-Forwarded-For and Forwarded; the client is the nearest address that is not in here.", []
    )
    max_uri: Annotated[int, size("256B", "64KiB")] = key("Longest request target; beyond it 414.", "8KiB")
    max_header: Annotated[int, size("1KiB", "1MiB")] = key(
        "Largest header field, and all of them together; beyond it 431.", "16KiB"
    )
    max_fields: Annotated[int, count(10, 1000)] = key("Most header fields; beyond it 431.", 100)
    max_connections: Annotated[int, count(1, 1_000_000)] = key("Open client connections, per worker.", 10_000)
    header_timeout: Annotated[int, duration("100ms", "5m")] = key("For the header section to arrive; then 408.", "10s")
    body_min_rate: Annotated[int, size("0B", "1GiB")] = key(
        "Bytes a second that a body must keep up, once `body_grace` has passed; then 408.", "500B"
    )
    body_grace: Annotated[int, duration("0s", "10m")] = key("Time before `body_min_rate` counts.", "20s")
    keepalive: Annotated[int, duration("0s", "1h")] = key("How long an idle client connection stays open.", "75s")
    drain: Annotated[int, duration("0s", "1h")] = key("For requests under way to finish when a worker stops.", "30s")
    double_slash: Annotated[Ambiguous, choice(Ambiguous)] = key(
        "`//` in a path: refuse with 400, or keep it; routes then match as if it were one.", "refuse"
    )
    encoded_slash: Annotated[Ambiguous, choice(Ambiguous)] = key(
        "`%2F` in a path: refuse with 400, or keep it as data within a segment.", "refuse"
    )


class Metrics(Section):
    address: Annotated[Address, words.ADDRESS] = key("For /metrics, /health/live and /health/ready.", "127.0.0.1:9902")
    tenants: list[Text] = key(
        "Tenants whose requests are counted by name, at most 1000; all others then count as `other`.", []
    )


class Admin(Section):
    address: Annotated[Address, words.ADDRESS] = key("For the admin API.", "127.0.0.1:9901")
    token: Secret = key("Bearer token, at least 16 characters; empty: reading only.", "", secret=True)


class Redis(Section):
    meters: Annotated[str, words.REDIS] = key(
        "`embedded`, or redis://, rediss://, unix://, redis+sentinel://, redis+cluster:// (noeviction, append-only).",
        "embedded",
        secret=True,
    )
    timeout: Annotated[int, duration("10ms", "10s")] = key("For one answer; then `redis_down` decides.", "250ms")
    cache: Annotated[str, words.REDIS_OR_SAME] = key(
        "Where workers share what they cache: `same`, or the URL of another Redis, which may evict.",
        "same",
        secret=True,
    )


# --- identity ----------------------------------------------------------------------------------------------------


class TokenSource(Section):
    header: FieldName | None = key("A header field; a Bearer scheme is taken off.", None)
    cookie: Annotated[str, words.COOKIE_PATTERN] | None = key(
        "A cookie, `*` allowed; Supabase's chunks (.0 .1) and base64- prefix are understood.", None
    )


class Issuer(Section):
    issuer: Text = key("The token's `iss`, exactly.")
    audience: Annotated[list[Text], one_or_many()] = key(
        "One of these must be in `aud`; none given: not looked at.", []
    )
    algorithms: list[Annotated[str, words.ALGORITHM]] = key("Those accepted; none given: those that fit each key.", [])
    jwks: Annotated[str, words.JWKS_URL] | None = key("URL of the key set; cached and refreshed.", None)
    jwks_file: Text | None = key("File with the key set.", None)
    secrets: list[Secret] = key(
        "For HS256 (at least 32 bytes), HS384 (48), HS512 (64); several while one is rotated.", [], secret=True
    )
    tenants: Annotated[list[Text] | None, word_for("any", None)] = key(
        "Tenants that this issuer may name, or `any`.", "any"
    )
    leeway: Annotated[int, duration("0s", "5m")] = key("For clocks that differ: exp, nbf and iat.", "30s")
    max_age: Annotated[int, duration("1s", "366d")] | None = key("Refuse tokens issued longer ago.", None)


class Claims(Section):
    tenant: Annotated[tuple[str, ...], words.CLAIM] = key("The tenant.", "tenant_id")
    member_of: Annotated[tuple[str, ...], words.CLAIM] | None = key(
        "The tenants that the user may act for; `identity.tenant_header` chooses.", None
    )
    user: Annotated[tuple[str, ...], words.CLAIM] = key(
        "The user; with the issuer it makes the user's identity.", "sub"
    )
    tier: Annotated[tuple[str, ...], words.CLAIM] | None = key(
        "The tier; absent or not in `tiers`: unknown_tier.", None
    )
    feature: Annotated[tuple[str, ...], words.CLAIM] | None = key(
        "What calls to a provider are for, told in budgets and the ledger.", None
    )
    cost_centre: Annotated[tuple[str, ...], words.CLAIM] | None = key("Who pays for them, told in the ledger.", None)


class ClaimRule(Section):
    claims: dict[str, Annotated[Any, words.CLAIM_VALUE]] = key("Claim paths and the values they must all have.", {})
    equals_header: FieldName | None = key("The token is the same as this field's value.", None)


class KeyHash(Section):
    hash: Annotated[str, words.DIGEST] = key("SHA-256 of the key, 64 hexadecimal digits.")
    expires: Annotated[int, words.END] | None = key("When this hash ends.", None)


class GatewayKey(Section):
    sha256: Annotated[list[Annotated[KeyHash, single("hash", "or the digest alone")]], one_or_many()] = key(
        "SHA-256 of the key; several while it is rotated."
    )
    tenant: Text | None = key("The tenant it acts for.", None)
    user: Text | None = key("The user it acts for.", None)
    tier: Name | None = key("Its tier; none given: `unknown_tier`.", None)
    may_act_for: Tenants | None = key(
        "Tenants that it may name in Sluicegate-Tenant, a list or `any`, with -User, -Tier, -Feature and -Cost-Centre; "
        "default: its own.",
        None,
    )
    feature: Text | None = key("What its calls to a provider are for.", None)
    cost_centre: Text | None = key("Who pays for them.", None)
    routes: list[Name] | None = key("Routes it may use; none given: all.", None)
    revoked: Flag = key("It no longer opens anything.", False)


class Forward(Section):
    tenant: FieldName = key("Field that tells the upstream the tenant.", "X-Tenant-ID")
    user: FieldName = key("Field that tells the upstream the user.", "X-User-ID")
    tier: FieldName = key("Field that tells the upstream the tier.", "X-Tier")


class Identity(Section):
    token_from: list[Annotated[TokenSource, single("header", "or the name of a header field alone")]] = key(
        "Where a token is looked for, in this order.", ["authorization"]
    )
    issuers: list[Issuer] = key("Who may issue tokens.", [])
    claims: Claims = section(
        Claims, "Where in a token each fact is; user_metadata is refused: users edit it themselves."
    )
    tenant_header: FieldName = key(
        "How a member of several tenants chooses one; verified, then set anew.", "X-Tenant-ID"
    )
    unknown_tier: Name | None = key(
        "For tokens and keys without a tier we know; default: the least but anonymous.", None
    )
    anonymous_tier: Name = key("For callers without a token; the last of `tiers`.", "anonymous")
    refuse: list[ClaimRule] = key("Tokens that are answered 403.", [])
    anonymous_tokens: list[ClaimRule] = key("Tokens that count as none, such as Supabase's public key.", [])
    expired_cookie: Annotated[ExpiredCookie, choice(ExpiredCookie)] = key(
        "A cookie's expired token: no token, or a 401.", "anonymous"
    )
    keys: dict[str, GatewayKey] = key("Keys of machine clients, by name: Bearer, x-api-key or x-goog-api-key.", {})
    keys_file: Text | None = key("More of them in a file that `sluicegate keys` writes.", None)
    forward: Forward = section(Forward, "What the upstream is told; stripped from what a client sends.")
    attempts_per_minute: Annotated[int, count(1, 1_000_000)] = key(
        "Tokens not seen before that one address may have verified, per worker.", 600
    )


# --- limits ------------------------------------------------------------------------------------------------------


class Limit(Section):
    scope: Annotated[list[Annotated[Scope, words.SCOPE]], one_or_many()] = key(
        "Who shares one count; several: each pair of them."
    )
    unit: Annotated[Unit, choice(Unit)] = key(
        "What is counted; `tokens`: of calls to a provider, in a window: held before, put right after.", "requests"
    )
    kind: Annotated[LimitKind, choice(LimitKind)] | None = key(
        "`window`: in no stretch of that length more; `smooth`: evenly paced, with a burst; `calendar`: by hour, day, "
        "week or month; default: window.",
        None,
    )
    rate: Annotated[dict[str, Annotated[WrittenRate, words.RATE]], single("default", "or one rate for all")] | None = (
        key("600/1m, for calendar 100_000/day; or a map by tier, with `default`.", None)
    )
    concurrent: (
        Annotated[dict[str, Annotated[WrittenRate, words.IN_FLIGHT]], single("default", "or one number for all")] | None
    ) = key("How many requests may be under way; a number or a map by tier.", None)
    burst: Annotated[int, count(1, 1_000_000_000)] | None = key("What `smooth` lets through at once; default: 1.", None)
    time_zone: Annotated[str, words.TIME_ZONE] | None = key("Where a calendar period begins; default: UTC.", None)
    shadow: Flag = key("Decided and counted, not enforced.", False)


class Tenant(Section):
    limits: dict[str, Annotated[WrittenRate, words.EXCEPTION]] = key("Limits by name, with this tenant's rate.", {})
    budgets: dict[str, Annotated[money.TenantBudget, single("amount", "or an amount alone")]] = key(
        "Budgets by name, with this tenant's amounts.", {}
    )
    expires: Annotated[int, words.END] | None = key("When these exceptions end.", None)
    contacts: list[Annotated[str, moneywords.MAIL]] = key("Who hears of its alerts: `to: [tenant]`.", [])


# --- upstreams ---------------------------------------------------------------------------------------------------


class Timeouts(Section):
    connect: Annotated[int, duration("10ms", "10m")] | None = key("For a connection; default 2s.", None)
    first_byte: Annotated[int, duration("10ms", "1d")] | None = key("For the answer's head; default 30s.", None)
    idle: Annotated[int, duration("10ms", "1d")] | None = key("Between two pieces of the answer; default 60s.", None)


class Upstream(Section):
    primary: list[Annotated[Origin, words.ORIGIN]] = key("Its URLs, in turn; a path is put before the request's.")
    timeouts: Timeouts = section(Timeouts, "What is not given comes from `defaults.timeouts`.")
    host: Annotated[HostMode, choice(HostMode)] | None = key(
        "The Host field it sees: the client's, or its own; default: preserve for http, upstream for https.", None
    )
    headers: dict[str, Annotated[str, words.FIELD_VALUE]] = key("Fields set on every request.", {}, secret=True)
    max_connections: Annotated[int, count(1, 100_000)] = key("Per worker and URL.", 256)
    keepalive: Annotated[int, duration("0s", "1h")] = key(
        "How long an idle connection is kept; shorter than the app's own (Node: 5s).", "4s"
    )
    ca_file: Text | None = key("Certificates to trust; default: the system's.", None)
    dialect: Annotated[Dialect, choice(Dialect)] | None = key(
        "The provider's API: its calls are read, priced and accounted for; none given: it is no provider.", None
    )


# --- routes ------------------------------------------------------------------------------------------------------


class Cors(Section):
    origins: list[Annotated[str, words.ORIGIN_PATTERN]] = key("Exact, with one `*` label, or `*`.")
    credentials: Flag = key("Whether cookies may come along.", False)
    methods: list[Annotated[str, words.METHOD]] = key(
        "Methods allowed.", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    )
    headers: list[FieldName] = key("Request fields allowed; none given: those that the preflight asks for.", [])
    expose: list[FieldName] = key(
        "Response fields that scripts may read.", ["RateLimit", "RateLimit-Policy", "Retry-After"]
    )
    max_age: Annotated[int, duration("0s", "1d")] = key("How long a preflight's answer is kept.", "10m")


class Match(Section):
    path: Annotated[str, words.PATH_PATTERN] = key("`{x}` one segment, `*` within one, a final `/**` the rest.", "/**")
    methods: list[Annotated[str, words.METHOD]] = key("None given: all; GET brings HEAD.", [])
    hosts: list[Annotated[str, words.HOST_PATTERN]] = key("Exact or *.example.com; none given: all.", [])
    headers: dict[str, Text] = key("Field and the value it must have; `*`: anything, also within a value.", {})
    query: dict[str, Text] = key("Parameter and the value it must have; `*` as above.", {})


class Weight(Section):
    per_item: Annotated[int, words.WEIGHT] = key("What one request, or one item of a batch, takes.", 1)
    batch: Annotated[BatchKind, choice(BatchKind)] | None = key(
        "Count the items: tRPC's comma list, GraphQL's array.", None
    )


class Rewrite(Section):
    strip: Annotated[str, words.PREFIX] = key("Taken off the path's beginning.", "")
    prefix: Annotated[str, words.PREFIX] = key("Put before what is left.", "")


Auth = Annotated[AuthMode, choice(AuthMode)]
MaxBody = Annotated[int, size("0B", "1024GiB")]
CorsOrOff = Annotated[Cors | None, off_for(None)]


class Defaults(Section):
    auth: Auth = key("Whether a token is required, optional, or not looked at (none).", "required")
    limits: list[Name] = key("Limits of every route that names none.", [])
    budgets: list[Name] = key("Budgets of every route to a provider that names none.", [])
    max_body: MaxBody = key("Largest request body; beyond it 413.", "10MiB")
    redis_down: Annotated[RedisDown, choice(RedisDown)] = key(
        "Without Redis: let through, counted by the worker alone (open), or 503 (closed).", "open"
    )
    mode: Annotated[RouteMode, choice(RouteMode)] = key(
        "`shadow`: limits are decided and counted, not enforced.", "enforce"
    )
    retry: Annotated[RetryMode, choice(RetryMode)] = key(
        "What may be sent again after a lost connection.", "idempotent"
    )
    timeouts: Timeouts = section(Timeouts, "For upstreams that don't say.")


class Route(Section):
    name: Name = key("In logs, metrics and keys' `routes`.")
    match: Match = key("All that is given must hold; the first route that matches wins.")
    upstream: Name = key("Where it goes.")
    auth: Auth | None = key("Default: `defaults.auth`.", None)
    limits: list[Name] | None = key("Instead of `defaults.limits`.", None)
    more_limits: list[Name] | None = key("Besides `defaults.limits`.", None, alias="limits+")
    weight: Annotated[Weight, single("per_item", "or a number")] = section(
        Weight, "What a request takes from its limits."
    )
    max_body: MaxBody | None = key("Default: `defaults.max_body`.", None)
    redis_down: Annotated[RedisDown, choice(RedisDown)] | None = key(
        "Default: `defaults.redis_down`, but closed with budgets or limits of tokens.", None
    )
    mode: Annotated[RouteMode, choice(RouteMode)] | None = key("Default: `defaults.mode`.", None)
    retry: Annotated[RetryMode, choice(RetryMode)] | None = key("Default: `defaults.retry`.", None)
    rewrite: Rewrite = section(Rewrite, "How the path changes on its way.")
    timeouts: Timeouts = section(Timeouts, "What is not given comes from the upstream.")
    cors: CorsOrOff = key("Default: the top-level `cors`; `off`: none.", None)
    budgets: list[Name] | None = key("Instead of `defaults.budgets`; this and what follows: to a provider only.", None)
    more_budgets: list[Name] | None = key("Besides `defaults.budgets`.", None, alias="budgets+")
    max_output_tokens: Annotated[money.MaxOutput, single("default", "or a number")] | None = key(
        "Caps of output; without one a request that brings none has no bound.", None
    )
    on_disconnect: Annotated[OnDisconnect, choice(OnDisconnect)] | None = key(
        "When a client has left: `drain` reads the answer to its end and settles exactly, `cancel` settles at the "
        "hold; default: drain.",
        None,
    )
    unbounded_hold: Annotated[int, moneywords.MONEY] | None = key(
        "Held for calls that nothing bounds; none given: they are refused.", None
    )
    estimate: Annotated[money.Estimate, word_for("learnt", {})] | None = key(
        "Hold what such calls have needed so far, not what they could need: some cost more than was held.", None
    )
    cache: Annotated[cachewords.Cache | None, off_for(None)] = key(
        "What answers are stored and reused; default: none. To a provider: answers to calls whose bodies are equal.",
        None,
    )
    vouch_for: list[Name] = key(
        "Members of the body, or their paths (a.b), that are let through though nobody here knows them.", []
    )
    stored_objects: Annotated[bool, choice({"allow": True, "refuse": False})] | None = key(
        "Lists, reading and deletion of what calls have left at the provider (responses, batches), all callers' under "
        "one key; default: refuse.",
        None,
    )


# --- the file ----------------------------------------------------------------------------------------------------


class IpRules(Section):
    deny: Networks = key("Answered 403.", [])
    allow: Networks = key("Only these; none given: all. `deny` wins.", [])


class Maintenance(Section):
    retry_after: Annotated[int, duration("1s", "7d")] = key("What the 503 says.", "10m")
    allow_ips: Networks = key("Who gets through.", [])


class Answers(Section):
    legacy_reset: Annotated[LegacyReset, choice(LegacyReset)] = key(
        "X-RateLimit-Limit, -Remaining and -Reset, the reset in seconds from now (delta) or since 1970 (epoch).", "off"
    )


class Config(Section):
    """A policy file. Top-level keys that begin with ``x-`` are free, as homes of YAML anchors."""

    version: Annotated[int, words.FORMAT_VERSION] = key("The version of this format.")
    include: Annotated[list[Text], one_or_many()] = key(
        "Files that are part of this policy, `routes.d/*.yaml` too, sorted by name.", []
    )
    listen: Listen = section(Listen, "The gateway's own server.")
    metrics: Annotated[Metrics | None, off_for(None)] = key(
        "Read only, for Prometheus and Kubernetes; `off`: none.", {}
    )
    admin: Annotated[Admin | None, off_for(None)] = key("For people; `off`: none.", {})
    redis: Redis = section(Redis, "Where meters are.")
    cache: cachewords.Caches = section(cachewords.Caches, "Where cached answers are kept.")
    data_dir: Text | None = key(
        "The gateway's own files; default: $STATE_DIRECTORY, $XDG_STATE_HOME/sluicegate, ~/.local/state/sluicegate or "
        "/var/lib/sluicegate.",
        None,
    )
    identity: Identity = section(Identity, "Who calls.")
    tiers: list[Name] = key("Best first, the anonymous one last.", ["standard", "anonymous"])
    upstreams: dict[str, Upstream] = key("Where requests go, by name.")
    limits: dict[str, Limit] = key("Limits by name.", {})
    budgets: money.Budgets = section(money.Budgets, "What may be spent, in calendar periods.")
    tenants: dict[str, Tenant] = key("Exceptions, by tenant.", {})
    prices: money.Prices = section(money.Prices, "What models cost, where the built-in table is not right.")
    ledger: money.Ledger | None = key(
        "Where each call is kept; default: SQLite, once a route leads to a provider.", None
    )
    alerts: money.Alerts = section(money.Alerts, "Who hears that a budget runs low.")
    sentry: sentrywords.SentryProject | None = key(
        "Who hears of errors, of traced requests and, of the alerts, what `sentry` there sends.", None
    )
    otlp: otlpwords.Collector | None = key(
        "Who hears of traced requests and of metrics over OTLP (OpenTelemetry's protocol), with the extra `otlp`.", None
    )
    tracing: tracingwords.TracedRequests = section(
        tracingwords.TracedRequests, "Which requests are traced, whoever of these hears of them."
    )
    vitals: sentrywords.VitalsOrOff = key(
        "What pages tell of themselves at `POST /_gateway/vitals`; default: off.", None
    )
    server_timing: sentrywords.ServerTiming = key(
        "Names of metrics in upstreams' Server-Timing that become histograms.", []
    )
    ip: IpRules = section(IpRules, "Addresses that are refused, or alone let in.")
    maintenance: Annotated[Maintenance | None, off_for(None)] = key("`off`, or a 503 for all.", None)
    cors: CorsOrOff = key("For every route that has none of its own.", None)
    answers: Answers = section(Answers, "How the gateway's own answers look.")
    defaults: Defaults = section(Defaults, "For every route that does not say.")
    routes: list[Route] = key("First match wins; what no route matches is answered 404.")


KeysFile = dict[str, GatewayKey]
