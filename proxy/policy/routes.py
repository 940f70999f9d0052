"""From the routes as written to compiled ones: defaults put in, names looked up, what can never work told. Pure."""

from collections.abc import Mapping, Sequence

from proxy.core.headers import is_token
from proxy.policy import schema
from proxy.policy.caches import compile_caching, least_share
from proxy.policy.caching import part_of
from proxy.policy.callers import tiers_that_pass
from proxy.policy.calls import is_held
from proxy.policy.coverage import hidden
from proxy.policy.findings import Findings
from proxy.policy.limits import at_once, fits_exactly
from proxy.policy.model import AuthMode, Cors, Limit, Match, MeterKind, RedisDown, Route, ScopeKind, Timeouts
from proxy.policy.money import Budgets
from proxy.policy.patterns import path_covers
from proxy.policy.problems import KeyPath
from proxy.policy.spending import Spending

OWN_PATHS = "/_gateway/**"
BUILT_IN_TIMEOUTS = Timeouts(connect_ms=2_000, first_byte_ms=30_000, idle_ms=60_000)


def limit_names(config: schema.Config, index: int, findings: Findings) -> tuple[str, ...]:
    """What a route is limited by, in order, without doubles."""
    return _names(config, index, "limit", findings)


def budget_names(config: schema.Config, index: int, findings: Findings) -> tuple[str, ...]:
    """What a route's calls to a provider spend from; nothing, where it leads to none."""
    upstream = config.upstreams.get(config.routes[index].upstream)
    names = _names(config, index, "budget", findings)
    return names if upstream is not None and upstream.dialect is not None else ()


def _names(config: schema.Config, index: int, kind: str, findings: Findings) -> tuple[str, ...]:
    route = config.routes[index]
    path: KeyPath = ("routes", index)
    section = f"{kind}s"
    instead, besides = getattr(route, section), getattr(route, f"more_{section}")
    default = getattr(config.defaults, section)
    if instead is not None and besides is not None:
        findings.error((*path, f"{section}+"), f"a route has {section} or {section}+, not both")
    own = instead if instead is not None else besides or []
    key = section if instead is not None else f"{section}+"
    for n, name in enumerate(own):
        _check_named(kind, (*path, key, n), name, findings)
        if name in own[:n]:
            findings.error((*path, key, n), f"the {kind} {name!r} is named twice")
        elif key == f"{section}+" and name in default:
            findings.warn((*path, key, n), f"the {kind} {name!r} is in defaults.{section} already")
    return tuple(dict.fromkeys(own if instead is not None else [*default, *own]))


def least_amounts(config: schema.Config, names: list[tuple[str, ...]]) -> dict[str, int]:
    """The least that any route takes of each limit, thousandths."""
    out: dict[str, int] = {}
    for index, limits in enumerate(names):
        least = part_of(config.routes[index].weight.per_item, least_share(config, index))
        for name in limits:
            out[name] = min(least, out.get(name, least))
    return out


def compile_routes(
    config: schema.Config,
    names: list[tuple[str, ...]],
    limits: Mapping[str, Limit],
    spending: Sequence[Spending | None],
    findings: Findings,
) -> tuple[Route, ...]:
    """All of them, in order, with whatever is wrong noted. ``names`` and ``spending`` are theirs."""
    routes = []
    seen: dict[str, KeyPath] = {}
    for index, written in enumerate(config.routes):
        path: KeyPath = ("routes", index)
        if written.name in seen:
            elsewhere = findings.elsewhere((*path, "name"), seen[written.name])
            findings.error((*path, "name"), f"the route {written.name!r} is there twice{elsewhere}")
        if findings.sure((*path, "name")):
            seen.setdefault(written.name, (*path, "name"))
        findings.check_name((*path, "name"), written.name)
        findings.check_reference((*path, "upstream"), "upstream", written.upstream, "upstreams")
        own = tuple(limits[name] for name in names[index] if name in limits and not limits[name].tokens)
        route = _route(config, index, own, spending[index], findings)
        findings.check_filled((*path, "match"), written.match, {"methods": "all methods", "hosts": "all hosts"})
        for field in written.match.headers:
            if not is_token(field.encode()):
                findings.error((*path, "match", "headers", field), f"{field!r} is not the name of a header field")
        _check_rewrite(path, route, findings)
        _check_amounts(path, route, config, findings)
        _check_scopes(path, route, findings)
        routes.append(route)
    _check_reach(routes, findings)
    return tuple(routes)


def _route(
    config: schema.Config, index: int, limits: tuple[Limit, ...], spending: Spending | None, findings: Findings
) -> Route:
    written, defaults = config.routes[index], config.defaults
    own_cors = "cors" in written.model_fields_set
    path: KeyPath = ("routes", index, "cors") if own_cors else ("cors",)
    upstream = config.upstreams.get(written.upstream)
    return Route(
        name=written.name,
        index=index,
        match=compile_match(written.match),
        upstream=written.upstream,
        auth=written.auth or defaults.auth,
        limits=limits,
        weight=written.weight.per_item,
        batch=written.weight.batch,
        max_body=defaults.max_body if written.max_body is None else written.max_body,
        # What may be spent is never left unwatched unless a route says so itself.
        redis_down=written.redis_down or (RedisDown.CLOSED if is_held(spending) else defaults.redis_down),
        retry=written.retry or defaults.retry,
        mode=written.mode or defaults.mode,
        strip_prefix=written.rewrite.strip,
        add_prefix=written.rewrite.prefix,
        timeouts=route_timeouts(written, upstream, defaults.timeouts),
        cors=compile_cors(written.cors if own_cors else config.cors, path, findings),
        caching=compile_caching(config, index, findings),
        spending=spending,
    )


def compile_match(written: schema.Match) -> Match:
    return Match(
        path=written.path,
        methods=tuple(dict.fromkeys(written.methods)),
        hosts=tuple(dict.fromkeys(written.hosts)),
        headers=tuple((name.lower(), value) for name, value in written.headers.items()),
        query=tuple(written.query.items()),
    )


def compile_cors(written: schema.Cors | None, path: KeyPath, findings: Findings) -> Cors | None:
    if written is None:
        return None
    if not written.origins:
        findings.error((*path, "origins"), "names no origin; write cors: off for none")
    findings.check_filled(path, written, {"headers": "those that the preflight asks for"})
    if written.credentials and "*" in written.origins:
        findings.error(
            (*path, "origins"),
            "'*' and credentials don't go together: browsers refuse it (Fetch, CORS protocol)",
            (*path, "credentials"),
        )
    return Cors(
        origins=tuple(written.origins),
        credentials=written.credentials,
        methods=tuple(written.methods),
        headers=tuple(written.headers),
        expose=tuple(written.expose),
        max_age_s=written.max_age // 1000,
    )


def merged_timeouts(base: Timeouts, *layers: schema.Timeouts) -> Timeouts:
    """Each layer's own numbers, over those of the layers before it."""
    for layer in layers:
        base = Timeouts(
            connect_ms=base.connect_ms if layer.connect is None else layer.connect,
            first_byte_ms=base.first_byte_ms if layer.first_byte is None else layer.first_byte,
            idle_ms=base.idle_ms if layer.idle is None else layer.idle,
        )
    return base


def route_timeouts(route: schema.Route, upstream: schema.Upstream | None, defaults: schema.Timeouts) -> Timeouts | None:
    """None where the route says nothing: the upstream's are used."""
    if upstream is None or not route.timeouts.model_fields_set:
        return None
    return merged_timeouts(BUILT_IN_TIMEOUTS, defaults, upstream.timeouts, route.timeouts)


def _check_rewrite(path: KeyPath, route: Route, findings: Findings) -> None:
    strip = route.strip_prefix
    if strip and not path_covers(f"{strip}/**", route.match.path):
        message = f"not every path of {route.match.path!r} begins with {strip!r}: there is nothing to take off"
        findings.error((*path, "rewrite", "strip"), message, (*path, "match", "path"))


def _check_amounts(path: KeyPath, route: Route, config: schema.Config, findings: Findings) -> None:
    """A take larger than a capacity can never succeed."""
    tiers = tiers_that_pass(config, route.auth)
    rests: tuple[KeyPath, ...] = ((*path, "weight"), (*path, "auth"), ("defaults", "auth"), ("tiers",))
    rests = (*rests, ("identity", "anonymous_tier"))
    for limit in route.limits:
        for tier, rate in limit.rates.items():
            if not fits_exactly(rate, route.weight):
                key = "concurrent" if limit.kind is MeterKind.CONCURRENCY else "rate"
                findings.error(
                    ("limits", limit.name, key, tier),
                    "with a route's weight it passes 2^53: beyond counting",
                    (*path, "weight"),
                )
        if limit.kind is MeterKind.CONCURRENCY:
            continue
        shut_out = [
            tier for tier in tiers if tier in limit.rates and route.weight > at_once(limit.rates[tier], limit.kind)
        ]
        if not shut_out:
            continue
        word = "burst" if limit.kind is MeterKind.SMOOTH else "capacity"
        weight = f"the weight {route.weight / 1000:g} is more than the {word} of limit {limit.name!r}"
        if len(shut_out) == len(tiers):
            findings.error((*path, "weight"), f"{weight}: no request could ever pass", *rests, ("limits", limit.name))
        else:
            findings.warn((*path, "weight"), f"{weight} for {', '.join(shut_out)}: none of theirs could ever pass")


def _check_scopes(path: KeyPath, route: Route, findings: Findings) -> None:
    if route.auth is not AuthMode.NONE:
        return
    spending = route.spending
    tokens, budgets = (spending.tokens, spending.budgets) if spending is not None else ((), ())
    counted = [("limit", one.name, one.scopes) for one in (*route.limits, *tokens)]
    counted += [("budget", one.name, one.scopes) for one in budgets]
    for kind, name, scopes in dict.fromkeys(counted):
        for scope in scopes:
            if scope.kind in (ScopeKind.USER, ScopeKind.TENANT):
                message = f"the {kind} {name!r} counts by {scope.kind}, but auth is none here: it counts by ip"
                findings.warn((*path, f"{kind}s"), message)


def _check_reach(routes: list[Route], findings: Findings) -> None:
    taken = {route.index: earlier.name for route, earlier in hidden(routes)}
    for index, route in enumerate(routes):
        if path_covers(OWN_PATHS, route.match.path):
            findings.warn(
                ("routes", index), f"the route {route.name!r} is never reached: {OWN_PATHS} is the gateway's own"
            )
        if index in taken:
            message = f"the route {route.name!r} is never reached: {taken[index]!r} above takes all that it would take"
            findings.warn(("routes", index), message)


def check_defaults(config: schema.Config, findings: Findings) -> None:
    """The limits and budgets that defaults name."""
    for kind, names in (("limit", config.defaults.limits), ("budget", config.defaults.budgets)):
        for n, name in enumerate(names):
            path: KeyPath = ("defaults", f"{kind}s", n)
            _check_named(kind, path, name, findings)
            if name in names[:n]:
                findings.error(path, f"the {kind} {name!r} is named twice")


def _check_named(kind: str, path: KeyPath, name: str, findings: Findings) -> None:
    findings.check_reference(path, kind, name, f"{kind}s", but=Budgets.model_fields if kind == "budget" else ())
