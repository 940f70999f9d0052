"""What is watched, from what all processes count."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from proxy.alerts.samples import Sample, Subject, Watched, goes_on, sampled
from proxy.alerts.windows import Tally
from proxy.policy.service import Bound, Kind, Measure, Rule
from proxy.policy.spending import Level
from proxy.telemetry.exposition import Exposition
from proxy.telemetry.metrics import (
    BACKGROUND_RESTARTS,
    BREAKER,
    CERTIFICATE_EXPIRY,
    DURATION,
    ISOLATION,
    LEDGER_LAG,
    REFUSALS,
    RELOAD_OK,
    REQUESTS,
    UPSTREAM_DURATION,
    UPSTREAM_FAILURES,
    WORKER_RESTARTS,
    Metrics,
)
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader

RULES = {kind: Rule(Measure.SHARE, (Bound(Level.WARNING, 0.5), Bound(Level.CRITICAL, 2.0)), 0) for kind in Kind}
WATCHED = Watched(RULES, {"shop": "app", "admin": "app", "ai": "openai"}, providers=frozenset({"ai"}))
NOW_S = 1_795_003_200.0


class Gateway:
    """Two processes that count."""

    def __init__(self) -> None:
        self.exposition = Exposition()
        files = SheetFiles.make(), SheetFiles.make()
        self.one, self.other = (Metrics(Sheet(each)) for each in files)
        self.keys = [self.exposition.attach(SheetReader(each)) for each in files]

    def sampled(self, watched: Watched = WATCHED) -> dict[Subject, Sample]:
        return sampled(self.exposition.totals(), watched, NOW_S)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    started = Gateway()
    yield started
    for key in started.keys:
        started.exposition.retire(key)


def of(found: Mapping[Subject, Sample], kind: Kind) -> dict[str, Sample]:
    return {subject.name: sample for subject, sample in found.items() if subject.kind is kind}


def test_failed_is_what_nobody_answered_well_but_not_what_clients_brought_on_themselves(gateway: Gateway) -> None:
    """The app's own errors count, and answers that broke off; neither an upgrade nor a limit does, nor who left. The
    whole has routes that are gone, too: else it would jump when one comes back."""
    for status, outcome, times in (
        ("200", "forwarded", 80),
        ("500", "forwarded", 4),
        ("502", "failed", 3),
        ("200", "cut", 2),
        ("503", "cached", 1),
        ("429", "refused", 5),
        ("501", "refused", 3),
        ("404", "forwarded", 1),
        ("499", "client_gone", 1),
    ):
        gateway.one.inc(REQUESTS, "shop", "gold", status, outcome, by=times)
    gateway.other.inc(REQUESTS, "shop", "none", "500", "forwarded")
    gateway.other.inc(REQUESTS, "none", "none", "404", "refused", by=9)
    gateway.other.inc(REQUESTS, "gone-since", "none", "500", "forwarded", by=99)
    found = of(gateway.sampled(), Kind.ERROR_RATE)
    assert found["shop"] == Tally(101, 11, 11)
    assert found["admin"] == found["ai"] == Tally(0, 0, 0)
    assert found[""] == Tally(209, 110, 110, {"shop": 11, "admin": 0, "ai": 0, "none": 0, "gone-since": 99})
    assert set(found) == {"", "shop", "admin", "ai"}


def test_in_maintenance_nothing_fails(gateway: Gateway) -> None:
    gateway.one.inc(REQUESTS, "shop", "gold", "503", "failed")
    assert not of(gateway.sampled(replace(WATCHED, maintenance=True)), Kind.ERROR_RATE)


def test_available_is_as_the_service_level_has_it(gateway: Gateway) -> None:
    """Neither a client's fault nor maintenance counts; the app's own answers are answers."""
    gateway.one.inc(REQUESTS, "shop", "gold", "500", "forwarded", by=50)
    for fault, reason, times in (
        ("client", "quota_exceeded", 9),
        ("gateway", "maintenance", 9),
        ("gateway", "internal", 1),
        ("upstream", "upstream_reset", 2),
        ("store", "store_away", 4),
    ):
        gateway.other.inc(REFUSALS, fault, reason, by=times)
    parts = {"internal": 1, "upstream_reset": 2, "store_away": 4}
    assert of(gateway.sampled(), Kind.AVAILABILITY) == {"": Tally(50, 7, 7, parts)}


def test_latency_leaves_out_providers_and_what_the_policy_names(gateway: Gateway) -> None:
    """Slow is what took longer than the first bound."""
    for seconds in (0.1, 0.5, 0.7, 3.0):
        gateway.one.histogram(DURATION, "shop").observe(seconds)
    gateway.other.histogram(DURATION, "shop").observe(1.0)
    gateway.other.histogram(DURATION, "ai").observe(30.0)
    gateway.other.histogram(DURATION, "none").observe(0.001)  # whoever asks for what is not there makes nothing quick
    gateway.other.histogram(DURATION, "gone-since").observe(9.0)
    gateway.other.histogram(DURATION, "admin").observe(20.0)
    found = of(gateway.sampled(), Kind.LATENCY)
    assert set(found) == {"", "shop", "admin"}
    shop = found["shop"]
    assert isinstance(shop, Tally)
    assert (shop.total, shop.bad) == (5, 3)
    assert shop.amount == pytest.approx(5.3)
    rules = {**RULES, Kind.LATENCY: replace(RULES[Kind.LATENCY], leave_out=frozenset({"admin"}))}
    less = of(gateway.sampled(replace(WATCHED, rules=rules)), Kind.LATENCY)
    assert (set(less), less[""]) == ({"", "shop"}, Tally(5, shop.amount, 3, {"shop": shop.amount}))


def test_what_a_reload_does_not_change_goes_on() -> None:
    """A route leaves the counts of others alone, and of the whole; one that leads elsewhere counts something else."""
    kept = {
        Subject(Kind.ERROR_RATE): "add move model",
        Subject(Kind.ERROR_RATE, "shop"): "add model",
        Subject(Kind.ERROR_RATE, "admin"): "add move model",
        Subject(Kind.LATENCY): "move",
        Subject(Kind.LATENCY, "shop"): "add model",
        Subject(Kind.AVAILABILITY): "add move model rule",
        Subject(Kind.ISOLATION, "shop"): "add move model rule",
        Subject(Kind.UPSTREAM, "app"): "model",
        Subject(Kind.UPSTREAM, "openai"): "add model",
        Subject(Kind.WORKERS): "add move model rule",
    }
    changes = {
        "add": replace(WATCHED, routes={**WATCHED.routes, "new": "app"}),
        "move": replace(WATCHED, routes={**WATCHED.routes, "shop": "openai"}),
        "model": replace(WATCHED, providers=frozenset({"ai", "admin"})),
        "rule": replace(
            WATCHED,
            rules={
                kind: replace(rule, at_least=9) if kind in (Kind.ERROR_RATE, Kind.LATENCY, Kind.UPSTREAM) else rule
                for kind, rule in RULES.items()
            },
        ),
    }
    found = {
        subject: " ".join(word for word, after in changes.items() if goes_on(subject, WATCHED, after))
        for subject in kept
    }
    assert found == kept


def test_an_upstream_fails_by_reasons_whoever_asked_it(gateway: Gateway) -> None:
    """What its routes' answers broke off is one of them."""
    for _ in range(20):
        gateway.one.histogram(UPSTREAM_DURATION, "app").observe(0.1)
    gateway.one.inc(UPSTREAM_FAILURES, "app", "upstream_refused", by=2)
    gateway.other.inc(UPSTREAM_FAILURES, "app", "upstream_refused")
    gateway.other.inc(REQUESTS, "shop", "gold", "200", "cut", by=2)
    gateway.other.inc(REQUESTS, "admin", "gold", "200", "cut")
    gateway.other.inc(UPSTREAM_FAILURES, "gone-since", "upstream_reset", by=9)
    found = of(gateway.sampled(), Kind.UPSTREAM)
    assert found == {
        "app": Tally(20, 6, 6, {"upstream_refused": 3, "cut": 3}),
        "openai": Tally(0, 0, 0, {}),
    }


def test_isolation_is_told_here_where_no_ledgers_keeper_does(gateway: Gateway) -> None:
    gateway.one.inc(ISOLATION, "shop", by=2)
    assert of(gateway.sampled(), Kind.ISOLATION)["shop"] == Tally(2, 2, 2)
    assert not of(gateway.sampled(replace(WATCHED, ledger=True)), Kind.ISOLATION)


def test_processes_that_died_or_hung_are_counted_by_what_they_were(gateway: Gateway) -> None:
    gateway.one.inc(WORKER_RESTARTS, "died", by=3)
    gateway.one.inc(BACKGROUND_RESTARTS, "hung")
    parts = {"worker died": 3, "background process hung": 1}
    assert gateway.sampled()[Subject(Kind.WORKERS)] == Tally(4, 4, 4, parts)


def test_what_is_now(gateway: Gateway) -> None:
    """Workers that miss Redis, the ledger's lag where there is one, what is left of certificates, the policy's file."""
    gateway.one.set(BREAKER, 1)
    gateway.other.set(BREAKER, 1)
    gateway.one.set(LEDGER_LAG, 70)
    gateway.one.set(CERTIFICATE_EXPIRY, NOW_S + 3600, "upstream", "app", "app.test:443")
    gateway.one.set(CERTIFICATE_EXPIRY, math.nan, "redis", "meters", "gone.test:6379")
    gateway.one.set(RELOAD_OK, 1)
    found = gateway.sampled(replace(WATCHED, ledger=True))
    assert found[Subject(Kind.REDIS)] == 2
    assert found[Subject(Kind.LEDGER)] == 70
    assert of(found, Kind.CERTIFICATE) == {"upstream app (app.test:443)": 3600.0}
    assert found[Subject(Kind.RELOAD)] == 0
    gateway.one.set(RELOAD_OK, 0)
    assert gateway.sampled()[Subject(Kind.RELOAD)] == 1
    assert Subject(Kind.LEDGER) not in gateway.sampled()


def test_only_what_has_a_rule_is_sampled(gateway: Gateway) -> None:
    found = gateway.sampled(replace(WATCHED, rules={Kind.REDIS: RULES[Kind.REDIS]}))
    assert found == {Subject(Kind.REDIS): 0}
