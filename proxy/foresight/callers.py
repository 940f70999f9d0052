"""Who acts where there is no credential to verify: claims that are believed, keys by name, log lines. Pure.

What is believed here is judged by the policy as a verified token or a presented key would be.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from multidict import CIMultiDictProxy

from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import Identity, IdentityKind
from proxy.identity.claims import believed, read, rule_matches
from proxy.identity.flaws import Flaw, refusal
from proxy.identity.gatewaykeys import GatewayKeys, KeyMatch
from proxy.policy.model import Policy

MAX_REMEMBERED: Final = 20_000  # callers of log lines, with what they take: some 2 KB each

Named = tuple[str | None, str | None, str, str | None]  # tenant, user, tier, key


def claimed(policy: Policy, chosen_tenant: str | None, claims: Mapping[str, Any]) -> Identity:
    """As a verified token with these claims; without ``iss``, of the first issuer.

    ``chosen_tenant``: what the policy's tenant header asks for. Raises: GatewayError.
    """
    rules = policy.identity
    named = claims.get("iss", rules.issuers[0].issuer if rules.issuers else None)
    issuer = next((one for one in rules.issuers if one.issuer == named), None)
    if issuer is None:
        raise refusal(Flaw.ISSUER_UNKNOWN, "authorization")
    if any(rule.claims and rule_matches(rule, claims) for rule in rules.refuse):
        raise GatewayError(Reason.CLAIMS_REFUSED)
    if any(rule.claims and rule_matches(rule, claims) for rule in rules.anonymous_tokens):
        return anonymous(policy)
    facts = read(claims, issuer, rules, policy.tiers, chosen_tenant)
    return Identity(
        kind=IdentityKind.USER,
        tier=facts.tier,
        tenant=facts.tenant,
        issuer=issuer.issuer,
        user=facts.user,
        claims=believed(claims),
        feature=facts.feature,
        cost_centre=facts.cost_centre,
    )


def keyed(policy: Policy, name: str, headers: CIMultiDictProxy[str], now_ms: int) -> Identity:
    """As a request with the gateway key of this name; ``Sluicegate-*`` fields say for whom it acts.

    Raises: GatewayError; KeyError for a name that the policy does not have.
    """
    key = next((key for key in policy.identity.keys if key.name == name), None)
    if key is None:
        raise KeyError(name)
    ends = [until_ms for _, until_ms in key.sha256]
    until_ms = None if None in ends else max((end for end in ends if end is not None), default=None)
    keys = GatewayKeys(policy.identity, policy.tiers)
    return keys.identity(KeyMatch(key, until_ms), "authorization", headers, now_ms)


def anonymous(policy: Policy, tier: str | None = None) -> Identity:
    """Nobody in particular; ``tier`` where it is not the anonymous one."""
    return Identity(IdentityKind.ANONYMOUS, tier or policy.identity.anonymous_tier)


class LoggedCallers:
    """Identities of a log's callers under one policy, the same object for the same names.

    A line does not tell the issuer: its users are of the only one that may name their tenant, or of one without a name
    where several may. ``several`` counts those. ``unknown_tiers`` has the tiers of lines that the policy does not know,
    which count as its ``unknown_tier``.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._issuers = policy.identity.issuers
        self._sole = self._issuers[0].issuer if len(self._issuers) == 1 else ""  # whose users keys name
        self._unbound = any(issuer.tenants is None for issuer in self._issuers)
        self._bound = frozenset(tenant for issuer in self._issuers for tenant in issuer.tenants or ())
        self.several = 0
        self._known: dict[Named, Identity] = {}
        self._anonymous: dict[str | None, Identity] = {}
        self._keys = {key.name: key for key in policy.identity.keys}
        self.unknown_tiers: set[str] = set()

    def identity(self, tenant: str | None, user: str | None, tier: str, key: str | None) -> Identity:
        """Who a line speaks of; nobody in particular where it has no name at all."""
        named = (tenant, user, tier, key)
        found = self._known.get(named)
        if found is None:
            if len(self._known) >= MAX_REMEMBERED:
                for name in list(islice(self._known, MAX_REMEMBERED // 2)):  # those who came first
                    del self._known[name]
            found = self._known[named] = self._made(tenant, user, tier, key)
        return found

    def nobody(self, tier: str | None = None) -> Identity:
        found = self._anonymous.get(tier)
        if found is None:
            found = self._anonymous[tier] = anonymous(self._policy, tier)
        return found

    def refusal(self, tenant: str | None) -> Reason | None:
        """Why no token may act for this tenant: nobody issues any, or no issuer may name it. None: one may."""
        if self._unbound or tenant in self._bound:
            return None
        return Reason.TENANT_REFUSED if self._issuers else Reason.TOKEN_INVALID

    def knows_key(self, key: str) -> bool:
        """Whether the policy has this key. One with a ``keys_file`` that is not at hand does not."""
        return key in self._keys

    def key_may_use(self, key: str, route: str) -> bool:
        """Whether the policy lets a key that it knows use the route."""
        known = self._keys[key]
        return known.routes is None or route in known.routes

    def _made(self, tenant: str | None, user: str | None, tier: str, key: str | None) -> Identity:
        if tenant is None and user is None and key is None:
            return self.nobody()
        if tier not in self._policy.tiers:
            self.unknown_tiers.add(tier)
            tier = self._policy.identity.unknown_tier
        return Identity(
            kind=IdentityKind.USER if key is None else IdentityKind.MACHINE,
            tier=tier,
            tenant=tenant,
            issuer="" if user is None else self._issuer(tenant) if key is None else self._sole,
            user=user,
            credential=key or "",
        )

    def _issuer(self, tenant: str | None) -> str:
        found = [one.issuer for one in self._issuers if one.tenants is None or tenant in one.tenants]
        self.several += len(found) > 1
        return found[0] if len(found) == 1 else ""
