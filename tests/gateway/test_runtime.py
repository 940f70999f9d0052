"""What a policy decides of a request before and after its identity is known, and what a worker says of its store."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from types import SimpleNamespace

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.core.clock import SystemClock
from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import Identity, IdentityKind
from proxy.gateway.accept import accept
from proxy.gateway.control import Start
from proxy.gateway.exchange import Exchange
from proxy.gateway.runtime import Runtime, Shared
from proxy.policy.caching import CacheScope
from proxy.policy.model import IpRules, Maintenance, Policy
from proxy.store.errors import Away, StoreAway
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles
from proxy.upstream.head import Block
from tests.gateway.conftest import exchange_of

NAME = "sluicegate-1a2b"


@pytest.fixture
async def shared(policy: Policy) -> AsyncIterator[Shared]:
    start = Start(index=0, workers=1, redis_url="unix:///nowhere", pseudonym=NAME, policy=policy)
    made = Shared(start, Metrics(Sheet(SheetFiles.make())), SystemClock())
    yield made
    made.upstreams.close()
    await made.keysets.close()


def arrived(head: str, peer: str = "127.0.0.1") -> Exchange:
    exchange = exchange_of(f"GET {head}\r\n\r\n".encode())
    exchange.connection.peer = peer
    accept(exchange)
    exchange.request_id = "r1"
    return exchange


def refusal(call: object) -> GatewayError:
    with pytest.raises(GatewayError) as refused:
        call()  # type: ignore[operator]
    return refused.value


def fields_of(block: Block) -> dict[bytes, bytes]:
    lines = block[0].split(b"\r\n")[1:]
    assert len(lines) == block[1]
    return dict(line.split(b": ", 1) for line in lines)


@pytest.mark.parametrize(
    ("peer", "allow", "reason"),
    [
        ("203.0.113.9", (), Reason.IP_DENIED),
        ("192.0.2.1", (), None),
        ("192.0.2.1", ("198.51.100.0/24",), Reason.IP_DENIED),
        ("198.51.100.7", ("198.51.100.0/24",), None),
        ("203.0.113.9", ("203.0.113.0/24",), Reason.IP_DENIED),
    ],
)
async def test_denied_addresses(
    shared: Shared, policy: Policy, peer: str, allow: tuple[str, ...], reason: Reason | None
) -> None:
    """Deny wins over allow; an empty allow allows all."""
    rules = IpRules(policy.ip.deny, tuple(ip_network(one) for one in allow))
    runtime = Runtime(replace(policy, ip=rules), shared)
    exchange = arrived("/ HTTP/1.1\r\nHost: a", peer)
    if reason is None:
        runtime.locate(exchange)
        assert exchange.address == peer
    else:
        assert refusal(lambda: runtime.locate(exchange)).reason is reason


async def test_a_request_that_was_here_before_is_a_loop(shared: Shared, policy: Policy) -> None:
    runtime = Runtime(policy, shared)
    looped = arrived(f"/ HTTP/1.1\r\nHost: a\r\nVia: 1.1 other, 1.1 {NAME}")
    assert refusal(lambda: runtime.locate(looped)).reason is Reason.LOOP
    runtime.locate(arrived("/ HTTP/1.1\r\nHost: a\r\nVia: 1.1 sluicegate-other"))


async def test_no_route_and_no_method_are_told_apart(shared: Shared, policy: Policy) -> None:
    """405 comes with what would be allowed (RFC 9110 §15.5.6)."""
    runtime = Runtime(policy, shared)
    assert refusal(lambda: runtime.match(arrived("/nowhere HTTP/1.1\r\nHost: a"), "GET")).reason is Reason.NO_ROUTE
    refused = refusal(lambda: runtime.match(arrived("/only-get HTTP/1.1\r\nHost: a"), "POST"))
    assert refused.reason is Reason.METHOD_REFUSED
    assert refused.headers == ((b"Allow", b"GET, HEAD"),)


async def test_maintenance_lets_the_named_through(shared: Shared, policy: Policy) -> None:
    maintenance = Maintenance(60_000, (ip_network("192.0.2.0/24"),))
    runtime = Runtime(replace(policy, maintenance=maintenance), shared)
    refused = refusal(lambda: runtime.check_maintenance(SimpleNamespace(address="198.51.100.1")))
    assert (refused.reason, refused.retry_after_ms) == (Reason.MAINTENANCE, 60_000)
    runtime.check_maintenance(SimpleNamespace(address="192.0.2.7"))


async def test_the_upstream_is_told_who_and_from_where(shared: Shared, policy: Policy) -> None:
    """What a client wrote into forwarding fields is not passed on as ours, unless a trusted proxy says it."""
    trusting = replace(policy, listen=replace(policy.listen, trusted_proxies=(ip_network("10.0.0.0/8"),)))
    runtime = Runtime(trusting, shared)
    identity = Identity(kind=IdentityKind.USER, tier="gold", tenant="acme", user="u1", issuer="t")
    head = "/ HTTP/1.1\r\nHost: inner\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.5\r\nX-Forwarded-Proto: https\r\nVia: 1.1 lb"
    behind = arrived(head, peer="10.0.0.1")
    runtime.locate(behind)
    assert behind.address == "192.0.2.5"
    told = fields_of(runtime.told(behind, identity))
    assert told[b"X-Forwarded-For"] == b"192.0.2.5, 10.0.0.1"
    assert told[b"X-Forwarded-Proto"] == b"https"
    assert told[b"Via"] == f"1.1 lb, 1.1 {NAME}".encode()
    assert (told[b"X-Tenant-ID"], told[b"X-User-ID"], told[b"X-Tier"]) == (b"acme", b"u1", b"gold")
    direct = arrived(head, peer="192.0.2.77")
    runtime.locate(direct)
    assert fields_of(runtime.told(direct, identity))[b"X-Forwarded-For"] == b"192.0.2.77"


async def test_a_gateway_key_is_hidden_from_the_upstream(shared: Shared, policy: Policy) -> None:
    runtime = Runtime(policy, shared)
    exchange = arrived("/ HTTP/1.1\r\nHost: a\r\nx-api-key: sk-slg-test\r\nAuthorization: Bearer apps-own")
    assert runtime.hidden_fields(exchange) == (b"x-api-key",)


async def test_a_key_is_held_to_its_routes(shared: Shared, policy: Policy) -> None:
    key = replace(policy.identity.keys[0], routes=("get",))
    runtime = Runtime(replace(policy, identity=replace(policy.identity, keys=(key,))), shared)
    by_name = {route.name: route for route in policy.routes}
    exchange = arrived("/api/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk-slg-test")
    assert isinstance(exchange.headers, CIMultiDictProxy | CIMultiDict)
    assert (await runtime.identify(exchange, by_name["get"])).tenant == "acme"
    with pytest.raises(GatewayError) as refused:
        await runtime.identify(exchange, by_name["app"])
    assert refused.value.reason is Reason.KEY_ROUTE_REFUSED


async def test_what_is_told_is_kept_for_each_way_a_request_can_come(shared: Shared, policy: Policy) -> None:
    """The same caller from the same place gets the same block; from elsewhere, or through a proxy, another."""
    runtime = Runtime(policy, shared)
    identity = Identity(kind=IdentityKind.USER, tier="gold", tenant="acme", user="u1", issuer="t")

    def told(head: str, peer: str = "192.0.2.1") -> dict[bytes, bytes]:
        exchange = arrived(head, peer)
        runtime.locate(exchange)
        return fields_of(runtime.told(exchange, identity))

    plain = told("/ HTTP/1.1\r\nHost: a")
    assert told("/other HTTP/1.1\r\nHost: a") == plain
    assert told("/ HTTP/1.1\r\nHost: a", "192.0.2.2")[b"X-Forwarded-For"] == b"192.0.2.2"
    assert told("/ HTTP/1.1\r\nHost: b")[b"X-Forwarded-Host"] == b"b"
    assert told("/ HTTP/1.1\r\nHost: a\r\nVia: 1.1 lb")[b"Via"] == f"1.1 lb, 1.1 {NAME}".encode()
    assert told("/ HTTP/1.1\r\nHost: a") == plain


async def test_a_store_that_is_away_is_logged_with_its_reason(shared: Shared, caplog: pytest.LogCaptureFixture) -> None:
    """What to mend: a full Redis, refused credentials and a dead one look the same to clients."""
    caplog.set_level(logging.INFO, "sluicegate.worker")
    changed = shared.meters.batcher.breaker.on_change
    assert changed is not None
    changed(StoreAway(Away.REFUSED, "standalone at r:6379: OOM command not allowed"))
    changed(None)
    away, back = caplog.records
    assert away.fields == {"reason": "refused", "detail": "standalone at r:6379: OOM command not allowed"}  # type: ignore[attr-defined]
    assert (away.levelname, back.levelname, back.getMessage()) == ("ERROR", "INFO", "Redis is back")


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        (CacheScope.PUBLIC, {b"x-company-id", b"x-tenant-id", b"x-user-id", b"x-tier"}),
        (CacheScope.TENANT, {b"x-user-id", b"x-tier"}),
        (CacheScope.USER, {b"x-tier"}),
    ],
)
async def test_what_sharers_of_an_answer_are_told_apart_by(
    shared: Shared, policy: Policy, scope: CacheScope, told: set[bytes]
) -> None:
    """Of the fields that the upstream gets from us, those that a shared answer must not vary by."""
    runtime = Runtime(replace(policy, identity=replace(policy.identity, tenant_header="x-company-id")), shared)
    names = {b"x-company-id", b"x-tenant-id", b"x-user-id", b"x-tier"}
    assert names & runtime.untold(scope) == told
    assert {b"x-forwarded-for", b"via", b"x-request-id"} <= runtime.untold(scope)
    assert {b"x-forwarded-host", b"x-forwarded-proto", b"accept"}.isdisjoint(runtime.untold(scope))
