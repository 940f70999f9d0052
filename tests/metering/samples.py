"""Small policies, routes and callers for this room's tests."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from proxy.core.identity import Identity, IdentityKind
from proxy.policy import model
from proxy.policy.model import (
    MILLI,
    Limit,
    MeterKind,
    Period,
    Policy,
    Rate,
    RedisDown,
    RetryMode,
    Route,
    RouteMode,
    Scope,
    ScopeKind,
)
from proxy.policy.spending import Alerts, Prices

MINUTE_MS = 60_000
T0 = 1_790_000_000_000


def rate(count: int, window_ms: int = MINUTE_MS, burst: int = 0, period: Period | None = None) -> Rate:
    return Rate(count * MILLI, window_ms, burst * MILLI, period)


def limit(
    name: str,
    *rates: Rate,
    scopes: tuple[ScopeKind, ...] = (ScopeKind.USER,),
    kind: MeterKind = MeterKind.WINDOW,
    shadow: bool = False,
    tenants: Mapping[str, tuple[Rate, int | None]] = MappingProxyType({}),
    min_amount: int = MILLI,
    time_zone: str = "UTC",
    claim: tuple[str, ...] = (),
) -> Limit:
    tiers = {"pro": rates[0], "anonymous": rates[-1]}
    made = tuple(Scope(scope, claim if scope is ScopeKind.CLAIM else ()) for scope in scopes)
    return Limit(name, 0, kind, made, tiers, tenants, shadow, time_zone, min_amount)


def route(*limits: Limit, name: str = "app", weight: int = MILLI, mode: RouteMode = RouteMode.ENFORCE) -> Route:
    return Route(
        name=name,
        index=0,
        match=model.Match("/**"),
        upstream="app",
        auth=model.AuthMode.OPTIONAL,
        limits=limits,
        weight=weight,
        batch=None,
        max_body=0,
        redis_down=RedisDown.OPEN,
        retry=RetryMode.IDEMPOTENT,
        mode=mode,
        strip_prefix="",
        add_prefix="",
        timeouts=None,
        cors=None,
    )


def policy(*routes: Route, version: str = "v1", legacy: model.LegacyReset = model.LegacyReset.OFF) -> Policy:
    """Only what meters read of a policy is real; the rest stays empty."""
    sections = ("listen", "metrics", "admin", "identity", "ip", "maintenance", "caches")
    empty: dict[str, Any] = dict.fromkeys(sections)
    return Policy(
        version=version,
        redis=model.Redis("embedded", 50),
        data_dir="",
        tiers=("pro", "anonymous"),
        upstreams={},
        limits={one.name: one for each in routes for one in each.limits},
        answers=model.Answers(legacy),
        routes=routes,
        prices=Prices(),
        alerts=Alerts(),
        **empty,
    )


def user(name: str = "ann", tenant: str | None = "acme", issuer: str = "https://issuer", **claims: object) -> Identity:
    return Identity(IdentityKind.USER, "pro", tenant, issuer, name, claims=claims)


def anonymous() -> Identity:
    return Identity(IdentityKind.ANONYMOUS, "anonymous")
