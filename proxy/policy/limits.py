"""From the limits as written to compiled ones: every tier covered, every number exact. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from proxy.policy import schema
from proxy.policy.findings import Findings
from proxy.policy.model import MILLI, Limit, MeterKind, Rate, Scope, ScopeKind
from proxy.policy.problems import KeyPath, meant
from proxy.policy.schema import LimitKind, Unit
from proxy.policy.words import MAX_EXACT, WrittenRate

T = TypeVar("T")

DEFAULT: Final = "default"
OF_CALLS: Final = (ScopeKind.MODEL, ScopeKind.FEATURE)  # what only a call to a provider has

_KINDS: Final = {
    LimitKind.WINDOW: MeterKind.WINDOW,
    LimitKind.SMOOTH: MeterKind.SMOOTH,
    LimitKind.CALENDAR: MeterKind.CALENDAR,
}


def compile_limits(config: schema.Config, amounts: Mapping[str, int], findings: Findings) -> dict[str, Limit]:
    """The sound ones by name. ``amounts`` has the least that a route takes of each, thousandths of a request."""
    out: dict[str, Limit] = {}
    for index, (name, written) in enumerate(config.limits.items()):
        path: KeyPath = ("limits", name)
        findings.check_name(path, name)
        tokens = written.unit is Unit.TOKENS
        check_scopes((*path, "scope"), written.scope, findings)
        for scope in written.scope:
            if scope.kind in OF_CALLS and not tokens:
                message = f"a request has no {scope.kind} to be counted by; it is for budgets and for unit: tokens"
                findings.error((*path, "scope"), message, (*path, "unit"))
        kind = _kind(path, written, findings)
        if kind is None:
            continue
        key = "concurrent" if kind is MeterKind.CONCURRENCY else "rate"
        by_tier = written.concurrent if kind is MeterKind.CONCURRENCY else written.rate
        assert by_tier is not None
        # A request in flight is one, whatever it weighs, and a token is one.
        least = MILLI if kind is MeterKind.CONCURRENCY or tokens else amounts.get(name, MILLI)
        out[name] = Limit(
            name=name,
            index=index,
            kind=kind,
            scopes=tuple(written.scope),
            rates=_rates((*path, key), by_tier, kind, written, config.tiers, findings),
            tenants=_exceptions(name, kind, written, config, findings),
            shadow=written.shadow,
            time_zone=written.time_zone or "UTC",
            min_amount=least,
            tokens=tokens,
        )
    for tenant, exception in config.tenants.items():
        for name in exception.limits:
            findings.check_reference(("tenants", tenant, "limits", name), "limit", name, "limits")
    return out


def _kind(path: KeyPath, written: schema.Limit, findings: Findings) -> MeterKind | None:
    if (written.rate is None) == (written.concurrent is None):
        both = (
            "has both a rate and concurrent; make two limits of it" if written.rate else "needs a rate, or concurrent"
        )
        findings.error(path, both, (*path, "rate"), (*path, "concurrent"))
        return None
    kind = _KINDS[written.kind or LimitKind.WINDOW] if written.concurrent is None else MeterKind.CONCURRENCY
    only = {"burst": MeterKind.SMOOTH, "time_zone": MeterKind.CALENDAR}
    for key, owner in only.items():
        if getattr(written, key) is not None and kind is not owner:
            findings.error((*path, key), f"is for kind: {owner.name.lower()}", (*path, "kind"))
    if kind is MeterKind.CONCURRENCY and written.kind is not None:
        findings.error((*path, "kind"), "is for rates; concurrent has none")
    if written.unit is Unit.TOKENS and kind is not MeterKind.WINDOW:
        key = "concurrent" if kind is MeterKind.CONCURRENCY else "kind"
        message = "tokens are counted in a trailing window: a rate such as 200_000/1m"
        findings.error((*path, key), message, (*path, "unit"))
    return kind


def _rate(
    path: KeyPath, rate: WrittenRate, name: str, kind: MeterKind, written: schema.Limit, findings: Findings
) -> Rate:
    kind_at: KeyPath = ("limits", name, "kind")
    if kind is MeterKind.CONCURRENCY:
        if rate.window_ms or rate.period:
            findings.error(path, "the limit counts what is in flight: a whole number, not a rate", kind_at)
    elif not rate.window_ms and not rate.period:
        findings.error(path, "is not a rate; write a number, '/', and a window: 600/1m", kind_at)
    elif kind is MeterKind.CALENDAR and not rate.period:
        findings.error(path, "kind: calendar counts by hour, day, week or month, such as 100_000/day", kind_at)
    elif kind is not MeterKind.CALENDAR and rate.period:
        findings.error(path, f"'{rate.period}' is for kind: calendar; a window is written as 1h or 1d", kind_at)
    burst = (written.burst or 1) * MILLI if kind is MeterKind.SMOOTH else 0
    return Rate(rate.count * MILLI, rate.window_ms, burst, rate.period)


def _rates(
    path: KeyPath,
    by_tier: Mapping[str, WrittenRate],
    kind: MeterKind,
    written: schema.Limit,
    tiers: list[str],
    findings: Findings,
) -> dict[str, Rate]:
    compiled = {
        tier: _rate((*path, tier), rate, str(path[1]), kind, written, findings) for tier, rate in by_tier.items()
    }
    return every_tier(path, compiled, tiers, findings)


def every_tier(path: KeyPath, by_tier: Mapping[str, T], tiers: list[str], findings: Findings) -> dict[str, T]:
    """What stands for each tier, by its name or by ``default``; nothing at all where one is left out."""
    for tier in by_tier:
        if tier not in tiers and tier != DEFAULT:
            findings.error((*path, tier), f"unknown tier {tier!r}{meant(tier, [*tiers, DEFAULT])}", ("tiers",))
    uncovered = [tier for tier in tiers if tier not in by_tier]
    if uncovered and DEFAULT not in by_tier:
        missing = ", ".join(map(repr, uncovered))
        findings.error(
            path,
            f"has nothing for the tier{'s' if len(uncovered) > 1 else ''} {missing}; add it or 'default'",
            ("tiers",),
        )
        return {}
    return {tier: by_tier[tier] if tier in by_tier else by_tier[DEFAULT] for tier in tiers}


def check_scopes(path: KeyPath, scopes: Sequence[Scope], findings: Findings) -> None:
    """Notes scopes that are none, or doubled; ``path`` is theirs."""
    if not scopes:
        findings.error(path, "names no scope: all callers together would share one count")
    if len(set(scopes)) != len(scopes):
        findings.error(path, "names a scope twice", path)


def _exceptions(
    name: str, kind: MeterKind, written: schema.Limit, config: schema.Config, findings: Findings
) -> dict[str, tuple[Rate, int | None]]:
    out = {}
    for tenant, exception in config.tenants.items():
        if name in exception.limits:
            path: KeyPath = ("tenants", tenant, "limits", name)
            out[tenant] = (_rate(path, exception.limits[name], name, kind, written, findings), exception.expires)
    return out


def at_once(rate: Rate, kind: MeterKind) -> int:
    """The most that one request can take of it, thousandths."""
    return rate.burst if kind is MeterKind.SMOOTH else rate.capacity


def fits_exactly(rate: Rate, largest: int) -> bool:
    """Whether the count stays a whole number in a double, with the largest amount on top."""
    return max(rate.capacity, rate.burst) + largest <= MAX_EXACT
