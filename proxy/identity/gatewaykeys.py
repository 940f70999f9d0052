"""Gateway keys: what machine clients send instead of a token. Pure.

Only digests are known here. A key that may act for others names a tenant, a user and a tier in ``Sluicegate-*`` fields,
and what a call is for and who pays for it; from anyone else these fields mean nothing, and nobody's reach the upstream.
"""

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from multidict import istr

from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import Identity, IdentityKind
from proxy.identity.claims import is_name
from proxy.identity.credentials import AUTHORIZATION, Headers, bearer, doubled
from proxy.identity.flaws import challenge
from proxy.policy import model

PREFIX: Final = "sk-slg-"
MAX_KEY: Final = 512  # characters
MAX_IDENTITIES: Final = 10_000  # of all keys together

ANY: Final = "*"
X_API_KEY: Final = istr("x-api-key")
X_GOOG_API_KEY: Final = istr("x-goog-api-key")
KEY_FIELDS: Final = (AUTHORIZATION, X_API_KEY, X_GOOG_API_KEY)
_MAY_HOLD_KEYS: Final = (*KEY_FIELDS, istr("api-key"))  # nobody is identified by Azure's, but it may be tried

TENANT: Final = istr("Sluicegate-Tenant")
USER: Final = istr("Sluicegate-User")
TIER: Final = istr("Sluicegate-Tier")
FEATURE: Final = istr("Sluicegate-Feature")
COST_CENTRE: Final = istr("Sluicegate-Cost-Centre")

Named = tuple[str | None, str | None, str | None, str | None, str | None]


@dataclass(slots=True, eq=False)
class KeyMatch:
    """A digest of the policy that a presented key has."""

    key: model.GatewayKey
    expires_ms: int | None
    identities: dict[Named, Identity] = field(default_factory=dict)


def refused(name: str, *, expired: bool = False) -> GatewayError:
    """The 401 for a gateway key that is not, or no longer, valid."""
    detail = "The gateway key has expired" if expired else "The gateway key is not known"
    reason = Reason.TOKEN_EXPIRED if expired else Reason.TOKEN_INVALID
    return GatewayError(reason, detail, field=name.lower(), headers=challenge("invalid_token", detail))


class GatewayKeys:
    """The policy's keys. ``named_issuer`` is whose users a key names: the sole issuer, so that a user has one meter."""

    def __init__(self, policy: model.Identity, tiers: Collection[str]) -> None:
        self._tiers = frozenset(tiers)
        self._unknown_tier = policy.unknown_tier
        self._named_issuer = policy.issuers[0].issuer if len(policy.issuers) == 1 else ""
        self._by_digest = {
            digest: (digest, KeyMatch(key, until)) for key in policy.keys for digest, until in key.sha256
        }
        # Keys that were presented and are good. No bound is needed: each has a digest of the policy.
        self._seen: dict[str, KeyMatch] = {}
        self._routes = {key.name: None if key.routes is None else frozenset(key.routes) for key in policy.keys}
        self._identities = 0

    def match(self, value: str) -> KeyMatch | None:
        """Which of the policy's keys it is, if any."""
        seen = self._seen.get(value)
        if seen is not None or len(value) > MAX_KEY or not self._by_digest:
            return seen
        presented = hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()
        found = self._by_digest.get(presented)
        if found is None or not hmac.compare_digest(found[0], presented):
            return None
        self._seen[value] = found[1]
        return found[1]

    def find(self, headers: Headers) -> tuple[KeyMatch, istr] | None:
        """The gateway key in the request and the field that holds it.

        Raises: GatewayError, 401 for a value that is recognisably a gateway key but not ours, 400 for a doubled field.
        """
        for name in KEY_FIELDS:
            values = headers.getall(name, None)
            if values is None:
                continue
            if len(values) > 1 and name is AUTHORIZATION:
                raise doubled(name)
            for value in values:
                held = _held(name, value)
                match = self.match(held)
                if match is None and not held.startswith(PREFIX):
                    continue
                if len(values) > 1:
                    raise doubled(name)
                if match is None:
                    raise refused(name)
                return match, name
        return None

    @staticmethod
    def may_hold_key(headers: Headers) -> bool:
        """Whether a field beside Authorization could hold a key, so that a known token is not the whole story."""
        return X_API_KEY in headers or X_GOOG_API_KEY in headers

    def identity(self, match: KeyMatch, name: str, headers: Headers, now_ms: int) -> Identity:
        """Who the key acts for, the same object for the same names.

        Raises: GatewayError, 401 when the key has ended, 400 and 403 for names that it may not use.
        """
        if match.expires_ms is not None and now_ms >= match.expires_ms:
            raise refused(name, expired=True)
        named = _NOBODY if match.key.may_act_for is None else _named(headers)
        found = match.identities.get(named)
        if found is None:
            found = self._make(match, named)
            if self._identities >= MAX_IDENTITIES:
                for _, other in self._by_digest.values():
                    other.identities.clear()
                self._identities = 0
            match.identities[named] = found
            self._identities += 1
        return found

    def key_may_use(self, identity: Identity, route: str) -> bool:
        """Whether the identity's gateway key, if it has one, is meant for this route."""
        if not identity.credential:
            return True
        routes = self._routes.get(identity.credential, frozenset())
        return routes is None or route in routes

    def is_key(self, value: str) -> bool:
        """One of ours, or recognisably a gateway's."""
        return value.startswith(PREFIX) or self.match(value) is not None

    def fields_holding_keys(self, headers: Headers) -> tuple[bytes, ...]:
        """Lower-case names of fields with a gateway key in them: it must never reach an upstream."""
        found: tuple[bytes, ...] = ()
        for name in _MAY_HOLD_KEYS:
            for value in headers.getall(name, ()):
                if self.is_key(_held(name, value)):
                    found = (*found, name.lower().encode())
                    break
        return found

    def _make(self, match: KeyMatch, named: Named) -> Identity:
        key = match.key
        tenant, user, tier, feature, cost_centre = named
        if tenant is not None and tenant != key.tenant and not _may_act_for(key, tenant):
            raise GatewayError(Reason.TENANT_REFUSED, "The key may not act for this tenant", field=TENANT.lower())
        # The key's own tier is the operator's word on this key, whichever tenant it acts for.
        tier = tier if tier is not None else key.tier
        return Identity(
            kind=IdentityKind.MACHINE,
            tier=tier if tier is not None and tier in self._tiers else self._unknown_tier,
            tenant=tenant if tenant is not None else key.tenant,
            issuer=self._named_issuer if user is not None else "",
            user=user if user is not None else key.user,
            credential=key.name,
            expires_ms=match.expires_ms,
            feature=feature if feature is not None else key.feature,
            cost_centre=cost_centre if cost_centre is not None else key.cost_centre,
        )


_NOBODY: Final[Named] = (None, None, None, None, None)


def _held(name: str, value: str) -> str:
    """The key in a field's value; only Authorization has a scheme before it."""
    if name is not AUTHORIZATION:
        return value
    token = bearer(value)
    return "" if token is None else token


def _may_act_for(key: model.GatewayKey, tenant: str) -> bool:
    return key.may_act_for is not None and (ANY in key.may_act_for or tenant in key.may_act_for)


def _named(headers: Headers) -> Named:
    tenant, user, tier = _one(headers, TENANT), _one(headers, USER), _one(headers, TIER)
    return tenant, user, tier, _one(headers, FEATURE), _one(headers, COST_CENTRE)


def _one(headers: Headers, name: istr) -> str | None:
    values = headers.getall(name, None)
    if values is None:
        return None
    if len(values) > 1 or not is_name(values[0]):
        raise GatewayError(Reason.BAD_TENANT, "The field must be sent once, with a name in it", field=name.lower())
    return values[0]
