"""What is different between two policies, in plain words: which callers, on which routes, and how. Pure.

Compiled policies are compared, so that what is only written in another way is no difference. Secrets are not shown.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from proxy.foresight.valuediff import NOTHING, differing, left_out_of
from proxy.foresight.wording import burst_rate_text, moment_text
from proxy.policy.coverage import hidden
from proxy.policy.document import Document
from proxy.policy.model import MILLI, AuthMode, Limit, Match, Policy, Route, Scope
from proxy.policy.moneywords import dollars
from proxy.policy.problems import shown
from proxy.policy.spending import Budget, Spending

ALL_TIERS: Final = "all tiers"


@dataclass(frozen=True, slots=True)
class Change:
    """``subject``: ``limit per-user``; ``was`` and ``now``: words, or ``NOTHING``; ``callers``: whom it concerns, ""
    for all; ``routes``: where, empty for all."""

    subject: str
    what: str
    was: str
    now: str
    callers: str = ""
    routes: tuple[str, ...] = ()

    def __str__(self) -> str:
        whom = f" ({self.callers})" if self.callers else ""
        if self.was == NOTHING:
            how = f"{self.now} is new"
        elif self.now == NOTHING:
            how = f"{self.was} is gone"
        else:
            how = f"{self.was} → {self.now}"
        return f"{self.what}{whom}: {how}"


def changes(old: Policy, new: Policy) -> list[Change]:
    """All of them, those that concern callers first."""
    found = [*_tiers(old, new), *_limits(old, new), *_budgets(old, new), *_routes(old, new)]
    for field in dataclasses.fields(Policy):
        if field.name not in ("version", "tiers", "limits", "budgets", "routes"):
            was, now = getattr(old, field.name), getattr(new, field.name)
            found += [
                Change(field.name, what or field.name, before, after)
                for what, before, after in differing(was, now, shown=field.repr)
            ]
    return found


def variables(old: Document, new: Document) -> list[Change]:
    """Values that cannot be compared, for each is of variables that are not set, and they are others now."""
    return [
        Change("variables that are not set", shown(path), old.written[path], new.written[path])
        for path in old.written
        if path in old.unknown and path in new.unknown and old.written[path] != new.written.get(path)
    ]


# --- tiers -------------------------------------------------------------------------------------------------------


def _tiers(old: Policy, new: Policy) -> Iterator[Change]:
    for tier in old.tiers:
        if tier not in new.tiers:
            yield Change("tiers", "tier", tier, NOTHING, f"they are {new.identity.unknown_tier} now")
    for tier in new.tiers:
        if tier not in old.tiers:
            yield Change("tiers", "tier", NOTHING, tier)
    both_old = [tier for tier in old.tiers if tier in new.tiers]
    both_new = [tier for tier in new.tiers if tier in old.tiers]
    if both_old != both_new:
        yield Change("tiers", "order", ", ".join(both_old), ", ".join(both_new))


def _by_tier(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """(was, now, tiers), tiers with the same change together."""
    groups: dict[tuple[str, str], list[str]] = {}
    common = [tier for tier in new if tier in old]
    for tier in common:
        if old[tier] != new[tier]:
            groups.setdefault((old[tier], new[tier]), []).append(tier)
    for (was, now), tiers in groups.items():
        yield was, now, ALL_TIERS if len(tiers) == len(common) else ", ".join(tiers)


# --- limits and budgets ------------------------------------------------------------------------------------------


def _limits(old: Policy, new: Policy) -> Iterator[Change]:
    for name in dict.fromkeys((*old.limits, *new.limits)):
        subject = f"limit {name}"
        before, after = old.limits.get(name), new.limits.get(name)
        if before is None and after is not None:
            yield Change(subject, "limit", NOTHING, _limit_text(after), routes=_using(new, name))
        elif after is None and before is not None:
            yield Change(subject, "limit", _limit_text(before), NOTHING, routes=_using(old, name))
        elif before is not None and after is not None:
            routes = _using(new, name)
            for what, was, now in _limit_facts(before, after):
                yield Change(subject, what, was, now, routes=routes)
            for was, now, tiers in _by_tier(_rates(before), _rates(after)):
                yield Change(subject, "rate", was, now, tiers, routes)
            yield from _exceptions(subject, _tenant_rates(before), _tenant_rates(after), routes)


def _limit_facts(old: Limit, new: Limit) -> Iterator[tuple[str, str, str]]:
    facts = (
        ("kind", old.kind.name.lower(), new.kind.name.lower()),
        ("counted by", _scopes_text(old.scopes), _scopes_text(new.scopes)),
        ("counts", "tokens" if old.tokens else "requests", "tokens" if new.tokens else "requests"),
        ("in force", "in shadow" if old.shadow else "enforced", "in shadow" if new.shadow else "enforced"),
        ("time zone", old.time_zone, new.time_zone),
    )
    yield from ((what, was, now) for what, was, now in facts if was != now)


def _limit_text(limit: Limit) -> str:
    return f"{_gathered(_rates(limit))} by {_scopes_text(limit.scopes)}" + (" in shadow" if limit.shadow else "")


def _gathered(by_tier: Mapping[str, str]) -> str:
    """``enterprise 50, others 5``: what most tiers have is told once."""
    usual, times = Counter(by_tier.values()).most_common(1)[0]
    own = [f"{tier} {text}" for tier, text in by_tier.items() if text != usual or times == 1]
    if not own:
        return usual
    return ", ".join(own if times == 1 else [*own, f"others {usual}"])


def _rates(limit: Limit) -> dict[str, str]:
    return {tier: burst_rate_text(rate) for tier, rate in limit.rates.items()}


def _tenant_rates(limit: Limit) -> dict[str, str]:
    return {tenant: burst_rate_text(rate) + _until(ends_ms) for tenant, (rate, ends_ms) in limit.tenants.items()}


def _until(ends_ms: int | None) -> str:
    return "" if ends_ms is None else f" until {moment_text(ends_ms)}"


def _scopes_text(scopes: Iterable[Scope]) -> str:
    return " and ".join(".".join((scope.kind.value, *scope.claim)) for scope in scopes)


def _exceptions(
    subject: str, old: Mapping[str, str], new: Mapping[str, str], routes: tuple[str, ...]
) -> Iterator[Change]:
    for tenant in dict.fromkeys((*old, *new)):
        was, now = old.get(tenant, NOTHING), new.get(tenant, NOTHING)
        if was != now:
            yield Change(subject, "exception", was, now, f"tenant {tenant}", routes)


def _using(policy: Policy, name: str) -> tuple[str, ...]:
    """Routes that a limit or a budget counts on; empty where all do."""
    names = tuple(route.name for route in policy.routes if name in _counting(route))
    return () if len(names) == len(policy.routes) else names


def _counting(route: Route) -> set[str]:
    spending = route.spending
    names = {limit.name for limit in route.limits}
    if spending is not None:
        names |= {limit.name for limit in spending.tokens} | {budget.name for budget in spending.budgets}
    return names


def _budgets(old: Policy, new: Policy) -> Iterator[Change]:
    before = {(one.name, one.period): one for one in old.budgets}
    after = {(one.name, one.period): one for one in new.budgets}
    for key in dict.fromkeys((*before, *after)):
        subject = f"budget {key[0]} a {key[1].value}"
        was, now = before.get(key), after.get(key)
        if was is None and now is not None:
            yield Change(subject, "budget", NOTHING, _budget_text(now), routes=_using(new, key[0]))
        elif now is None and was is not None:
            yield Change(subject, "budget", _budget_text(was), NOTHING, routes=_using(old, key[0]))
        elif was is not None and now is not None:
            routes = _using(new, key[0])
            facts = (
                ("counted by", _scopes_text(was.scopes), _scopes_text(now.scopes)),
                ("once it is used up", _on_exceed(was), _on_exceed(now)),
                ("time zone", was.time_zone, now.time_zone),
            )
            yield from (Change(subject, what, one, two, routes=routes) for what, one, two in facts if one != two)
            for one, two, tiers in _by_tier(_amounts(was), _amounts(now)):
                yield Change(subject, "amount", one, two, tiers, routes)
            yield from _exceptions(subject, _tenant_amounts(was), _tenant_amounts(now), routes)


def _amounts(budget: Budget) -> dict[str, str]:
    shares = {tier: budget.capacity(tier, amount) for tier, amount in budget.amounts.items()}
    return {
        tier: dollars(amount) + (f" of which {dollars(shares[tier])} may be used" if shares[tier] != amount else "")
        for tier, amount in budget.amounts.items()
    }


def _budget_text(budget: Budget) -> str:
    return f"{_gathered(_amounts(budget))} by {_scopes_text(budget.scopes)}"


def _tenant_amounts(budget: Budget) -> dict[str, str]:
    return {tenant: dollars(amount) + _until(ends_ms) for tenant, (amount, ends_ms) in budget.tenants.items()}


def _on_exceed(budget: Budget) -> str:
    return budget.on_exceed.value if budget.downgrade_to is None else f"downgrade to {budget.downgrade_to}"


# --- routes ------------------------------------------------------------------------------------------------------

_AUTH_MEANS: Final = {
    (AuthMode.OPTIONAL, AuthMode.REQUIRED): "callers without a credential get 401",
    (AuthMode.NONE, AuthMode.REQUIRED): "callers without a credential get 401",
    (AuthMode.REQUIRED, AuthMode.OPTIONAL): "callers without a credential are let in, as anonymous",
    (AuthMode.REQUIRED, AuthMode.NONE): "nobody is identified: all are anonymous",
    (AuthMode.OPTIONAL, AuthMode.NONE): "nobody is identified: all are anonymous",
    (AuthMode.NONE, AuthMode.OPTIONAL): "who has a credential is known by it",
}
_OWN_WORDS: Final = ("name", "index", "match", "auth", "limits", "weight", "spending")


def _routes(old: Policy, new: Policy) -> Iterator[Change]:
    before = {route.name: route for route in old.routes}
    after = {route.name: route for route in new.routes}
    for name in dict.fromkeys((*before, *after)):
        was, now = before.get(name), after.get(name)
        subject = f"route {name}"
        if was is None and now is not None:
            yield Change(subject, "route", NOTHING, f"{_match_text(now.match)} to {now.upstream}", routes=(name,))
        elif now is None and was is not None:
            yield Change(subject, "route", f"{_match_text(was.match)} to {was.upstream}", NOTHING, routes=(name,))
        elif was is not None and now is not None:
            yield from _route(subject, was, now)
    hidden_before, hidden_after = ({one.name: by.name for one, by in hidden(p.routes)} for p in (old, new))
    for name in (name for name in after if name in before):
        hider_before, hider_after = hidden_before.get(name), hidden_after.get(name)
        if (hider_before is None) is not (hider_after is None):
            yield Change(f"route {name}", "is reached", _reach(hider_before), _reach(hider_after), routes=(name,))
    kept_old = [route.name for route in old.routes if route.name in after]
    kept_new = [route.name for route in new.routes if route.name in before]
    if kept_old != kept_new:
        yield Change("routes", "order in which they are tried", ", ".join(kept_old), ", ".join(kept_new))


def _route(subject: str, old: Route, new: Route) -> Iterator[Change]:
    routes = (new.name,)
    if old.match != new.match:
        yield Change(subject, "takes", _match_text(old.match), _match_text(new.match), routes=routes)
    if old.auth is not new.auth:
        yield Change(subject, "auth", old.auth.value, new.auth.value, _AUTH_MEANS[old.auth, new.auth], routes)
    was, now = _counting(old), _counting(new)
    for name in sorted(was - now):
        yield Change(subject, "counted by", name, NOTHING, routes=routes)
    for name in sorted(now - was):
        yield Change(subject, "counted by", NOTHING, name, routes=routes)
    if old.weight != new.weight:
        yield Change(subject, "counts as", f"{old.weight / MILLI:g}", f"{new.weight / MILLI:g}", routes=routes)
    for field in dataclasses.fields(Route):
        if field.name not in _OWN_WORDS:
            left_out = left_out_of(Route, field.name)
            for what, one, two in differing(getattr(old, field.name), getattr(new, field.name), left_out=left_out):
                named = f"{field.name}.{what}" if what else field.name
                yield Change(subject, named, one, two, routes=routes)
    for what, one, two in differing(_without_meters(old.spending), _without_meters(new.spending), "calls"):
        yield Change(subject, what, one, two, routes=routes)


def _reach(hider: str | None) -> str:
    return "yes" if hider is None else f"no: {hider} above takes all that it would take"


def _without_meters(spending: Spending | None) -> Spending | None:
    """They are told by name."""
    return None if spending is None else dataclasses.replace(spending, budgets=(), tokens=())


def _match_text(match: Match) -> str:
    parts = [" ".join(filter(None, (",".join(match.methods), match.path)))]
    parts += [f"host {host}" for host in match.hosts]
    parts += [f"{name}: {value}" for name, value in match.headers]
    parts += [f"?{name}={value}" for name, value in match.query]
    return ", ".join(parts)
