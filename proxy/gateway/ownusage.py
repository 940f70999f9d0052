"""``GET /_gateway/usage``: what a caller has used of its budgets, what is held, left, and when each begins anew.

Paths under ``/_gateway/`` are the gateway's own: no route is asked, and nothing of them goes upstream. The caller is
known as on a route that requires it. It is told of every budget of the routes that it may use, but of those by model:
there may be any number of models. All counters are read at once.
"""

from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

import orjson
from multidict import CIMultiDictProxy

from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import Identity
from proxy.core.units import dollars
from proxy.gateway.admission import RETRY_WHEN_BACK_MS
from proxy.gateway.exchange import Exchange
from proxy.gateway.runtime import Runtime
from proxy.metering.budgets import HeldBudget
from proxy.metering.inspection import read_counter
from proxy.policy.model import AuthMode, ScopeKind
from proxy.store.errors import StoreAway

OWN_PREFIX: Final = "/_gateway/"
OWN_FIELDS: Final = [(b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store")]

USAGE: Final = OWN_PREFIX + "usage"
USAGE_METHODS: Final = ("GET", "HEAD")
_ANY_MODEL: Final = ""


async def own_answer(exchange: Exchange, runtime: Runtime) -> bytes:
    """The answer's body. Raises: GatewayError: NO_ROUTE for any other path of ours; whatever identifying raises."""
    if exchange.path != USAGE:
        raise GatewayError(Reason.NO_ROUTE)
    if exchange.method not in USAGE_METHODS:
        raise GatewayError(Reason.METHOD_REFUSED, headers=((b"Allow", ", ".join(USAGE_METHODS).encode()),))
    runtime.check_maintenance(exchange)
    headers: CIMultiDictProxy[str] = exchange.headers  # type: ignore[assignment]
    authenticator = runtime.authenticator
    identity = authenticator.cached(headers, exchange.address, AuthMode.REQUIRED)
    if identity is None:
        identity = await authenticator.identify(headers, exchange.address, AuthMode.REQUIRED)
    exchange.identity = identity
    now_ms = runtime.shared.clock.now_ms()
    held = budgets(runtime, identity, exchange.address, now_ms)
    counters = await _read(exchange, runtime, [one.meter.counter(now_ms) for one in held])
    told = [_told(one, *read_counter(value), now_ms) for one, value in zip(held, counters, strict=True)]
    return orjson.dumps({"tier": identity.tier, "tenant": identity.tenant, "user": identity.user, "budgets": told})


def budgets(runtime: Runtime, identity: Identity, address: str, now_ms: int) -> list[HeldBudget]:
    """Each that a call of this caller's may be held from, once, however many routes share it."""
    found: dict[bytes, HeldBudget] = {}
    for route in runtime.policy.routes:
        if route.spending is None or not _may_use(runtime, identity, route.name, route.auth):
            continue
        for one in runtime.call_planner.plan(route, identity, address, _ANY_MODEL, now_ms).held:
            if all(scope.kind is not ScopeKind.MODEL for scope in one.budget.scopes):
                found.setdefault(one.meter.counter(now_ms), one)
    return list(found.values())


def _may_use(runtime: Runtime, identity: Identity, route: str, auth: AuthMode) -> bool:
    """Where nobody is asked who they are, calls are the anonymous caller's."""
    if auth is AuthMode.NONE:
        return False
    return not identity.credential or runtime.authenticator.key_may_use(identity, route)


async def _read(exchange: Exchange, runtime: Runtime, keys: list[bytes]) -> list[bytes | None]:
    if not keys:
        return []
    started_s = monotonic()
    try:
        values: list[bytes | None] = await runtime.shared.store.command(b"MGET", *keys)
    except StoreAway as away:
        raise GatewayError(Reason.STORE_AWAY, retry_after_ms=RETRY_WHEN_BACK_MS) from away
    finally:
        exchange.redis_s = monotonic() - started_s
    return values


def _told(one: HeldBudget, settled: int, reserved: int, now_ms: int) -> dict[str, Any]:
    """``limit_usd``: what this caller's tier may use of it."""
    meter = one.meter
    resets = datetime.fromtimestamp(meter.ends_ms(now_ms) / 1000, UTC)
    return {
        "budget": one.budget.name,
        "period": one.budget.period.value,
        "scope": one.scope,
        "limit_usd": dollars(meter.capacity),
        "used_usd": dollars(settled),
        "held_usd": dollars(reserved),
        "left_usd": dollars(max(0, meter.capacity - settled - reserved)),
        "resets_at": resets.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
