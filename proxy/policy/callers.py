"""From the identity section as written to the compiled one: who may issue, which keys open, what may not be. Pure."""

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from proxy.core.headers import FORWARDING, HOP_BY_HOP
from proxy.policy import schema
from proxy.policy.findings import Findings
from proxy.policy.limits import DEFAULT
from proxy.policy.model import (
    AuthMode,
    ClaimPaths,
    ClaimRule,
    ForwardedIdentity,
    GatewayKey,
    Identity,
    Issuer,
    TokenSource,
)
from proxy.policy.problems import KeyPath, meant
from proxy.policy.words import SYMMETRIC, claim_steps, is_loopback

# The gateway needs these for itself: telling an identity in one of them would break the message or another rule.
_TAKEN: Final = frozenset(
    name.decode()
    for name in HOP_BY_HOP | FORWARDING | {b"host", b"content-length", b"content-type", b"authorization", b"cookie"}
)
_SHORTEST_SECRET: Final = min(SYMMETRIC.values())


def compile_identity(
    config: schema.Config, keys: tuple[GatewayKey, ...], resolved: Callable[[KeyPath, str], str], findings: Findings
) -> Identity:
    """``keys`` are all compiled ones; ``resolved`` makes absolute the name of a file that stands at a path."""
    written = config.identity
    forward = written.forward
    _check_tiers(config, findings)
    _check_forward(forward, findings)
    sources = tuple(_source(("identity", "token_from", n), one, findings) for n, one in enumerate(written.token_from))
    if not sources:
        findings.error(("identity", "token_from"), "names no place to look for a token")
    return Identity(
        token_from=sources,
        issuers=_issuers(written.issuers, resolved, findings),
        claims=ClaimPaths(**dict(written.claims)),
        tenant_header=written.tenant_header.lower(),
        unknown_tier=written.unknown_tier or least_tier(config),
        anonymous_tier=written.anonymous_tier,
        refuse=_rules(("identity", "refuse"), written.refuse, findings),
        anonymous_tokens=_rules(("identity", "anonymous_tokens"), written.anonymous_tokens, findings),
        expired_cookie=written.expired_cookie,
        keys=keys,
        forward=ForwardedIdentity(forward.tenant, forward.user, forward.tier),
        attempts_per_minute=written.attempts_per_minute,
    )


def least_tier(config: schema.Config) -> str:
    """The last tier before the anonymous one, or that one where it is alone."""
    named = [tier for tier in config.tiers if tier != config.identity.anonymous_tier]
    return named[-1] if named else config.identity.anonymous_tier


def tiers_that_pass(config: schema.Config, auth: AuthMode) -> list[str]:
    """The tiers of callers that a route with this auth lets in."""
    anonymous = config.identity.anonymous_tier
    match auth:
        case AuthMode.NONE:
            return [tier for tier in config.tiers if tier == anonymous]
        case AuthMode.REQUIRED:
            return [tier for tier in config.tiers if tier != anonymous]
        case AuthMode.OPTIONAL:
            return list(config.tiers)


def _check_tiers(config: schema.Config, findings: Findings) -> None:
    tiers, anonymous = config.tiers, config.identity.anonymous_tier
    for n, tier in enumerate(tiers):
        findings.check_name(("tiers", n), tier)
        if tier == DEFAULT:
            findings.error(("tiers", n), f"a tier cannot be called {DEFAULT!r}: in limits it stands for all the others")
        if tier in tiers[:n]:
            findings.error(("tiers", n), f"the tier {tier!r} is there twice")
    rests: tuple[KeyPath, ...] = (("tiers",), ("identity", "anonymous_tier"))
    if anonymous not in tiers:
        findings.error(("tiers",), f"lacks the tier of anonymous callers, {anonymous!r}; put it last", *rests)
    elif tiers[-1] != anonymous:
        findings.error(("tiers",), f"must end with the tier of anonymous callers, {anonymous!r}", *rests)
    unknown = config.identity.unknown_tier
    if unknown is not None and unknown not in tiers:
        findings.error(("identity", "unknown_tier"), f"unknown tier {unknown!r}{meant(unknown, tiers)}", ("tiers",))


def _check_forward(forward: schema.Forward, findings: Findings) -> None:
    seen: dict[str, str] = {}
    for key in ("tenant", "user", "tier"):
        name = getattr(forward, key).lower()
        if name in _TAKEN:
            findings.error(("identity", "forward", key), f"the field {name!r} is the gateway's own; take another name")
        if name in seen:
            findings.error(("identity", "forward", key), f"the field {name!r} is used for {seen[name]} already")
        if findings.sure(("identity", "forward", key)):
            seen[name] = key


def _source(path: KeyPath, written: schema.TokenSource, findings: Findings) -> TokenSource:
    if (written.header is None) == (written.cookie is None):
        findings.error(path, "takes a header field or a cookie, one of the two", (*path, "header"), (*path, "cookie"))
    return TokenSource(written.header.lower() if written.header else None, written.cookie)


def _rules(path: KeyPath, written: list[schema.ClaimRule], findings: Findings) -> tuple[ClaimRule, ...]:
    out = []
    for n, rule in enumerate(written):
        claims: list[tuple[tuple[str, ...], str | int | bool]] = []
        for claim, value in rule.claims.items():
            try:
                claims.append((claim_steps(claim, tuple(claim.split("."))), value))
            except ValueError as error:
                findings.error((*path, n, "claims", claim), str(error))
        if not rule.claims and rule.equals_header is None:
            findings.error(
                (*path, n),
                "matches every token; name claims or equals_header",
                (*path, n, "claims"),
                (*path, n, "equals_header"),
            )
        out.append(ClaimRule(tuple(claims), rule.equals_header.lower() if rule.equals_header else None))
    return tuple(out)


# --- issuers -----------------------------------------------------------------------------------------------------


def _issuers(
    written: list[schema.Issuer], resolved: Callable[[KeyPath, str], str], findings: Findings
) -> tuple[Issuer, ...]:
    out: list[Issuer] = []
    for n, one in enumerate(written):
        path: KeyPath = ("identity", "issuers", n)
        if any(one.issuer == other.issuer for other in out):
            findings.error((*path, "issuer"), f"the issuer {one.issuer!r} is there twice")
        if len(written) > 1 and "tenants" not in one.model_fields_set:
            findings.error(
                path,
                "of several issuers, each must say which tenants it may name: a list, or tenants: any",
                (*path, "tenants"),
            )
        _check_keys(path, one, findings)
        out.append(
            Issuer(
                issuer=one.issuer,
                audiences=tuple(one.audience),
                algorithms=tuple(dict.fromkeys(one.algorithms)),
                jwks_url=one.jwks,
                jwks_file=resolved((*path, "jwks_file"), one.jwks_file) if one.jwks_file else None,
                secrets=tuple(one.secrets),
                tenants=None if one.tenants is None else tuple(one.tenants),
                leeway_ms=one.leeway,
                max_age_ms=one.max_age,
            )
        )
    return tuple(out)


def _check_keys(path: KeyPath, issuer: schema.Issuer, findings: Findings) -> None:
    findings.check_filled(path, issuer, {"audience": "tokens for anyone", "algorithms": "those that fit each key"})
    rests: tuple[KeyPath, ...] = tuple((*path, key) for key in ("jwks", "jwks_file", "secrets"))
    key_set = issuer.jwks or issuer.jwks_file
    if issuer.jwks and issuer.jwks_file:
        findings.error((*path, "jwks_file"), "an issuer has jwks or jwks_file, not both")
    if not key_set and not issuer.secrets:
        findings.error(path, "has no keys; give it jwks, jwks_file or secrets", *rests)
    symmetric = [name for name in issuer.algorithms if name in SYMMETRIC]
    if symmetric and not issuer.secrets:
        findings.error((*path, "algorithms"), f"{symmetric[0]} needs secrets", *rests)
    if issuer.algorithms and len(symmetric) < len(issuer.algorithms) and not key_set:
        other = next(name for name in issuer.algorithms if name not in SYMMETRIC)
        findings.error((*path, "algorithms"), f"{other} needs jwks or jwks_file", (*path, "algorithms"), *rests)
    if issuer.algorithms and issuer.secrets and not symmetric:
        message = "no algorithm listed uses a secret; add HS256, HS384 or HS512"
        findings.error((*path, "secrets"), message, (*path, "algorithms"))
    needed = max((SYMMETRIC[name] for name in symmetric), default=_SHORTEST_SECRET)
    by = next(name for name, least in SYMMETRIC.items() if least == needed)
    for n, secret in enumerate(issuer.secrets):
        length = len(secret.encode())
        if length < needed:
            message = f"the secret has {length} bytes; {by} needs at least {needed} (RFC 7518 §3.2)"
            findings.error((*path, "secrets", n), message)
    if issuer.jwks and issuer.jwks.startswith("http:") and not is_loopback(urlsplit(issuer.jwks).hostname or ""):
        findings.warn((*path, "jwks"), "keys come over plain http: who can change them on the way can issue tokens")


# --- gateway keys ------------------------------------------------------------------------------------------------


def compile_keys(
    written: Mapping[str, schema.GatewayKey],
    path: KeyPath,
    config: schema.Config,
    routes: list[str] | None,
    findings: Findings,
) -> tuple[GatewayKey, ...]:
    """The keys that open something: revoked ones are checked and left out. ``path`` is where they stand in the file.

    ``routes`` are all names of routes, None where the policy does not say for sure.
    """
    out = []
    for name, key in written.items():
        here: KeyPath = (*path, name)
        findings.check_name(here, name)
        if not key.sha256:
            findings.error((*here, "sha256"), "has no hash; a key that opens nothing is written as revoked: true")
        if key.tier is not None and key.tier not in config.tiers:
            findings.error((*here, "tier"), f"unknown tier {key.tier!r}{meant(key.tier, config.tiers)}", ("tiers",))
        for n, route in enumerate(key.routes or ()):
            if routes is not None and route not in routes:
                findings.error((*here, "routes", n), f"unknown route {route!r}{meant(route, routes)}")
        if key.revoked:
            continue
        out.append(
            GatewayKey(
                name=name,
                sha256=tuple((one.hash, one.expires) for one in key.sha256),
                tenant=key.tenant,
                user=key.user,
                tier=key.tier,
                may_act_for=None if key.may_act_for is None else tuple(key.may_act_for),
                routes=None if key.routes is None else tuple(key.routes),
                feature=key.feature,
                cost_centre=key.cost_centre,
            )
        )
    return tuple(out)
