"""How a decision becomes an answer, and a count."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from proxy.core.clock import SystemClock
from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import Identity, IdentityKind
from proxy.gateway.accept import accept
from proxy.gateway.admission import admit
from proxy.gateway.control import Start
from proxy.gateway.exchange import Exchange
from proxy.gateway.runtime import Runtime, Shared
from proxy.policy.model import Policy, RedisDown, Route
from proxy.store.errors import Away, StoreAway
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader
from tests.gateway.conftest import exchange_of
from tests.store.servers import BINARIES, Server, server


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with server(next(iter(BINARIES.values()))) as started:
        yield started


class Gate:
    """A runtime over a real Redis, without a socket in front."""

    def __init__(self, runtime: Runtime, reader: SheetReader) -> None:
        self.runtime = runtime
        self.reader = reader

    @property
    def route(self) -> Route:
        return self.runtime.policy.routes[-1]

    def use(self, **changes: object) -> None:
        """The last route, changed."""
        policy = self.runtime.policy
        route = replace(self.route, **changes)
        self.runtime = Runtime(replace(policy, routes=(*policy.routes[:-1], route)), self.runtime.shared)

    async def admit(self, user: str, factor: int = 1) -> tuple[Exchange, object]:
        exchange = exchange_of(b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n")
        accept(exchange)
        exchange.address = "192.0.2.1"
        identity = Identity(kind=IdentityKind.USER, tier="trial", tenant="acme", user=user, issuer="t")
        return exchange, await admit(exchange, self.runtime, self.route, identity, factor)

    def counts(self) -> dict[tuple[str, ...], float]:
        return {
            labels: value
            for (name, labels), value in self.reader.series()
            if name in ("sluicegate_limit_decisions", "sluicegate_redis_away_requests") and value
        }


@pytest.fixture
async def gate(policy: Policy, redis: Server) -> AsyncIterator[Gate]:
    files = SheetFiles.make()
    shared = Shared(Start(0, 1, redis.url, "sluicegate-x", policy), Metrics(Sheet(files)), SystemClock())
    await shared.open()
    yield Gate(Runtime(policy, shared), SheetReader(files))
    await shared.close()


async def test_a_refusal_names_its_limits_and_when_to_come_again(gate: Gate) -> None:
    gate.use(limits=gate.route.limits[:1])
    for _ in range(2):
        await gate.admit("refused")
    with pytest.raises(GatewayError) as refused:
        await gate.admit("refused")
    assert refused.value.reason is Reason.QUOTA_EXCEEDED
    assert "per-user" in refused.value.detail
    assert gate.counts() == {("per-user", "admitted"): 2, ("per-user", "refused"): 1}


async def test_only_requests_in_flight_refuse_as_concurrency(gate: Gate) -> None:
    """A client that waits for its own answer would be admitted: that is told apart from a spent quota."""
    await gate.admit("busy")
    with pytest.raises(GatewayError) as refused:
        await gate.admit("busy")
    assert refused.value.reason is Reason.CONCURRENCY_EXCEEDED


async def test_a_request_larger_than_the_quota_is_told_so(gate: Gate) -> None:
    with pytest.raises(GatewayError, match="larger than the whole quota of per-user"):
        await gate.admit("large", factor=3)


async def test_admitted_answers_carry_the_limits(gate: Gate) -> None:
    exchange, decision = await gate.admit("told")
    fields = dict(exchange.fields)
    assert fields[b"RateLimit"].startswith(b'"per-user";r=1')
    assert exchange.redis_s > 0
    gate.runtime.shared.meters.release(decision)


@pytest.mark.parametrize("mode", list(RedisDown), ids=str)
async def test_while_redis_is_away_the_route_says(gate: Gate, mode: RedisDown) -> None:
    """Closed is 503 with Retry-After, never 429; open is counted by the worker alone."""
    gate.use(redis_down=mode)
    breaker = gate.runtime.shared.meters.batcher.breaker
    breaker.failed(0, StoreAway(Away.TIMEOUT), final=True)
    assert not breaker.closed
    if mode is RedisDown.CLOSED:
        with pytest.raises(GatewayError) as refused:
            await gate.admit("away")
        assert refused.value.reason is Reason.STORE_AWAY
        assert refused.value.retry_after_ms
    else:
        _, decision = await gate.admit("away")
        gate.runtime.shared.meters.release(decision)
    assert (mode.value,) in gate.counts()
