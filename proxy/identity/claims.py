"""What a genuine token says: tenant, user, tier, and which tenants it may act for. Pure.

``user_metadata`` is never believed: users write it themselves (Supabase). It is neither read nor passed on.
"""

import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import claim_at
from proxy.policy import model

MAX_NAME: Final = 256  # characters of a tenant, user or tag
_MAX_NUMBER: Final = 2**63
_USER_WRITTEN: Final = frozenset({"user_metadata", "raw_user_meta_data"})


@dataclass(frozen=True, slots=True)
class Facts:
    """Who the request acts for, and the tags of what it spends."""

    tenant: str | None
    user: str | None
    tier: str
    feature: str | None = None
    cost_centre: str | None = None


class BadPolicy(ValueError):
    """A claim path that must not be used."""


def check_paths(policy: model.Identity) -> None:
    """Raises: BadPolicy where a path leads into what users write themselves."""
    claims = policy.claims
    paths = [claims.tenant, claims.user, claims.member_of, claims.tier, claims.feature, claims.cost_centre]
    paths += [path for rule in (*policy.refuse, *policy.anonymous_tokens) for path, _ in rule.claims]
    for path in paths:
        if path and path[0] in _USER_WRITTEN:
            raise BadPolicy(f"{'.'.join(path)}: users write {path[0]} themselves; use app_metadata")


def believed(claims: Mapping[str, Any]) -> dict[str, Any]:
    """The claims without what users write themselves."""
    return {name: value for name, value in claims.items() if name not in _USER_WRITTEN}


def is_name(value: str) -> bool:
    """Whether it can be a name or a tag: 1 to 256 characters, no control characters, no white space around it.

    White space at the ends would be lost in a header field, and two tenants become one.
    """
    if not 0 < len(value) <= MAX_NAME or value != value.strip():
        return False
    # isprintable() is the quick way for nearly all; it also rejects what is no control character.
    return value.isprintable() or not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in value)


def name_at(claims: Mapping[str, Any], path: tuple[str, ...]) -> str | None:
    """The name at a path; whole numbers become decimal, None where there is none.

    Raises: GatewayError (403, claims refused) for what cannot be a name: the token is genuine, so it is no 401.
    """
    value = claim_at(claims, path)
    if value is None:
        return None
    name = _as_name(value)
    if name is None:
        raise GatewayError(Reason.CLAIMS_REFUSED, "A claim cannot be used as a name", field=".".join(path))
    return name


def _as_name(value: Any) -> str | None:
    if type(value) is int and -_MAX_NUMBER <= value < _MAX_NUMBER:
        return str(value)
    return value if isinstance(value, str) and is_name(value) else None


def read(
    claims: Mapping[str, Any],
    issuer: model.Issuer,
    policy: model.Identity,
    tiers: Collection[str],
    chosen: str | None,
) -> Facts:
    """Who the token acts for; ``chosen`` is the tenant that the request asks for, if any.

    Raises: GatewayError, 403, where it may not act for that tenant, or claims are not usable.
    """
    home = name_at(claims, policy.claims.tenant)
    tenant = home if chosen is None else chosen
    if chosen is not None and chosen != home and not _is_member(claims, policy.claims.member_of, chosen):
        raise GatewayError(Reason.TENANT_REFUSED, "The token does not list this tenant", field=policy.tenant_header)
    if issuer.tenants is not None and tenant not in issuer.tenants:
        raise GatewayError(
            Reason.TENANT_REFUSED, "The issuer may not name this tenant", field=".".join(policy.claims.tenant)
        )
    tier = _tier(claims, policy, tenant, home)
    paths = policy.claims
    return Facts(
        tenant=tenant,
        user=name_at(claims, paths.user),
        tier=tier if tier in tiers else policy.unknown_tier,
        feature=None if paths.feature is None else name_at(claims, paths.feature),
        cost_centre=None if paths.cost_centre is None else name_at(claims, paths.cost_centre),
    )


def _is_member(claims: Mapping[str, Any], path: tuple[str, ...] | None, tenant: str) -> bool:
    listed = claim_at(claims, path) if path else None
    return isinstance(listed, list) and any(_as_name(name) == tenant for name in listed)


def _tier(claims: Mapping[str, Any], policy: model.Identity, tenant: str | None, home: str | None) -> str:
    """The tier of the tenant acted for.

    A claim that is one string is the home tenant's: a member of an enterprise who acts for a tenant on trial must not
    bring the enterprise's limits along, and what the other tenant's tier is the token does not say.
    """
    value = claim_at(claims, policy.claims.tier) if policy.claims.tier else None
    if isinstance(value, Mapping):
        value = value.get(tenant) if tenant is not None else None
    elif tenant != home:
        value = None
    return value if isinstance(value, str) else policy.unknown_tier


def rule_matches(rule: model.ClaimRule, claims: Mapping[str, Any]) -> bool:
    """Whether the claims have every value of the rule, themselves or in a list. A rule without claims never matches."""
    return bool(rule.claims) and all(_has(claim_at(claims, path), wanted) for path, wanted in rule.claims)


def _has(value: Any, wanted: str | int | bool) -> bool:
    if isinstance(value, list):
        return any(_same(item, wanted) for item in value)
    return _same(value, wanted)


def _same(value: Any, wanted: str | int | bool) -> bool:
    return type(value) is type(wanted) and bool(value == wanted)  # True == 1 in Python, not in a claim
