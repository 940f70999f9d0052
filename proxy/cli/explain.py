"""`sluicegate explain`: what would happen to a request, without sending it: identity, route, meters, budgets, upstream;
or, with `--effective`, what the whole policy is, of all its files and the schema's defaults.

A token is verified as a request's would be (its issuer's keys may be fetched); claims given as JSON are believed.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.cli.effectivelines import origin_of, yaml_text
from proxy.core.clock import SystemClock
from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import Identity
from proxy.foresight.callers import claimed
from proxy.gateway.batch import trpc_calls
from proxy.identity.attempts import AttemptMeter
from proxy.identity.authenticator import Authenticator
from proxy.identity.jwks import KeySets
from proxy.metering.budgets import make_call_plan
from proxy.metering.plan import make_plan
from proxy.policy.compiler import Loaded, load
from proxy.policy.effective import effective, leaves, plain
from proxy.policy.matching import Router
from proxy.policy.model import MILLI, AuthMode, BatchKind, MeterKind, Policy, Rate, Route
from proxy.policy.moneywords import dollars
from proxy.policy.problems import PolicyError, shown
from proxy.policy.spending import Budget, Spending
from proxy.policy.target import matched_path, rewritten_target


def main(args: argparse.Namespace) -> int:
    try:
        loaded = load(args.config, os.environ, overlays=args.overlay, allow_missing_secrets=args.allow_missing_secrets)
    except PolicyError as exc:
        print(exc, file=sys.stderr)
        return 1
    try:
        if args.origin and not args.effective:
            raise ValueError("--origin goes with --effective")
        headers = CIMultiDictProxy(CIMultiDict(_headers(args)))
        claims = _claims(args.claims)
    except ValueError as exc:
        print(f"sluicegate: {exc}", file=sys.stderr)
        return 2
    if args.effective:
        print(_effective(loaded, as_json=args.json, origins=args.origin), end="")
        return 0
    try:
        told = explain(loaded.policy, args, headers, claims)
    except GatewayError as error:
        told = {"refused": {"status": error.status, "reason": error.reason.value, "detail": error.detail}}
    print(json.dumps(told, indent=2) if args.json else _text(told))
    return 0


def _effective(loaded: Loaded, *, as_json: bool, origins: bool) -> str:
    document = loaded.document
    files = document.files or (document.file,)
    tree = effective(document)
    masked = [shown(path) for path, leaf in leaves(tree) if leaf.masked]
    if not as_json:
        head = f"# policy {loaded.policy.version}: {', '.join(files)}\n"
        if masked:
            head += f"# masked, for they stand in the files: {', '.join(masked)}\n"
        return head + yaml_text(tree, origins=origins)
    told: dict[str, Any] = {
        "policy": loaded.policy.version,
        "files": files,
        "masked": masked,
        "effective": plain(tree),
    }
    if origins:
        told["origins"] = {shown(path): origin_of(leaf) for path, leaf in leaves(tree)}
    return json.dumps(told, indent=2, default=str) + "\n"


def _claims(text: str | None) -> dict[str, Any] | None:
    """Raises: ValueError."""
    if text is None:
        return None
    try:
        claims = json.loads(text)
    except ValueError as error:
        raise ValueError(f"--claims is not JSON: {error}") from error
    if not isinstance(claims, dict):
        raise ValueError("--claims must be a JSON object")
    return claims


def _headers(args: argparse.Namespace) -> list[tuple[str, str]]:
    """Raises: ValueError."""
    fields = [("Host", args.host)]
    for line in args.header:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"--header {line!r}: write 'NAME: VALUE'")
        fields.append((name.strip(), value.strip()))
    if args.token:
        token = sys.stdin.readline().strip() if args.token == "-" else args.token  # noqa: S105 - standard input
        fields.append(("Authorization", f"Bearer {token}"))
    return fields


def explain(
    policy: Policy, args: argparse.Namespace, headers: CIMultiDictProxy[str], claims: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Raises: GatewayError: what the request would be refused with before its meters are asked."""
    path, _, query = args.path.partition("?")
    matched = matched_path(path, policy.listen.double_slash, policy.listen.encoded_slash)
    method = args.method.upper()
    router = Router(policy.routes)
    route = router.match(method, args.host, matched, query, headers)
    if route is None:
        allowed = router.methods_for(args.host, matched, query, headers)
        raise GatewayError(Reason.METHOD_REFUSED if allowed else Reason.NO_ROUTE, ", ".join(allowed))
    if claims is not None and route.auth is not AuthMode.NONE:
        identity = claimed(policy, headers.get(policy.identity.tenant_header) or None, claims)
    else:
        identity = asyncio.run(_identified(policy, route, headers, args.address))
    factor = trpc_calls(path) if route.batch is BatchKind.TRPC else 1  # GraphQL's is in a body
    now_ms = time.time_ns() // 1_000_000
    plan = make_plan(policy, route, identity, args.address, factor, now_ms)
    upstream = policy.upstreams[route.upstream]
    target = rewritten_target(args.path, route.strip_prefix, route.add_prefix)
    return {
        "policy": policy.version,
        "identity": {
            "kind": identity.kind.value,
            "tenant": identity.tenant,
            "user": identity.user,
            "issuer": identity.issuer or None,
            "tier": identity.tier,
            "key": identity.credential or None,
            "feature": identity.feature,
            "cost_centre": identity.cost_centre,
        },
        "route": {
            "name": route.name,
            "auth": route.auth.value,
            "mode": route.mode.value,
            "max_body": route.max_body,
            "redis_down": route.redis_down.value,
        },
        "meters": [
            {
                "limit": limit.name,
                "kind": limit.kind.name.lower(),
                "rate": _rate(limit.kind, rate),
                "takes": take.amount / MILLI,
                "shadow": take.shadow,
                "key": take.key.decode(),
            }
            for limit, rate, take in zip(plan.limits, plan.rates, plan.takes, strict=True)
        ],
        **(_money(route, route.spending, identity, args, now_ms) if route.spending is not None else {}),
        "upstream": {
            "name": upstream.name,
            "url": [f"{origin.scheme}://{origin.authority}{origin.base_path}{target}" for origin in upstream.primary],
        },
    }


async def _identified(policy: Policy, route: Route, headers: CIMultiDictProxy[str], address: str) -> Identity:
    clock = SystemClock()
    keysets = KeySets(clock)
    try:
        attempts = AttemptMeter(policy.identity.attempts_per_minute)
        authenticator = Authenticator(policy.identity, clock, keysets, tiers=policy.tiers, attempts=attempts)
        identity = await authenticator.identify(headers, address, route.auth)
        if identity.credential and not authenticator.key_may_use(identity, route.name):
            raise GatewayError(Reason.KEY_ROUTE_REFUSED)
        return identity
    finally:
        await keysets.close()


def _money(
    route: Route, spending: Spending, identity: Identity, args: argparse.Namespace, now_ms: int
) -> dict[str, Any]:
    """What a call to the route's provider holds from; grants are not looked at."""
    plan = make_call_plan(route, identity, args.address, args.model, now_ms, {})
    return {
        "calls": {
            "dialect": spending.dialect,
            "max_output_tokens": spending.max_output_tokens,
            "most_output_tokens": spending.most_output_tokens,
            "hold": "an upper bound" if spending.learnt is None else f"learnt, quantile {spending.learnt:g}",
            "unbounded": "refused" if spending.unbounded_nanousd is None else dollars(spending.unbounded_nanousd),
            "on_disconnect": spending.on_disconnect.value,
        },
        "budgets": [
            {
                "budget": held.budget.name,
                "scope": held.scope,
                "amount": f"{dollars(held.amount)} a {held.budget.period.value}",
                "usable": dollars(held.meter.capacity),
                "on_exceed": _on_exceed(held.budget),
                "shadow": held.meter.shadow,
                "key": held.meter.key.decode(),
            }
            for held in plan.held
        ],
        "tokens": [
            {
                "limit": held.limit.name,
                "scope": held.scope,
                "rate": f"{held.meter.capacity} in {held.meter.a / 1000:g} s",
                "shadow": held.meter.shadow,
                "key": held.meter.key.decode(),
            }
            for held in plan.tokens
        ],
    }


def _on_exceed(budget: Budget) -> str:
    return budget.on_exceed.value if budget.downgrade_to is None else f"downgrade to {budget.downgrade_to}"


def _rate(kind: MeterKind, rate: Rate) -> str:
    capacity = f"{rate.capacity / MILLI:g}"
    if kind is MeterKind.CONCURRENCY:
        return f"{capacity} at once"
    if rate.period is not None:
        return f"{capacity} a {rate.period.value}"
    burst = f", {rate.burst / MILLI:g} at once" if kind is MeterKind.SMOOTH else ""
    return f"{capacity} in {rate.window_ms / 1000:g} s{burst}"


def _text(told: dict[str, Any]) -> str:
    lines = []
    for section, value in told.items():
        if isinstance(value, list):
            lines.append(f"{section}:" + (" none" if not value else ""))
            lines += ["  - " + ", ".join(f"{key} {shown}" for key, shown in item.items()) for item in value]
        elif isinstance(value, dict):
            known = {key: shown for key, shown in value.items() if shown not in (None, "")}
            lines.append(f"{section}: " + ", ".join(f"{key} {shown}" for key, shown in known.items()))
        else:
            lines.append(f"{section}: {value}")
    return "\n".join(lines)
