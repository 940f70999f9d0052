"""Prometheus' own tester on the rules: each alert fires for what it is for, alone, and is quiet while all is well."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.series import unknown

pytestmark = pytest.mark.full

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus"
ALERTS = [
    rule for group in yaml.safe_load((RULES / "alerts.yml").read_text("utf-8"))["groups"] for rule in group["rules"]
]
HOURS = 7
MINUTES = HOURS * 60
G = 'job="sluicegate", instance="gw:9902"'
DAY = 86_400  # the tests' clock begins at 1970

# One value a minute. 600 requests a minute are 10 a second.
HEALTHY: dict[str, str] = {
    f"up{{{G}}}": f"1x{MINUTES}",
    f'sluicegate_requests_total{{{G}, route="app", tier="t", status="200", outcome="forwarded"}}': f"0+600x{MINUTES}",
    f'sluicegate_requests_total{{{G}, route="app", tier="t", status="429", outcome="refused"}}': f"0+300x{MINUTES}",
    f'sluicegate_requests_total{{{G}, route="app", tier="t", status="502", outcome="failed"}}': f"0+0.1x{MINUTES}",
    # Callers in maintenance, and one who asks for what is not in the cache and for nothing else.
    f'sluicegate_requests_total{{{G}, route="app", tier="none", status="503", outcome="failed"}}': f"0+300x{MINUTES}",
    f'sluicegate_requests_total{{{G}, route="app", tier="t", status="504", outcome="refused"}}': f"0+60x{MINUTES}",
    f'sluicegate_errors_total{{{G}, fault="client", reason="quota_exceeded"}}': f"0+300x{MINUTES}",
    f'sluicegate_errors_total{{{G}, fault="client", reason="not_cached"}}': f"0+60x{MINUTES}",
    f'sluicegate_errors_total{{{G}, fault="gateway", reason="maintenance"}}': f"0+300x{MINUTES}",
    f'sluicegate_errors_total{{{G}, fault="upstream", reason="upstream_reset"}}': f"0+0.1x{MINUTES}",
    f'sluicegate_upstream_duration_seconds_count{{{G}, upstream="app"}}': f"0+60x{MINUTES}",
    f'sluicegate_upstream_failures_total{{{G}, upstream="app", reason="reset"}}': f"0+1x{MINUTES}",
    f'sluicegate_request_duration_seconds_sum{{{G}, route="app"}}': f"0+30x{MINUTES}",
    f'sluicegate_request_duration_seconds_count{{{G}, route="app"}}': f"0+600x{MINUTES}",
    f'sluicegate_request_duration_seconds_sum{{{G}, route="ai"}}': f"0+6000x{MINUTES}",  # a model writes for long
    f'sluicegate_request_duration_seconds_count{{{G}, route="ai"}}': f"0+300x{MINUTES}",
    f'sluicegate_ai_calls_total{{{G}, route="ai", provider="openai", end="exact"}}': f"0+300x{MINUTES}",
    f'sluicegate_cache_requests_total{{{G}, route="app", tier="t", result="hit", why=""}}': f"0+540x{MINUTES}",
    f'sluicegate_cache_requests_total{{{G}, route="app", tier="t", result="miss", why="uri-miss"}}': f"0+60x{MINUTES}",
    f'sluicegate_cache_requests_total{{{G}, route="app", tier="t", result="bypass", why=""}}': f"0+600x{MINUTES}",
    f'sluicegate_cache_requests_total{{{G}, route="rare", tier="t", result="miss", why="uri-miss"}}': f"0+6x{MINUTES}",
    f'sluicegate_tenant_isolation_violations_total{{{G}, route="old"}}': f"3x{MINUTES}",  # known, and over
    f"sluicegate_workers{{{G}}}": f"2x{MINUTES}",
    f"sluicegate_cache_workers_current{{{G}}}": f"2x{MINUTES}",
    f'sluicegate_budget_used_ratio{{{G}, budget="all", period="day"}}': f"0+0.001x{MINUTES}",
    f"sluicegate_budgets_closed{{{G}}}": f"0x{MINUTES}",
    f"sluicegate_ledger_lag_seconds{{{G}}}": f"0.2x{MINUTES}",
    f"sluicegate_outbox_records{{{G}}}": f"120x{MINUTES}",
    f"sluicegate_ledger_dead_letters_total{{{G}}}": f"1x{MINUTES}",
    f'sluicegate_alerts_oldest_seconds{{{G}, channel="ops"}}': f"0x{MINUTES}",
    f"sluicegate_redis_breaker_open{{{G}}}": f"0x{MINUTES}",
    f'sluicegate_redis_memory_bytes{{{G}, store="meters"}}': f"300x{MINUTES}",
    f'sluicegate_redis_memory_max_bytes{{{G}, store="meters"}}': f"1000x{MINUTES}",
    f'sluicegate_redis_memory_bytes{{{G}, store="cache"}}': f"300x{MINUTES}",
    f'sluicegate_redis_memory_max_bytes{{{G}, store="cache"}}': f"0x{MINUTES}",  # without a bound
    f"sluicegate_policy_last_reload_successful{{{G}}}": f"1x{MINUTES}",
    f'sluicegate_worker_restarts_total{{{G}, reason="died"}}': f"1x{MINUTES}",  # long ago
    f'sluicegate_background_restarts_total{{{G}, reason="died"}}': f"1x{MINUTES}",
    f"sluicegate_client_connections_refused_total{{{G}}}": f"0x{MINUTES}",
    f"sluicegate_log_lines_dropped_total{{{G}}}": f"0x{MINUTES}",
    f'sluicegate_certificate_expiry_timestamp_seconds{{{G}, kind="upstream", name="ai", address="a:443"}}': (
        f"{90 * DAY}x{MINUTES}"
    ),
    f'sluicegate_certificate_expiry_timestamp_seconds{{{G}, kind="upstream", name="gone", address="b:443"}}': (
        " ".join(["NaN"] * (MINUTES + 1))
    ),
    f'sluicegate_loop_lag_seconds_bucket{{{G}, le="0.05"}}': f"0+60x{MINUTES}",
    f'sluicegate_loop_lag_seconds_bucket{{{G}, le="0.5"}}': f"0+60x{MINUTES}",
    f'sluicegate_loop_lag_seconds_bucket{{{G}, le="+Inf"}}': f"0+60x{MINUTES}",
}

CALM = MINUTES - 60  # minutes before what goes wrong does
TURN = MINUTES - 5


def late(before: str, after: str, turn: int = CALM) -> str:
    """Values that turn ``turn`` minutes after the start."""
    return f"{before}x{turn - 1} {after}x{MINUTES - turn}"


CASES: dict[str, dict[str, str]] = {
    "SluicegateDown": {f"up{{{G}}}": late("1", "0", TURN)},
    "SluicegateMissing": dict.fromkeys(HEALTHY, f"1x{TURN - 10} stale"),
    "SluicegateAvailabilityFast": {
        # 2% of the last hour: the six hours before it were calm.
        f'sluicegate_errors_total{{{G}, fault="store", reason="store_away"}}': late("0", "0+26"),
    },
    "SluicegateAvailabilitySlow": {
        f'sluicegate_errors_total{{{G}, fault="upstream", reason="upstream_timeout"}}': f"0+12x{MINUTES}",
    },
    "SluicegateErrors": {
        f'sluicegate_requests_total{{{G}, route="app", tier="t", status="500", outcome="forwarded"}}': late(
            "0", "0+19"
        ),
    },
    "SluicegateSlow": {f'sluicegate_request_duration_seconds_sum{{{G}, route="app"}}': f"0+420x{MINUTES}"},
    "SluicegateFewHits": {
        f'sluicegate_cache_requests_total{{{G}, route="app", tier="t", result="miss", why="uri-miss"}}': (
            f"0+300x{MINUTES}"
        ),
    },
    "SluicegateTenantIsolation": {
        # The first ever: the series begins with it.
        f'sluicegate_tenant_isolation_violations_total{{{G}, route="app"}}': f"_x{TURN} 1x5",
    },
    "SluicegatePurgesNotHeard": {f"sluicegate_cache_workers_current{{{G}}}": late("2", "1", TURN)},
    "SluicegateBudgetAt80": {f'sluicegate_budget_used_ratio{{{G}, budget="all", period="day"}}': f"0+0.002x{MINUTES}"},
    "SluicegateBudgetAt95": {f'sluicegate_budget_used_ratio{{{G}, budget="all", period="day"}}': f"0+0.0023x{MINUTES}"},
    "SluicegateBudgetsClosed": {f"sluicegate_budgets_closed{{{G}}}": late("0", "1", TURN)},
    "SluicegateLedgerLag": {f"sluicegate_ledger_lag_seconds{{{G}}}": late("0", "0+60")},
    "SluicegateOutboxDeep": {f"sluicegate_outbox_records{{{G}}}": late("0", "0+1000")},
    "SluicegateDeadLetters": {f"sluicegate_ledger_dead_letters_total{{{G}}}": late("1", "2", TURN)},
    "SluicegateAlertsWait": {f'sluicegate_alerts_oldest_seconds{{{G}, channel="ops"}}': late("0", "0+60")},
    # One that nothing comes of has no durations.
    "SluicegateUpstreamFails": {
        f'sluicegate_upstream_failures_total{{{G}, upstream="mail", reason="connect"}}': f"0+1x{MINUTES}"
    },
    "SluicegateRedisAway": {f"sluicegate_redis_breaker_open{{{G}}}": late("0", "2", TURN)},
    "SluicegateRedisMemory": {f'sluicegate_redis_memory_bytes{{{G}, store="meters"}}': f"0+2x{MINUTES}"},
    "SluicegateReloadFailed": {f"sluicegate_policy_last_reload_successful{{{G}}}": late("1", "0", TURN)},
    "SluicegateBackgroundRestarts": {
        f'sluicegate_background_restarts_total{{{G}, reason="died"}}': late("1", "2", TURN),
    },
    "SluicegateBackgroundFails": {
        f'sluicegate_background_restarts_total{{{G}, reason="died"}}': late("1", "2+1", TURN),
    },
    "SluicegateWorkersRestart": {f'sluicegate_worker_restarts_total{{{G}, reason="hung"}}': f"_x{TURN} 1x5"},
    "SluicegateConnectionsRefused": {f"sluicegate_client_connections_refused_total{{{G}}}": late("0", "0+1", TURN)},
    "SluicegateLogLinesDropped": {f"sluicegate_log_lines_dropped_total{{{G}}}": late("0", "0+1")},
    "SluicegateLoopLate": {f'sluicegate_loop_lag_seconds_bucket{{{G}, le="0.05"}}': f"0+50x{MINUTES}"},
    "SluicegateCertificateEnds": {
        f'sluicegate_certificate_expiry_timestamp_seconds{{{G}, kind="upstream", name="ai", address="a:443"}}': (
            f"{20 * DAY}x{MINUTES}"
        ),
    },
    # Of one that ends that soon both are told.
    "SluicegateCertificateEnded": {
        f'sluicegate_certificate_expiry_timestamp_seconds{{{G}, kind="redis", name="meters", address="r:6380"}}': (
            f"{DAY}x{MINUTES}"
        ),
    },
}
ALONG = {
    "SluicegateCertificateEnded": ["SluicegateCertificateEnds"],
    "SluicegateBackgroundFails": ["SluicegateBackgroundRestarts"],
}


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def firing(folder: Path, changed: dict[str, str], alerts: dict[int, list[str]]) -> None:
    """Fails unless these alerts, once each, are all that fire in each of these minutes."""
    test: dict[str, Any] = {
        "rule_files": [str(RULES / "recording.yml"), str(RULES / "alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": text} for name, text in (HEALTHY | changed).items()],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                        "eval_time": f"{minute}m",
                        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(names)],
                    }
                    for minute, names in alerts.items()
                ],
            }
        ],
    }
    file = folder / "test.yml"
    file.write_text(yaml.safe_dump(test), "utf-8")
    promtool("test", "rules", str(file))


def test_the_rules_and_the_scrape_configuration_are_valid() -> None:
    promtool("check", "rules", str(RULES / "recording.yml"), str(RULES / "alerts.yml"))
    promtool("check", "config", str(RULES / "prometheus.yml"))


def test_no_alert_fires_while_all_is_well(tmp_path: Path) -> None:
    firing(tmp_path, {}, {MINUTES: []})


MAINTAINED = 'route="app", tier="none", status="503", outcome="failed"'


@pytest.mark.parametrize(
    "changed",
    [
        {
            f'sluicegate_requests_total{{{G}, route="app", tier="t", status="200", outcome="forwarded"}}': (
                f"0+600x{CALM} {600 * CALM}x{MINUTES - CALM}"
            ),
            f"sluicegate_requests_total{{{G}, {MAINTAINED}}}": f"_x{CALM} 600+600x{MINUTES - CALM}",
            f'sluicegate_errors_total{{{G}, fault="gateway", reason="maintenance"}}': (
                f"_x{CALM} 600+600x{MINUTES - CALM}"
            ),
        },
        {
            f'sluicegate_requests_total{{{G}, route="app", tier="t", status="504", outcome="refused"}}': (
                f"0+6000x{MINUTES}"
            )
        },
    ],
    ids=["maintenance", "what clients bring on themselves"],
)
def test_neither_maintenance_nor_a_client_can_page_anybody(tmp_path: Path, changed: dict[str, str]) -> None:
    """However many they are. What is really wrong beside them is seen: they are in ``HEALTHY``, too."""
    firing(tmp_path, changed, {CALM + minutes: [] for minutes in (1, 12, 30)})


@pytest.mark.parametrize("name", [rule["alert"] for rule in ALERTS])
def test_each_alert_fires_for_what_it_is_for(tmp_path: Path, name: str) -> None:
    firing(tmp_path, CASES[name], {MINUTES: [name, *ALONG.get(name, [])]})


COUNTS = {
    "SluicegateTenantIsolation": ("sluicegate_tenant_isolation_violations_total", ', route="app"', 10),
    "SluicegateDeadLetters": ("sluicegate_ledger_dead_letters_total", "", 60),
    "SluicegateWorkersRestart": ("sluicegate_worker_restarts_total", ', reason="hung"', 15),
    "SluicegateBackgroundRestarts": ("sluicegate_background_restarts_total", ', reason="hung"', 15),
}
LAST = MINUTES - 70
"""The minute in which something happens once, with time after it for the longest of them."""


def counts(before: str, after: str) -> str:
    """Values until ``LAST``, and from then on."""
    return f"{before}x{LAST - 1} {after}x{MINUTES - LAST}"


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"_x{LAST} 3x{MINUTES - LAST}", ""),
        (counts("5", "8"), counts("7", "7")),
        (counts("5", "3"), ""),
        (f"5x{LAST - 4} stale _x2 3x{MINUTES - LAST}", ""),
        (f"5x{LAST - 1} stale", counts("5", "8")),
        (counts("5", "3"), counts("9", "9")),
        (f"_x{LAST} 3x{MINUTES - LAST}", f"5x{LAST - 20} stale"),
    ],
    ids=[
        "the first of all",
        "of two instances",
        "after a restart between two scrapes",
        "after a restart that took minutes",
        "while another instance is taken away",
        "while another instance has a larger count",
        "in an instance that took another's place",
    ],
)
def test_what_happens_once_is_told_at_once_and_for_as_long_as_it_is_looked_back(
    tmp_path: Path, name: str, one: str, other: str
) -> None:
    """Whatever becomes of counts meanwhile: they begin at nothing with their gateway."""
    metric, labels, lasts = COUNTS[name]
    series = {f'{metric}{{job="sluicegate", instance="{gate}"{labels}}}': text for gate, text in
              (("a:1", one), ("b:1", other)) if text}  # fmt: skip
    told = {minute: [name] for minute in (LAST, LAST + 1, LAST + lasts // 2, LAST + lasts - 1)}
    firing(tmp_path, series, {LAST - 1: [], **told, LAST + lasts + 1: []})


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("after", ["stale", "0x60"])
def test_a_restart_alone_is_no_news_of_what_was_counted_before(tmp_path: Path, name: str, after: str) -> None:
    """Neither is an instance that is taken away."""
    metric, labels, _ = COUNTS[name]
    series = {f'{metric}{{job="sluicegate", instance="{gate}"{labels}}}': text for gate, text in
              (("a:1", f"5x{LAST - 1} {after}"), ("b:1", f"2x{MINUTES}"))}  # fmt: skip
    firing(tmp_path, series, {minute: [] for minute in (LAST - 1, LAST, LAST + 1, LAST + 9, LAST + 30)})


def test_rules_speak_of_metrics_that_there_are() -> None:
    """With the names that are exposed."""
    for file in ("recording.yml", "alerts.yml"):
        for group in yaml.safe_load((RULES / file).read_text("utf-8"))["groups"]:
            for rule in group["rules"]:
                assert not unknown(rule["expr"]), rule


def test_every_alert_says_how_bad_it_is_and_where_its_runbook_is() -> None:
    """And the runbook has that section."""
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        file, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert file == "docs/operations.md"
        assert anchor in anchors, rule["alert"]
