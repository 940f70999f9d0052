"""What the table of metrics says, for readers (docs/metrics.md). Pure.

``python -m proxy.telemetry.reference > docs/metrics.md`` makes the page anew; a test holds the two together.
"""

import sys
from collections.abc import Iterator
from typing import Final

from proxy.telemetry.metrics import FAMILIES, Family, Kind
from proxy.telemetry.sheet import SLOTS

_HEAD: Final = f"""\
# Metrics

This page is made from the code. To make it anew: `python -m proxy.telemetry.reference > docs/metrics.md`.

* **Where.** `GET /metrics` on the listener that `metrics.address` names (127.0.0.1:9902 unless the policy says
  otherwise), and on the admin listener. In Prometheus' text format, or in OpenMetrics for who asks for it. One answer
  has the whole gateway: workers count in memory that they share with the parent, which sums it.
* **Counts and gauges.** A count outlives the worker that counted it, also one that was killed; a restart of the gateway
  begins anew, which `rate()` and `increase()` know. A gauge is summed over the processes that set it, and ends with
  them.
* **When a series appears.** A metric's `HELP` and `TYPE` are always there; a series is there once there was something
  to count.
* **How many.** Labels have closed sets of values: the words below, and what the policy names. Never a path, an address,
  a user or a model; a tenant only where `metrics.tenants` lists it. So the policy bounds how many series there are: a
  route has {{duration}} for its durations, and one for each tier, status and outcome that it has seen. A worker has
  room for {SLOTS:,}; what has none is not counted, and the log says so once.
* **OpenMetrics** is what Prometheus asks for by itself. It has **exemplars**, `# {{trace_id="…"}} value time`: each
  bucket of {{exemplars}}
  has the newest traced request that fell into it. Prometheus keeps them with `--enable-feature=exemplar-storage`, and
  Grafana leads from one to its trace. Requests are traced for Sentry, for OTLP or for both ([otlp.md](otlp.md)).
* **Rules, alerts, dashboards** that use these: `deploy/prometheus/`, `deploy/grafana/`.
"""

_SECTIONS: Final = (  # the first prefix that fits
    ("sluicegate_request", "Requests"),
    ("sluicegate_tenant_requests", "Requests"),
    ("sluicegate_client", "Requests"),
    ("sluicegate_errors", "Requests"),
    ("sluicegate_limit", "Limits and their Redis"),
    ("sluicegate_redis", "Limits and their Redis"),
    ("sluicegate_upstream", "Upstreams"),
    ("sluicegate_certificate", "Upstreams"),
    ("sluicegate_cache", "The cache"),
    ("sluicegate_tenant_isolation", "The cache"),
    ("sluicegate_ai", "Calls to providers and budgets"),
    ("sluicegate_budget", "Calls to providers and budgets"),
    ("sluicegate_outbox", "The ledger and alerts"),
    ("sluicegate_ledger", "The ledger and alerts"),
    ("sluicegate_database", "The ledger and alerts"),
    ("sluicegate_alert", "The ledger and alerts"),
    ("sluicegate_otlp", "OpenTelemetry"),
    ("sluicegate_sentry", "Sentry and browsers"),
    ("sluicegate_web_vital", "Sentry and browsers"),
    ("sluicegate_server_timing", "Sentry and browsers"),
    ("sluicegate", "The gateway itself"),
)

LABELS: Final = {
    "route": "a route's name, `none` where no route matched",
    "tier": "a tier of the policy, `none` where nobody was identified",
    "status": "the answer's status, 499 where the client had left",
    "outcome": "`forwarded`, `refused` (by the policy), `cached`, `answered` (by the gateway, as asked), `failed`, "
    "`cut` (the upstream broke off), `client_gone`",
    "tenant": "one that `metrics.tenants` lists, or `other`",
    "fault": "`client`, `gateway`, `upstream`, `store`",
    "limit": "a limit's name",
    "mode": "`open`, `closed`",
    "store": "`meters`, `cache`",
    "upstream": "an upstream's name",
    "address": "host and port, as the policy says",
    "why": "a word of RFC 9211 §2.2, or what had it bypass the cache",
    "by": "`write`, `ops`",
    "provider": "the provider as the price table knows it",
    "budget": "the name of a budget or of a limit of tokens",
    "period": "`hour`, `day`, `week`, `month`",
    "part": "`outbox`, `ledger`, `alerts`",
    "what": "`pool` (waiting for a connection), `read`, `write`",
    "channel": "an alert channel's name",
    "version": "of the gateway",
    "name": "an upstream's name; for Redis `meters` or `cache`",
    "reason": "a word of a closed set, the one in the log line",
}
"""What values a label has, wherever it is."""

OF_ONE: Final = {
    ("sluicegate_certificate_expiry_timestamp_seconds", "kind"): "`upstream`, `redis`",
    ("sluicegate_worker_restarts", "reason"): "`died`, `hung`",
    ("sluicegate_background_restarts", "reason"): "`died`, `hung`",
    ("sluicegate_cache_answers", "result"): "`stored`, or a reason in a word",
    ("sluicegate_cache_requests", "result"): "`hit`, `stale`, `revalidated`, `coalesced`, `miss`, `bypass`",
    ("sluicegate_limit_decisions", "decision"): "`admitted`, `refused`, `shadow_refused`, `remembered`",
    ("sluicegate_ai_calls", "end"): "`exact`, `estimated`, `overrun`, `released`",
    ("sluicegate_ai_tokens", "kind"): "`input`, `output`, `cached_read`, `cache_write`",
    ("sluicegate_alerts", "result"): "`delivered`, `later`, `never`",
    ("sluicegate_alerts_service", "kind"): "what it is about, as an alert's `cause`",
    ("sluicegate_alerts_service", "level"): "`warning`, `critical`, `resolved`",
    ("sluicegate_alerts_service_firing", "kind"): "as above",
    ("sluicegate_ledger_projected_rows", "result"): "`copied`, `left_out`",
    ("sluicegate_policy_reloads", "result"): "`applied`, `rejected`",
    ("sluicegate_sentry_events", "result"): "`captured`, `repeated`, `sent`, `refused`, `dropped`",
    ("sluicegate_sentry_traces", "result"): "`captured`, `over`, `sent`, `refused`, `dropped`",
    ("sluicegate_sentry_tunnel", "result"): "`taken`, `sent`, `refused`, `dropped`",
    ("sluicegate_otlp_traces", "result"): "`captured`, `over`, `sent`, `partly`, `refused`, `dropped`",
    ("sluicegate_otlp_pushes", "result"): "`sent`, `partly`, `refused`, `later`",
    ("sluicegate_web_vital_seconds", "name"): "`lcp`, `inp`, `fcp`, `ttfb`, and those of `vitals.measures`",
    ("sluicegate_server_timing_seconds", "name"): "one that `server_timing` lists",
}
"""And where it has others, or means something else with each metric."""


def exposed(family: Family) -> str:
    """Its name as Prometheus shows it; of a histogram without ``_bucket``, ``_sum`` and ``_count``."""
    return f"{family.name}_total" if family.kind is Kind.COUNTER else family.name


def section_of(family: Family) -> str:
    return next(title for prefix, title in _SECTIONS if family.name.startswith(prefix))


def page() -> str:
    """The reference as Markdown."""
    histogram = next(family for family in FAMILIES if family.kind is Kind.HISTOGRAM and "route" in family.labels)
    series = len(histogram.buckets) + 3  # +Inf, sum, count
    exemplars = " and of ".join(f"`{family.name}`" for family in FAMILIES if family.exemplars)
    head = _HEAD.replace("{duration}", str(series)).replace("{exemplars}", exemplars)
    return "\n".join([head, *_sections(), _labels()])


def _sections() -> Iterator[str]:
    for title in dict.fromkeys(title for _, title in _SECTIONS):
        rows = [_row(family) for family in FAMILIES if section_of(family) == title]
        if rows:
            yield "\n".join([f"## {title}", "", "| metric | kind | labels | |", "|---|---|---|---|", *rows, ""])


def _row(family: Family) -> str:
    labels = ", ".join(_label(family, label) for label in family.labels)
    text = family.help
    if family.kind is Kind.HISTOGRAM:
        text += f" Buckets from {family.buckets[0]:g} to {family.buckets[-1]:g}."
    return f"| `{exposed(family)}` | {family.kind.value} | {labels} | {text} |".replace("|  |", "| |")


def _label(family: Family, label: str) -> str:
    own = OF_ONE.get((family.name, label))
    return f"`{label}`" if own is None else f"`{label}` ({own})"


def _labels() -> str:
    rows = [f"| `{label}` | {values} |" for label, values in sorted(LABELS.items())]
    return "\n".join(
        ["## Labels", "", "Where a metric's own line does not say:", "", "| label | values |", "|---|---|", *rows, ""]
    )


if __name__ == "__main__":
    sys.stdout.write(page())
