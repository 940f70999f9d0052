"""Every metric: its name, kind, help and labels in one table; and the worker's bound counters.

Labels come from closed sets (routes, tiers, limits and upstreams of the policy, enums), never from a path or an id.
"""

from bisect import bisect_left
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from proxy.telemetry.exemplar import Exemplar
from proxy.telemetry.sheet import Sheet


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


LATENCY_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
STORE_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
SHIFT: Final = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. A gauge is summed over workers, and ends with its worker; counts outlive theirs.

    ``exemplars``: buckets have the newest traced request that fell into them.
    """

    name: str  # as exposed, without _total
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    exemplars: bool = False


_COUNTER, _GAUGE, _HISTOGRAM = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

REQUESTS: Final = Family("sluicegate_requests", _COUNTER, "Requests answered.", ("route", "tier", "status", "outcome"))
TENANT_REQUESTS: Final = Family(
    "sluicegate_tenant_requests",
    _COUNTER,
    "Requests of identified tenants, once the policy lists any under metrics.tenants: those by name, all others as "
    "other.",
    ("tenant", "outcome"),
)
DURATION: Final = Family(
    "sluicegate_request_duration_seconds",
    _HISTOGRAM,
    "From the parsed header section to the last byte written.",
    ("route",),
    LATENCY_S,
    exemplars=True,
)
IN_FLIGHT: Final = Family("sluicegate_requests_in_flight", _GAUGE, "Requests being answered.")
CONNECTIONS: Final = Family("sluicegate_client_connections", _GAUGE, "Open connections of clients.")
CONNECTIONS_REFUSED: Final = Family(
    "sluicegate_client_connections_refused", _COUNTER, "Connections closed at once, the worker being at its bound."
)
REFUSALS: Final = Family(
    "sluicegate_errors", _COUNTER, "Answers that the gateway made itself, by who was at fault.", ("fault", "reason")
)
DECISIONS: Final = Family(
    "sluicegate_limit_decisions",
    _COUNTER,
    "Decisions by limit: admitted, refused, shadow_refused (would have been), remembered (refused from memory).",
    ("limit", "decision"),
)
STORE_DURATION: Final = Family(
    "sluicegate_redis_duration_seconds", _HISTOGRAM, "Time an admission waited for Redis.", (), STORE_S
)
STORE_AWAY: Final = Family(
    "sluicegate_redis_away_requests",
    _COUNTER,
    "Requests decided while Redis was away: open (counted by the worker alone) or closed (503).",
    ("mode",),
)
BREAKER: Final = Family(
    "sluicegate_redis_breaker_open", _GAUGE, "Workers whose breaker for Redis is open; 0 is healthy."
)
CLOCK_RESETS: Final = Family(
    "sluicegate_redis_clock_resets", _COUNTER, "Times that the meters' watermark was far ahead of Redis' clock."
)
STORE_MEMORY: Final = Family(
    "sluicegate_redis_memory_bytes",
    _GAUGE,
    "Bytes that a Redis uses: the meters' node, or the cache's where that is another.",
    ("store",),
)
STORE_MEMORY_MAX: Final = Family(
    "sluicegate_redis_memory_max_bytes", _GAUGE, "Bytes that it may use (maxmemory); 0: it has no bound.", ("store",)
)
STORE_ANSWERED: Final = Family(
    "sluicegate_redis_answered_timestamp_seconds",
    _GAUGE,
    "When a Redis last answered the gateway itself, which asks every ten seconds, in seconds since 1970; 0: never yet.",
    ("store",),
)
CERTIFICATE_EXPIRY: Final = Family(
    "sluicegate_certificate_expiry_timestamp_seconds",
    _GAUGE,
    "When the certificate of an https upstream or of a Redis over TLS ends, in seconds since 1970; NaN once the policy "
    "does not name the peer any more.",
    ("kind", "name", "address"),
)
UPSTREAM_DURATION: Final = Family(
    "sluicegate_upstream_duration_seconds",
    _HISTOGRAM,
    "From sending the request to the upstream's header section.",
    ("upstream",),
    LATENCY_S,
    exemplars=True,
)
UPSTREAM_RETRIES: Final = Family(
    "sluicegate_upstream_retries", _COUNTER, "Attempts repeated on another connection.", ("upstream",)
)
UPSTREAM_FAILURES: Final = Family(
    "sluicegate_upstream_failures",
    _COUNTER,
    "Requests that an upstream did not answer, also those made behind a client's back, and why; status_5xx: it "
    "answered so, and a stored answer served.",
    ("upstream", "reason"),
)
CACHE_REQUESTS: Final = Family(
    "sluicegate_cache_requests",
    _COUNTER,
    "Requests on routes that cache: hit, stale (served while it was fetched anew, or as the upstream failed), "
    "revalidated, coalesced (with another's fetch), miss, bypass; and why, in the words of RFC 9211.",
    ("route", "tier", "result", "why"),
)
CACHE_STORES: Final = Family(
    "sluicegate_cache_answers",
    _COUNTER,
    "Upstream's answers on routes that cache: stored, or why not.",
    ("route", "result"),
)
CACHE_BYTES_SERVED: Final = Family(
    "sluicegate_cache_served_bytes", _COUNTER, "Bytes of bodies answered from the cache.", ("route",)
)
CACHE_BYTES: Final = Family("sluicegate_cache_memory_bytes", _GAUGE, "Bytes that workers' memories hold.")
CACHE_ENTRIES: Final = Family("sluicegate_cache_memory_entries", _GAUGE, "URLs that workers' memories hold.")
CACHE_EVICTIONS: Final = Family(
    "sluicegate_cache_memory_evictions", _COUNTER, "URLs that workers' memories gave up for want of room."
)
CACHE_PURGES: Final = Family(
    "sluicegate_cache_purges",
    _COUNTER,
    "What was taken out of the cache: by a write (an unsafe method that succeeded), or as ops asked.",
    ("by",),
)
CACHE_CURRENT: Final = Family(
    "sluicegate_cache_workers_current", _GAUGE, "Workers that hear of purges; others reuse nothing older than a second."
)
CACHE_AWAY: Final = Family(
    "sluicegate_cache_redis_failures", _COUNTER, "Look-ups and writes that the cache's Redis did not answer."
)
CACHE_PAUSED: Final = Family(
    "sluicegate_cache_redis_paused", _GAUGE, "Workers that store nothing more in Redis, its memory being used up."
)
CACHE_SAVED: Final = Family(
    "sluicegate_cache_saved_usd", _COUNTER, "Dollars that calls to providers would have cost.", ("route",)
)
ISOLATION: Final = Family(
    "sluicegate_tenant_isolation_violations",
    _COUNTER,
    "Answers that named another tenant than the one they were for; each was refused with 502.",
    ("route",),
)
AI_CALLS: Final = Family(
    "sluicegate_ai_calls",
    _COUNTER,
    "Calls to providers by how they were settled: exact, estimated (at the hold), overrun (above it), released.",
    ("route", "provider", "end"),
)
AI_SPEND: Final = Family(
    "sluicegate_ai_spend_usd", _COUNTER, "Dollars that calls were settled at.", ("route", "provider", "tier")
)
AI_TOKENS: Final = Family(
    "sluicegate_ai_tokens",
    _COUNTER,
    "Tokens that providers counted: input (without the cache's), output, cached_read, cache_write.",
    ("route", "provider", "kind"),
)
AI_HELD: Final = Family(
    "sluicegate_ai_held_usd",
    _COUNTER,
    "Dollars that calls were admitted with.",
    ("route", "provider"),
)
AI_UNDER_WAY: Final = Family("sluicegate_ai_calls_in_flight", _GAUGE, "Calls to providers that have not ended.")
BUDGET_REFUSALS: Final = Family(
    "sluicegate_budget_refusals", _COUNTER, "Calls refused, by the budget or limit of tokens that did.", ("budget",)
)
BUDGET_USED: Final = Family(
    "sluicegate_budget_used_ratio",
    _GAUGE,
    "Of a budget of scope global, the share that the ledger has as spent in this period; of its largest amount, grants "
    "included.",
    ("budget", "period"),
)
BUDGETS_CLOSED: Final = Family(
    "sluicegate_budgets_closed", _GAUGE, "Workers that know budgets to be closed until they are rebuilt; 0 is healthy."
)
OUTBOX_DEPTH: Final = Family("sluicegate_outbox_records", _GAUGE, "Records that wait for the ledger.")
LEDGER_LAG: Final = Family("sluicegate_ledger_lag_seconds", _GAUGE, "Age of the oldest record that waits.")
LEDGER_ROWS: Final = Family("sluicegate_ledger_rows", _COUNTER, "Rows written to the ledger, corrections included.")
LEDGER_AWAY: Final = Family(
    "sluicegate_ledger_failures", _COUNTER, "Attempts that the outbox or the ledger did not answer.", ("part",)
)
LEDGER_DEAD: Final = Family("sluicegate_ledger_dead_letters", _COUNTER, "Records that the database refused.")
DATABASE_DURATION: Final = Family(
    "sluicegate_database_duration_seconds",
    _HISTOGRAM,
    "Waiting for a connection of the pool, and transactions that read or write.",
    ("what",),
    STORE_S,
)
REBUILDS: Final = Family("sluicegate_budget_rebuilds", _COUNTER, "Times that budgets were rebuilt from the ledger.")
ALERTS: Final = Family(
    "sluicegate_alerts",
    _COUNTER,
    "Attempts to send an alert: delivered, later (failed, and tried again), never (refused).",
    ("channel", "result"),
)
ALERTS_WAIT: Final = Family(
    "sluicegate_alerts_oldest_seconds",
    _GAUGE,
    "How long the oldest alert has waited that was not sent; of those of money and of the service, both added.",
    ("channel",),
)
SERVICE_ALERTS: Final = Family(
    "sluicegate_alerts_service",
    _COUNTER,
    "Alerts about the service itself: warning, critical, resolved; reminders count as what they remind of.",
    ("kind", "level"),
)
SERVICE_INCIDENTS: Final = Family(
    "sluicegate_alerts_service_firing", _GAUGE, "What was told of the service and is not over.", ("kind",)
)
PROJECTED: Final = Family(
    "sluicegate_ledger_projected_rows", _COUNTER, "Rows copied into ledger.project_into, or left_out.", ("result",)
)
RELOADS: Final = Family(
    "sluicegate_policy_reloads",
    _COUNTER,
    "Reloads of the policy: applied, or rejected (the old one stays).",
    ("result",),
)
RELOAD_OK: Final = Family(
    "sluicegate_policy_last_reload_successful", _GAUGE, "1 if the newest policy file is in force, else 0."
)
WORKERS: Final = Family("sluicegate_workers", _GAUGE, "Workers that answer.")
WORKER_RESTARTS: Final = Family(
    "sluicegate_worker_restarts",
    _COUNTER,
    "Workers started again: after one died, or after one that hung was ended.",
    ("reason",),
)
BACKGROUND_RESTARTS: Final = Family(
    "sluicegate_background_restarts", _COUNTER, "Times that the background process was started again.", ("reason",)
)
LOG_DROPPED: Final = Family(
    "sluicegate_log_lines_dropped", _COUNTER, "Log lines dropped, the reader of the log being too slow."
)
SENTRY_EVENTS: Final = Family(
    "sluicegate_sentry_events",
    _COUNTER,
    "Errors for Sentry: captured, repeated (counted instead of sent), sent, refused by it, dropped (too many waited, "
    "the disk takes nothing, or Sentry fails over it while it takes the rest).",
    ("result",),
)
SENTRY_TRACES: Final = Family(
    "sluicegate_sentry_traces",
    _COUNTER,
    "Traced requests for Sentry: captured, over (more than a worker makes in a second), sent, refused, dropped.",
    ("result",),
)
SENTRY_TUNNEL: Final = Family(
    "sluicegate_sentry_tunnel",
    _COUNTER,
    "Browsers' envelopes for Sentry: taken, sent, refused by it, dropped (too many waited, the disk takes nothing, or "
    "Sentry fails over it while it takes the rest).",
    ("result",),
)
OTLP_TRACES: Final = Family(
    "sluicegate_otlp_traces",
    _COUNTER,
    "Traced requests for the collector: captured, over (more than a worker makes in a second), sent, partly (it left "
    "out some of a message), refused, dropped (too many waited, the disk takes nothing, or it fails over it while it "
    "takes the rest).",
    ("result",),
)
OTLP_PUSHES: Final = Family(
    "sluicegate_otlp_pushes",
    _COUNTER,
    "Times that metrics were told to the collector: sent, partly, refused, later (it was away; the next say it all).",
    ("result",),
)
WEB_VITALS: Final = Family(
    "sluicegate_web_vital_seconds",
    _HISTOGRAM,
    "What pages told of themselves, by the route of the page: lcp, inp, fcp, ttfb, and measures of the policy.",
    ("route", "name"),
    LATENCY_S,
)
LAYOUT_SHIFT: Final = Family(
    "sluicegate_web_vital_layout_shift_ratio",
    _HISTOGRAM,
    "Cumulative layout shift that pages told, by the route of the page.",
    ("route",),
    SHIFT,
)
SERVER_TIMING: Final = Family(
    "sluicegate_server_timing_seconds",
    _HISTOGRAM,
    "Durations in upstreams' Server-Timing, by route and by name in the policy's list.",
    ("route", "name"),
    LATENCY_S,
)
LOOP_LAG: Final = Family("sluicegate_loop_lag_seconds", _HISTOGRAM, "How late the event loop ran a timer.", (), STORE_S)

BUILD_INFO: Final = Family("sluicegate_build_info", _GAUGE, "1, by the version of the gateway.", ("version",))

FAMILIES: Final = (
    REQUESTS,
    TENANT_REQUESTS,
    DURATION,
    IN_FLIGHT,
    CONNECTIONS,
    CONNECTIONS_REFUSED,
    REFUSALS,
    DECISIONS,
    STORE_DURATION,
    STORE_AWAY,
    BREAKER,
    CLOCK_RESETS,
    STORE_MEMORY,
    STORE_MEMORY_MAX,
    STORE_ANSWERED,
    CERTIFICATE_EXPIRY,
    UPSTREAM_DURATION,
    UPSTREAM_RETRIES,
    UPSTREAM_FAILURES,
    CACHE_REQUESTS,
    CACHE_STORES,
    CACHE_BYTES_SERVED,
    CACHE_BYTES,
    CACHE_ENTRIES,
    CACHE_EVICTIONS,
    CACHE_PURGES,
    CACHE_CURRENT,
    CACHE_AWAY,
    CACHE_PAUSED,
    CACHE_SAVED,
    ISOLATION,
    AI_CALLS,
    AI_SPEND,
    AI_TOKENS,
    AI_HELD,
    AI_UNDER_WAY,
    BUDGET_REFUSALS,
    BUDGET_USED,
    BUDGETS_CLOSED,
    OUTBOX_DEPTH,
    LEDGER_LAG,
    LEDGER_ROWS,
    LEDGER_AWAY,
    LEDGER_DEAD,
    DATABASE_DURATION,
    REBUILDS,
    ALERTS,
    ALERTS_WAIT,
    SERVICE_ALERTS,
    SERVICE_INCIDENTS,
    PROJECTED,
    RELOADS,
    RELOAD_OK,
    WORKERS,
    WORKER_RESTARTS,
    BACKGROUND_RESTARTS,
    LOG_DROPPED,
    SENTRY_EVENTS,
    SENTRY_TRACES,
    SENTRY_TUNNEL,
    OTLP_TRACES,
    OTLP_PUSHES,
    WEB_VITALS,
    LAYOUT_SHIFT,
    SERVER_TIMING,
    LOOP_LAG,
    BUILD_INFO,
)

SUM: Final = "#sum"  # the sample of a histogram that holds the sum of what was observed


class Histogram:
    """One series of a histogram: slots hold counts of each bucket alone; the exposition accumulates them."""

    __slots__ = ("_bounds", "_sheet", "_slots", "_sum", "_values")

    def __init__(self, sheet: Sheet, family: Family, labels: tuple[str, ...]) -> None:
        self._sheet = sheet
        self._values = sheet.values
        self._bounds = family.buckets
        bounds = (*family.buckets, float("inf"))
        self._slots = tuple(sheet.slot(family.name, (*labels, repr(bound))) for bound in bounds)
        self._sum = sheet.slot(family.name + SUM, labels)

    def observe(self, value: float) -> None:
        values = self._values
        values[self._slots[bisect_left(self._bounds, value)]] += 1
        values[self._sum] += value

    def exemplify(self, value: float, trace_id: str, now_s: float) -> None:
        """What was observed was a traced request; ``now_s``: since 1970."""
        self._sheet.exemplify(self._slots[bisect_left(self._bounds, value)], Exemplar(trace_id, value, now_s))


class Metrics:
    """Counters of one process, each bound to its slot the first time it is used."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.values = sheet.values
        self._histograms: dict[tuple[str, tuple[str, ...]], Histogram] = {}

    def slot(self, family: Family, *labels: str) -> int:
        return self.sheet.slot(family.name, labels)

    def inc(self, family: Family, *labels: str, by: float = 1) -> None:
        self.values[self.sheet.slot(family.name, labels)] += by

    def set(self, family: Family, value: float, *labels: str) -> None:
        self.values[self.sheet.slot(family.name, labels)] = value

    def histogram(self, family: Family, *labels: str) -> Histogram:
        key = (family.name, labels)
        found = self._histograms.get(key)
        if found is None:
            found = self._histograms[key] = Histogram(self.sheet, family, labels)
        return found
