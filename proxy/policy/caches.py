"""From the caching as written to a route's compiled one. Pure."""

from typing import Final

from proxy.policy import schema
from proxy.policy.cachewords import DEFAULT_TTL_MS, Cache
from proxy.policy.caching import (
    WHOLE,
    AnswerCaching,
    AssertTenant,
    Bypass,
    CacheScope,
    CacheStores,
    Caching,
)
from proxy.policy.findings import Findings
from proxy.policy.model import AuthMode, ClaimRule
from proxy.policy.problems import KeyPath

SAME: Final = "same"
CALLS_WAIT_MS: Final = 30_000  # a model takes longer than an app; and who does not wait for its answer pays for it
_OF_CALLS: Final = frozenset({"scope", "ttl", "max_body", "hits_pay", "wait"})  # what a route to a provider may say


def least_share(config: schema.Config, index: int) -> int:
    """Thousandths of the route's weight that the cheapest of its requests takes from its limits."""
    written = config.routes[index].cache
    return written.hits_pay if written is not None and written.hits_pay else WHOLE


def compile_caching(config: schema.Config, index: int, findings: Findings) -> Caching | None:
    """None where the route caches nothing, or leads to a provider."""
    written = config.routes[index].cache
    if written is None or _to_provider(config, index):
        return None
    path: KeyPath = ("routes", index, "cache")
    _check_known(config, index, written.scope, findings)
    findings.check_filled(path, written, {"methods": "GET and HEAD", "statuses": "those that RFC 9110 lets"})
    if written.force and written.ttl is None:
        findings.error((*path, "force"), "without a ttl there is no lifetime to force", (*path, "ttl"))
    if written.only_query is not None and written.ignore_query:
        findings.error((*path, "ignore_query"), "only_query says all already", (*path, "only_query"))
    _check_shared(config, index, written, findings)
    for n, tier in enumerate(written.bypass.tiers):
        if tier not in config.tiers:
            findings.error((*path, "bypass", "tiers", n), f"unknown tier {tier!r}", ("tiers",))
    return Caching(
        scope=written.scope,
        profile=written.profile,
        ttl_ms=written.ttl,
        force=written.force,
        methods=frozenset(method.value for method in written.methods),
        statuses=frozenset(written.statuses),
        error_ttl_ms=written.error_ttl,
        stale_while_revalidate_ms=written.stale_while_revalidate,
        stale_if_error_ms=written.stale_if_error,
        ignore_query=tuple(written.ignore_query),
        only_query=None if written.only_query is None else tuple(written.only_query),
        max_body=written.max_body,
        hits_pay=written.hits_pay,
        wait_ms=written.wait,
        early=written.early_refresh,
        bypass=_bypass(written),
        assert_tenant=_assertion(written, path, findings),
        downstream=written.downstream,
        tag_fields=written.tag_fields,
        status_field=written.status_field,
    )


def compile_answer_caching(config: schema.Config, index: int, findings: Findings) -> AnswerCaching | None:
    """Of a route to a provider."""
    written = config.routes[index].cache
    if written is None or not _to_provider(config, index):
        return None
    path: KeyPath = ("routes", index, "cache")
    for name in sorted(written.model_fields_set - _OF_CALLS):
        findings.error((*path, name), f"calls to a provider know only {', '.join(sorted(_OF_CALLS))} here")
    if written.scope is CacheScope.PUBLIC:
        findings.error((*path, "scope"), "answers to calls are shared by a tenant or kept for one user")
    _check_known(config, index, written.scope, findings)
    return AnswerCaching(
        scope=written.scope,
        ttl_ms=written.ttl or DEFAULT_TTL_MS,
        max_body=written.max_body,
        hits_pay=written.hits_pay,
        wait_ms=written.wait if "wait" in written.model_fields_set else CALLS_WAIT_MS,
    )


def compile_stores(config: schema.Config) -> CacheStores:
    written = config.cache
    return CacheStores(
        memory=written.memory,
        tenant_share=float(written.tenant_share),
        largest_in_memory=written.largest_in_memory,
        url=None if config.redis.cache == SAME else config.redis.cache,
        redis_memory=written.redis_memory,
        timeout_ms=written.timeout,
    )


def _to_provider(config: schema.Config, index: int) -> bool:
    upstream = config.upstreams.get(config.routes[index].upstream)
    return upstream is not None and upstream.dialect is not None


def _check_known(config: schema.Config, index: int, scope: CacheScope, findings: Findings) -> None:
    """Where nobody is identified, nothing has an owner."""
    route = config.routes[index]
    if (route.auth or config.defaults.auth) is AuthMode.NONE and scope is not CacheScope.PUBLIC:
        message = f"auth is none here: no {scope.value} is known, and nothing would be stored; say scope: public"
        findings.error(("routes", index, "cache", "scope"), message, ("routes", index, "auth"), ("defaults", "auth"))


def _check_shared(config: schema.Config, index: int, written: Cache, findings: Findings) -> None:
    """What one caller has got, everybody gets."""
    route = config.routes[index]
    asks = (route.auth or config.defaults.auth) is AuthMode.REQUIRED
    if written.scope is CacheScope.PUBLIC and written.ttl is not None and asks:
        message = "callers are identified here, and what the first of them gets, all get for the ttl; say scope: tenant"
        findings.warn(("routes", index, "cache", "scope"), f"{message}, or user, unless that is meant")


def _bypass(written: Cache) -> Bypass:
    rules = tuple(
        ClaimRule(tuple((tuple(path.split(".")), value) for path, value in rule.items()))
        for rule in written.bypass.claims
    )
    return Bypass(tuple(written.bypass.tiers), rules)


def _assertion(written: Cache, path: KeyPath, findings: Findings) -> AssertTenant | None:
    said = written.assert_tenant
    if said is None:
        return None
    if (said.header is None) == (said.json_path is None):
        findings.error((*path, "assert_tenant"), "names either a header or a json path")
        return None
    if written.scope is CacheScope.PUBLIC:
        findings.error((*path, "assert_tenant"), "a public answer belongs to no tenant", (*path, "scope"))
    return AssertTenant(said.header.lower() if said.header else None, tuple((said.json_path or "").split(".")))
