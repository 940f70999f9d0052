"""Whoever hears of a request hears whose it was and which way it went, and no value that came with it."""

from pathlib import Path

import pytest

from proxy.core.identity import Identity, IdentityKind
from proxy.gateway.about import about, name, proven, request, tags, whose
from proxy.gateway.exchange import Exchange, Outcome
from proxy.policy.model import Policy
from proxy.telemetry.private import FILTERED
from proxy.tracing.trace import Trace
from tests.gateway.conftest import exchange_of
from tests.sentry.test_witness import policy_of


@pytest.fixture
def by(tmp_path: Path) -> Policy:
    return policy_of(tmp_path)


def ended(by: Policy, **changes: object) -> Exchange:
    exchange = exchange_of(b"GET /a?token=hunter2 HTTP/1.1\r\nHost: h\r\n\r\n")
    exchange.request_id, exchange.query, exchange.route = "r1", "token=hunter2", by.routes[0]
    exchange.identity = Identity(IdentityKind.USER, "gold", tenant="acme", user="u1")
    exchange.status, exchange.outcome = 200, Outcome.FORWARDED
    for key, value in changes.items():
        setattr(exchange, key, value)
    return exchange


def test_a_request_is_told_of_by_names(by: Policy) -> None:
    exchange = ended(by)
    found = {"request_id": "r1", "route": "app", "policy": by.version, "tier": "gold", "tenant": "acme"}
    assert whose(exchange, by) == found
    assert tags(exchange, by) == found | {"process": "worker"}
    assert request(exchange) == {"method": "GET", "url": "/**", "query_string": "token=[Filtered]"}
    assert name(exchange) == "GET app"


def test_what_is_not_known_is_not_told(by: Policy) -> None:
    exchange = ended(by, route=None, identity=None, query="")
    assert whose(exchange, by) == {"request_id": "r1", "route": "none", "policy": by.version}
    assert request(exchange) == {"method": "GET", "url": ""}
    assert name(exchange) == "GET none"
    anonymous = ended(by, identity=Identity(IdentityKind.ANONYMOUS, "anonymous"))
    assert "tenant" not in whose(anonymous, by)


def test_a_tenant_with_the_form_of_something_private_is_told_to_nobody(by: Policy) -> None:
    """Events, transactions, spans and browsers' events have their tenant from here."""
    private = Identity(IdentityKind.USER, "gold", tenant="ann@private.example")
    assert proven(private) == {"tier": "gold", "tenant": FILTERED}
    assert whose(ended(by, identity=private), by)["tenant"] == FILTERED
    assert tags(ended(by, identity=private), by)["tenant"] == FILTERED
    assert about(ended(by, identity=private), by).tags["tenant"] == FILTERED


def test_an_event_knows_its_trace(by: Policy) -> None:
    told = about(ended(by, trace=Trace("a" * 32, "", "b" * 16, "c" * 16)), by)
    assert told.trace == {"trace_id": "a" * 32, "span_id": "b" * 16, "op": "http.server"}
    assert about(ended(by), by).trace == {}
