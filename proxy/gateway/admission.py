"""Admits a request or refuses it: one call for all of its meters, and what the route says when Redis is away."""

from time import monotonic
from typing import Final

from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import Identity
from proxy.gateway.exchange import Exchange
from proxy.gateway.runtime import Runtime
from proxy.metering.decision import Decision
from proxy.policy.caching import WHOLE
from proxy.policy.model import MeterKind, RedisDown, Route
from proxy.store.errors import StoreAway
from proxy.telemetry.metrics import DECISIONS, STORE_AWAY

RETRY_WHEN_BACK_MS: Final = 2_000  # Redis' return is noticed within this time


async def admit(
    exchange: Exchange, runtime: Runtime, route: Route, identity: Identity, factor: int, share: int = WHOLE
) -> Decision | None:
    """Takes ``share`` thousandths of what a request with this ``factor`` weighs.

    Returns the decision, to be released when the request has ended; None on a route without limits.

    Raises: GatewayError QUOTA_EXCEEDED, CONCURRENCY_EXCEEDED; STORE_AWAY on a route that is closed while Redis is away.
    """
    if not route.limits:
        return None
    if exchange.trace is not None:
        exchange.trace.mark("admit")
    shared = runtime.shared
    now_ms = shared.clock.now_ms()
    plan = runtime.planner.plan(route, identity, exchange.address, now_ms, factor, share)
    started_s = monotonic()
    try:
        decision = await shared.meters.admit(plan)
    except StoreAway as away:
        if route.redis_down is RedisDown.CLOSED:
            shared.metrics.inc(STORE_AWAY, "closed")
            raise GatewayError(Reason.STORE_AWAY, retry_after_ms=RETRY_WHEN_BACK_MS) from away
        shared.metrics.inc(STORE_AWAY, "open")
        decision = shared.meters.admit_locally(plan)
    finally:
        exchange.redis_s = monotonic() - started_s
        if exchange.trace is not None:
            exchange.trace.mark("")
    count_decision(runtime, route, decision)
    exchange.metered = decision.fields(now_ms)
    exchange.fields += exchange.metered
    if not decision.admitted:
        raise quota_refusal(exchange, decision)
    return decision


def quota_refusal(exchange: Exchange, decision: Decision) -> GatewayError:
    """The answer to a request that its limits refused."""
    refused = decision.refused_by
    exchange.violated = tuple(limit.name for limit in refused)
    in_flight_only = all(limit.kind is MeterKind.CONCURRENCY for limit in refused)
    names = ", ".join(exchange.violated)
    if decision.retry_after_ms is None:
        return GatewayError(Reason.QUOTA_EXCEEDED, f"the request is larger than the whole quota of {names}")
    return GatewayError(Reason.CONCURRENCY_EXCEEDED if in_flight_only else Reason.QUOTA_EXCEEDED, f"over {names}")


def count_decision(runtime: Runtime, route: Route, decision: Decision) -> None:
    """Every limit is counted by what it said; one that would have admitted stays out of another's refusal."""
    metrics = runtime.shared.metrics
    counters = runtime.counters[route.index]
    if decision.admitted:
        values = metrics.values
        for slot in counters.admitted:
            values[slot] += 1
    else:
        word = "remembered" if decision.remembered else "refused"
        for limit in decision.refused_by:
            metrics.inc(DECISIONS, limit.name, word)
    if counters.shadowed:
        for limit in decision.shadow_refused_by:
            metrics.inc(DECISIONS, limit.name, "shadow_refused")
