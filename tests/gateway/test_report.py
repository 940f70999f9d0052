"""One line and one count a request; what is private is in neither."""

import json
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import Identity, IdentityKind
from proxy.gateway.accept import accept
from proxy.gateway.exchange import CacheResult, Exchange, Outcome
from proxy.gateway.report import Reporter
from proxy.policy.model import Origin, Policy
from proxy.telemetry.metrics import IN_FLIGHT, Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader
from tests.gateway.conftest import exchange_of


class Told:
    """A reporter, its lines and its counts."""

    def __init__(self) -> None:
        files = SheetFiles.make()
        self.metrics = Metrics(Sheet(files))
        self.reader = SheetReader(files)
        self.lines: list[bytes] = []
        self.reporter = Reporter(self.metrics, SimpleNamespace(write=self.lines.append))

    def end(self, exchange: Exchange, policy: Policy) -> dict:
        self.reporter.begin()
        self.reporter.end(exchange, policy, 0.0125)
        assert self.lines[-1].endswith(b"}\n")
        assert self.lines[-1].count(b"\n") == 1
        return json.loads(self.lines[-1])

    def count(self, name: str) -> dict[tuple[str, ...], float]:
        return {labels: value for (series, labels), value in self.reader.series() if series == name}


@pytest.fixture
def told() -> Told:
    return Told()


def ended(request: bytes, policy: Policy, **changes: object) -> Exchange:
    exchange = exchange_of(request)
    accept(exchange)
    exchange.request_id, exchange.address = "r1", "192.0.2.1"
    exchange.route, exchange.status, exchange.outcome = policy.routes[-1], 200, Outcome.FORWARDED
    for name, value in changes.items():
        setattr(exchange, name, value)
    return exchange


USER: dict[str, Any] = {"kind": IdentityKind.USER, "tier": "gold", "tenant": "acme", "user": "u1", "issuer": "t"}


def test_a_line_says_who_what_and_how(told: Told, policy: Policy) -> None:
    origin, other = Origin("http", "10.0.0.1", 3000), Origin("http", "10.0.0.2", 3000)
    failures = ((other, Reason.UPSTREAM_REFUSED), (origin, Reason.UPSTREAM_RESET))
    attempt = SimpleNamespace(origin=origin, retried=True, failed_connects=1, failures=failures)
    exchange = ended(b"GET /api/x HTTP/1.1\r\nHost: a.test\r\n\r\n", policy, identity=Identity(**USER), attempt=attempt,
                     redis_s=0.0005, upstream_s=0.01, bytes_out=7)  # fmt: skip
    line = told.end(exchange, policy)
    assert line.pop("ts") > 1e9
    assert line == {
        "id": "r1", "path": "/api/x", "status": 200, "ms": 12.5, "in": 0, "out": 7, "msg": "request", "method": "GET",
        "host": "a.test", "route": "app", "outcome": "forwarded", "tier": "gold", "ip": "192.0.2.1",
        "policy": policy.version, "tenant": "acme", "user": "u1", "upstream": "10.0.0.1:3000", "upstream_ms": 10.0,
        "retries": 2, "redis_ms": 0.5,
        "failed": [{"upstream": "10.0.0.2:3000", "why": "upstream_refused"},
                   {"upstream": "10.0.0.1:3000", "why": "upstream_reset"}],
    }  # fmt: skip


def test_the_line_of_a_call_says_what_it_asked_to_hold(told: Told, policy: Policy) -> None:
    """Also of one that was refused: by that it can be told why."""
    request = b"POST /v1/x HTTP/1.1\r\nHost: a\r\n\r\n"
    line = told.end(ended(request, policy, held=(1_250_000, 90), outcome=Outcome.REFUSED, status=429), policy)
    assert (line["held_usd"], line["held_tokens"]) == (0.00125, 90)
    assert "cost_usd" not in line


def test_a_line_holds_nothing_private(told: Told, policy: Policy) -> None:
    """No token, cookie, key, body or query, whatever the request brings."""
    request = (
        b"POST /api/x?token=QUERYSECRET HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer TOKENSECRET\r\n"
        b"Cookie: sb=COOKIESECRET\r\nx-api-key: KEYSECRET\r\nContent-Length: 10\r\n\r\nBODYSECRET"
    )
    told.end(ended(request, policy), policy)
    assert b"SECRET" not in b"".join(told.lines)


def test_hostile_words_stay_inside_their_strings(told: Told, policy: Policy) -> None:
    """A quote or a line end in a path, user or tenant adds no member and no line."""
    identity = Identity(**USER | {"tenant": 'a","tier":"x', "user": 'u\n{"'})
    exchange = ended(b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n", policy, identity=identity)
    exchange.path = '/"\n\\\udcff"'
    line = told.end(exchange, policy)
    assert (line["tenant"], line["user"], line["tier"]) == ('a","tier":"x', 'u\n{"', "gold")
    assert line["path"].startswith('/"\n')


def test_lines_of_different_requests_are_not_mixed_up(told: Told, policy: Policy) -> None:
    """What is kept from one line to the next belongs to the caller, the route, the outcome and the policy."""
    identity = Identity(**USER)
    get = b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n"
    first = told.end(ended(get, policy, identity=identity), policy)
    second = told.end(
        ended(get, policy, identity=identity, outcome=Outcome.REFUSED, status=429, reason=Reason.QUOTA_EXCEEDED,
              violated=("per-user",), address="192.0.2.9"), policy)  # fmt: skip
    other = told.end(ended(get.replace(b"GET", b"PUT"), policy, identity=Identity(**USER | {"user": "u2"})), policy)
    assert (first["outcome"], second["outcome"]) == ("forwarded", "refused")
    assert (second["reason"], second["limits"], second["ip"]) == ("quota_exceeded", ["per-user"], "192.0.2.9")
    assert (other["user"], other["method"]) == ("u2", "PUT")


def test_requests_are_counted_by_closed_labels(told: Told, policy: Policy) -> None:
    """An unknown path makes no series of its own; in-flight ends at zero."""
    for path in (b"/api/a", b"/api/b"):
        told.end(ended(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path, policy), policy)
    told.end(ended(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", policy, route=None, status=404), policy)
    assert told.count("sluicegate_requests") == {
        ("app", "none", "200", "forwarded"): 2.0,
        ("none", "none", "404", "forwarded"): 1.0,
    }
    assert told.count(IN_FLIGHT.name) == {(): 0.0}


def test_what_was_no_request_leaves_a_line_too(told: Told) -> None:
    """The id that the client was told is found in the log, with the address it came from."""
    told.reporter.refused("r9", "192.0.2.66", GatewayError(Reason.MALFORMED, close=True))
    line = json.loads(told.lines[-1])
    assert (line["id"], line["ip"], line["status"], line["reason"]) == ("r9", "192.0.2.66", 400, "malformed")
    assert told.count("sluicegate_requests") == {("none", "none", "400", "refused"): 1.0}
    assert told.count("sluicegate_errors") == {("client", "malformed"): 1.0}


def test_tenants_are_counted_by_name_where_the_policy_lists_them_and_together_otherwise(
    told: Told, policy: Policy
) -> None:
    """However many tenants there are, there are as many series as the policy says, and one more an outcome."""
    request = b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n"
    counting = replace(policy, counted_tenants=frozenset({"acme"}))
    for tenant in ("acme", "globex", "initech", "acme", None):
        told.end(ended(request, policy, identity=Identity(**USER | {"tenant": tenant})), counting)
    told.end(ended(request, policy), counting)
    assert told.count("sluicegate_tenant_requests") == {("acme", "forwarded"): 2, ("other", "forwarded"): 2}


def test_no_tenant_is_counted_unless_the_policy_lists_one(told: Told, policy: Policy) -> None:
    told.end(ended(b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n", policy, identity=Identity(**USER)), policy)
    assert told.count("sluicegate_tenant_requests") == {}


def test_hits_that_are_known_by_their_bytes_count_for_their_tenant_too(told: Told, policy: Policy) -> None:
    """Those that got their answer and those that did not wait for it."""
    counting = replace(policy, counted_tenants=frozenset({"acme"}))
    hit = ended(b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n", policy, identity=Identity(**USER),
                cache=CacheResult.HIT, outcome=Outcome.CACHED)  # fmt: skip
    told.end(hit, counting)
    line = told.reporter.line_of(hit, counting)
    told.reporter.recalled(line, b"r2", 7, 1_000, 0.001, 0.0)
    told.reporter.left(line, b"r3", 0.001)
    assert told.count("sluicegate_tenant_requests") == {("acme", "cached"): 2, ("acme", "client_gone"): 1}
    unnamed = told.reporter.line_of(hit, policy)
    told.reporter.recalled(unnamed, b"r4", 7, 1_000, 0.001, 0.0)
    told.reporter.left(unnamed, b"r5", 0.001)
    assert sum(told.count("sluicegate_tenant_requests").values()) == 3


def test_a_traced_request_is_the_exemplar_of_its_buckets(told: Told, policy: Policy) -> None:
    """Of what it took in all and at its upstream; one that is not traced writes nothing."""
    request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    took: dict[str, Any] = {"upstream_s": 0.011}
    took["attempt"] = SimpleNamespace(origin=None, retried=False, failed_connects=0)
    names = {"sluicegate_request_duration_seconds", "sluicegate_upstream_duration_seconds"}
    told.end(ended(request, policy, **took), policy)
    assert list(told.reader.exemplars(names)) == []
    told.end(ended(request, policy, trace=SimpleNamespace(trace_id="a" * 32), **took), policy)
    found = {name: (labels[-1], one.trace_id, one.value) for (name, labels), one in told.reader.exemplars(names)}
    assert found["sluicegate_upstream_duration_seconds"] == ("0.025", "a" * 32, 0.011)
    assert found["sluicegate_request_duration_seconds"][1] == "a" * 32
    assert all(abs(one.at_s - time.time()) < 60 for _, one in told.reader.exemplars(names))
