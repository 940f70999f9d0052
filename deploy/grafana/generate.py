"""Makes the dashboard from the tables of panels below, to stdout; it is kept as sluicegate.json beside this file.

A row of the table is a title, a unit, how it is drawn, and its queries with their legends. Places, ids and all that
Grafana wants besides are made. A test holds the table and the file together, and asks each query of a real Prometheus.
"""

import json
import sys
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

JOB: Final = 'job=~"$job", instance=~"$instance"'
ROUTE: Final = f'{JOB}, route=~"$route"'
HITS: Final = f'{ROUTE}, result=~"hit|stale|revalidated|coalesced"'
WENT: Final = f'{ROUTE}, result=~"miss|bypass|revalidated"'
FAILED: Final = f'{JOB}, fault!="client", reason!="maintenance"'
CACHED: Final = f'{ROUTE}, result!="bypass"'
REFUSED: Final = f'{JOB}, outcome="refused"'
W: Final = "$__rate_interval"
WIDTH: Final = 24  # of Grafana's grid


@dataclass(frozen=True)
class Panel:
    """``queries``: (PromQL, legend). ``width`` of 24; ``kind``: timeseries or stat."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    width: int = 8
    about: str = ""


def rate(metric: str, labels: str = JOB, by: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{labels}}}[{W}]))" if by else f"sum(rate({metric}{{{labels}}}[{W}]))"


def quantile(share: float, metric: str, labels: str = JOB, by: str = "") -> str:
    groups = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, sum by ({groups}) (rate({metric}_bucket{{{labels}}}[{W}])))"


OVERVIEW: Final = (
    Panel("Requests", "reqps", ((rate("sluicegate_requests_total", ROUTE), "requests"),), "stat", 4),
    Panel(
        "Not available",
        "percentunit",
        (
            (
                f"({rate('sluicegate_errors_total', FAILED)} or vector(0)) / {rate('sluicegate_requests_total')}",
                "failed",
            ),
        ),
        "stat",
        4,
        "What the gateway, a store or an upstream did not manage. The objective is 0.1%.",
    ),
    Panel("p95", "s", ((quantile(0.95, "sluicegate_request_duration_seconds", ROUTE), "p95"),), "stat", 4),
    Panel("In flight", "short", ((f"sum(sluicegate_requests_in_flight{{{JOB}}})", "requests"),), "stat", 4),
    Panel(
        "Answered from the cache",
        "percentunit",
        (
            (
                f"{rate('sluicegate_cache_requests_total', HITS)} / {rate('sluicegate_cache_requests_total', CACHED)}",
                "hits",
            ),
        ),
        "stat",
        4,
    ),
    Panel("Workers", "short", ((f"sum(sluicegate_workers{{{JOB}}})", "workers"),), "stat", 4),
    Panel("Requests by outcome", "reqps", ((rate("sluicegate_requests_total", ROUTE, "outcome"), "{{outcome}}"),)),
    Panel("Requests by route", "reqps", ((rate("sluicegate_requests_total", ROUTE, "route"), "{{route}}"),)),
    Panel("Requests by status", "reqps", ((rate("sluicegate_requests_total", ROUTE, "status"), "{{status}}"),)),
    Panel(
        "Duration",
        "s",
        tuple(
            (quantile(share, "sluicegate_request_duration_seconds", ROUTE), f"p{share * 100:g}")
            for share in (0.5, 0.95, 0.99)
        ),
    ),
    Panel(
        "Mean duration by route",
        "s",
        (
            (
                f"{rate('sluicegate_request_duration_seconds_sum', ROUTE, 'route')}"
                f" / {rate('sluicegate_request_duration_seconds_count', ROUTE, 'route')}",
                "{{route}}",
            ),
        ),
    ),
    Panel(
        "Own answers by reason",
        "reqps",
        ((rate("sluicegate_errors_total", JOB, "fault, reason"), "{{fault}}: {{reason}}"),),
    ),
    Panel(
        "Connections of clients",
        "short",
        ((f"sum by (instance) (sluicegate_client_connections{{{JOB}}})", "{{instance}}"),),
    ),
    Panel(
        "Lag of the loops",
        "s",
        ((quantile(0.95, "sluicegate_loop_lag_seconds", JOB, "instance"), "{{instance}}, p95"),),
    ),
    Panel(
        "Newest policy in force",
        "bool_yes_no",
        ((f"min by (instance) (sluicegate_policy_last_reload_successful{{{JOB}}})", "{{instance}}"),),
    ),
)
TENANTS: Final = (
    Panel(
        "Requests of the tenants that the policy lists",
        "reqps",
        ((rate("sluicegate_tenant_requests_total", JOB, "tenant"), "{{tenant}}"),),
        width=12,
        about="metrics.tenants in the policy; all others are other.",
    ),
    Panel(
        "Refused",
        "percentunit",
        (
            (
                f"{rate('sluicegate_tenant_requests_total', REFUSED, 'tenant')}"
                f" / {rate('sluicegate_tenant_requests_total', JOB, 'tenant')}",
                "{{tenant}}",
            ),
        ),
        width=12,
    ),
    Panel("Requests by tier", "reqps", ((rate("sluicegate_requests_total", ROUTE, "tier"), "{{tier}}"),), width=12),
    Panel(
        "Answers that named another tenant",
        "short",
        (
            (
                f"sum by (route) (increase(sluicegate_tenant_isolation_violations_total{{{JOB}}}[{W}])) or vector(0)",
                "{{route}}",
            ),
        ),
        width=12,
    ),
)
LIMITS: Final = (
    Panel(
        "Decisions",
        "reqps",
        ((rate("sluicegate_limit_decisions_total", JOB, "limit, decision"), "{{limit}}: {{decision}}"),),
        width=12,
    ),
    Panel(
        "Refused, of all",
        "percentunit",
        (
            (
                f'sum by (limit) (rate(sluicegate_limit_decisions_total{{{JOB}, decision=~"refused|remembered"}}[{W}]))'
                f" / {rate('sluicegate_limit_decisions_total', JOB, 'limit')}",
                "{{limit}}",
            ),
        ),
        width=12,
    ),
    Panel(
        "Redis, as an admission waits for it",
        "s",
        tuple(
            (quantile(share, "sluicegate_redis_duration_seconds"), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)
        ),
    ),
    Panel(
        "Workers that cannot reach Redis",
        "short",
        ((f"sum by (instance) (sluicegate_redis_breaker_open{{{JOB}}})", "{{instance}}"),),
    ),
    Panel("Memory of Redis", "bytes", ((f"max by (store) (sluicegate_redis_memory_bytes{{{JOB}}})", "{{store}}"),)),
)
SPEND: Final = (
    Panel("Dollars an hour", "currencyUSD", ((f"3600 * {rate('sluicegate_ai_spend_usd_total')}", "spent"),), "stat", 6),
    Panel(
        "Held at admission, an hour",
        "currencyUSD",
        ((f"3600 * {rate('sluicegate_ai_held_usd_total')}", "held"),),
        "stat",
        6,
    ),
    Panel("Calls in flight", "short", ((f"sum(sluicegate_ai_calls_in_flight{{{JOB}}})", "calls"),), "stat", 6),
    Panel("Waiting for the ledger", "short", ((f"max(sluicegate_outbox_records{{{JOB}}})", "records"),), "stat", 6),
    Panel(
        "Everybody's budgets, used",
        "percentunit",
        ((f"max by (budget, period) (sluicegate_budget_used_ratio{{{JOB}}})", "{{budget}}, {{period}}"),),
    ),
    Panel(
        "Dollars an hour by route and provider",
        "currencyUSD",
        ((f"3600 * {rate('sluicegate_ai_spend_usd_total', ROUTE, 'route, provider')}", "{{route}}, {{provider}}"),),
    ),
    Panel(
        "Dollars an hour by tier",
        "currencyUSD",
        ((f"3600 * {rate('sluicegate_ai_spend_usd_total', ROUTE, 'tier')}", "{{tier}}"),),
    ),
    Panel("Tokens", "short", ((rate("sluicegate_ai_tokens_total", ROUTE, "kind"), "{{kind}}"),)),
    Panel("Calls by how they were settled", "reqps", ((rate("sluicegate_ai_calls_total", ROUTE, "end"), "{{end}}"),)),
    Panel("Calls refused", "reqps", ((rate("sluicegate_budget_refusals_total", JOB, "budget"), "{{budget}}"),)),
    Panel("Lag of the ledger", "s", ((f"max(sluicegate_ledger_lag_seconds{{{JOB}}})", "oldest record"),)),
    Panel("Rows written", "short", ((rate("sluicegate_ledger_rows_total"), "rows a second"),)),
    Panel(
        "Database",
        "s",
        ((quantile(0.95, "sluicegate_database_duration_seconds", JOB, "what"), "{{what}}, p95"),),
    ),
)
CACHE: Final = (
    Panel("Requests by result", "reqps", ((rate("sluicegate_cache_requests_total", ROUTE, "result"), "{{result}}"),)),
    Panel(
        "Hits by route",
        "percentunit",
        (
            (
                f"{rate('sluicegate_cache_requests_total', HITS, 'route')}"
                f" / {rate('sluicegate_cache_requests_total', CACHED, 'route')}",
                "{{route}}",
            ),
        ),
    ),
    Panel(
        "Why requests went upstream",
        "reqps",
        (
            (
                rate("sluicegate_cache_requests_total", WENT, "why"),
                "{{why}}",
            ),
        ),
    ),
    Panel(
        "Answers stored, or why not",
        "reqps",
        ((rate("sluicegate_cache_answers_total", ROUTE, "result"), "{{result}}"),),
    ),
    Panel(
        "Served from the cache", "Bps", ((rate("sluicegate_cache_served_bytes_total", ROUTE, "route"), "{{route}}"),)
    ),
    Panel("Purges", "reqps", ((rate("sluicegate_cache_purges_total", JOB, "by"), "{{by}}"),)),
    Panel(
        "Bytes in workers' memories",
        "bytes",
        ((f"sum by (instance) (sluicegate_cache_memory_bytes{{{JOB}}})", "{{instance}}"),),
    ),
    Panel(
        "URLs in workers' memories",
        "short",
        ((f"sum by (instance) (sluicegate_cache_memory_entries{{{JOB}}})", "{{instance}}"),),
    ),
    Panel(
        "Workers that hear of purges",
        "short",
        ((f"sum by (instance) (sluicegate_cache_workers_current{{{JOB}}})", "{{instance}}"),),
    ),
)
UPSTREAMS: Final = (
    Panel(
        "Time to the header section, p95",
        "s",
        ((quantile(0.95, "sluicegate_upstream_duration_seconds", JOB, "upstream"), "{{upstream}}"),),
    ),
    Panel(
        "Mean time to the header section",
        "s",
        (
            (
                f"{rate('sluicegate_upstream_duration_seconds_sum', JOB, 'upstream')}"
                f" / {rate('sluicegate_upstream_duration_seconds_count', JOB, 'upstream')}",
                "{{upstream}}",
            ),
        ),
    ),
    Panel(
        "Requests", "reqps", ((rate("sluicegate_upstream_duration_seconds_count", JOB, "upstream"), "{{upstream}}"),)
    ),
    Panel(
        "Upstreams' failures",
        "reqps",
        ((rate("sluicegate_upstream_failures_total", JOB, "upstream, reason"), "{{upstream}}: {{reason}}"),),
    ),
    Panel(
        "Retries",
        "reqps",
        ((f"{rate('sluicegate_upstream_retries_total', JOB, 'upstream')} or vector(0)", "{{upstream}}"),),
    ),
    Panel(
        "Certificates end in",
        "s",
        (
            (
                f"min by (kind, name, address) (sluicegate_certificate_expiry_timestamp_seconds{{{JOB}}}) - time()",
                "{{kind}} {{name}}, {{address}}",
            ),
        ),
    ),
)
ROWS: Final = (
    ("Overview", OVERVIEW),
    ("Tenants", TENANTS),
    ("Limits", LIMITS),
    ("AI spend", SPEND),
    ("Cache", CACHE),
    ("Upstreams", UPSTREAMS),
)
VARIABLES: Final = (
    ("job", "label_values(sluicegate_build_info, job)"),
    ("instance", 'label_values(sluicegate_build_info{job=~"$job"}, instance)'),
    ("route", 'label_values(sluicegate_requests_total{job=~"$job"}, route)'),
)
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> dict[str, Any]:
    numbers, panels, y = count(1), [], 0
    for title, table in ROWS:
        panels.append(
            {
                "id": next(numbers),
                "type": "row",
                "title": title,
                "collapsed": False,
                "panels": [],
                "gridPos": _at(0, y, WIDTH, 1),
            }
        )
        x, y, height = 0, y + 1, 0
        for panel in table:
            if x + panel.width > WIDTH:
                x, y = 0, y + height
            height = 4 if panel.kind == "stat" else 8
            panels.append(_panel(panel, next(numbers), _at(x, y, panel.width, height)))
            x += panel.width
        y += height
    return {
        "uid": "sluicegate",
        "title": "Sluicegate",
        "tags": ["sluicegate"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_source_variable(), *(_variable(*each) for each in VARIABLES)]},
        "panels": panels,
    }


def _at(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    instant = panel.kind == "stat"
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.kind == "timeseries":
        defaults |= {"min": 0, "custom": {"fillOpacity": 10, "lineWidth": 1, "showPoints": "never", "spanNulls": True}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
        if not instant
        else {"colorMode": "none", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": query, "legendFormat": legend, "range": True}
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }


def _source_variable() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def text() -> str:
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
