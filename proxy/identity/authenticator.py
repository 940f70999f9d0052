"""The door of identity: from a request's fields to one ``Identity``, quickly for whoever was here before.

``cached`` costs a few dict lookups; ``identify`` does the whole work and may wait for an issuer's keys. Both give the
same object for the same credential acting for the same tenant, so that what others keep in its ``memo`` is found again.
"""

import hashlib
from collections.abc import Collection
from typing import Final

from multidict import istr

from proxy.core.addresses import counted_address
from proxy.core.clock import Clock
from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import Identity, IdentityKind
from proxy.identity import claims as claim_rules
from proxy.identity import forwarding
from proxy.identity.attempts import AttemptMeter
from proxy.identity.bounded import BoundedMap
from proxy.identity.credentials import COOKIE, Headers, TokenFinder
from proxy.identity.flaws import PASSING, Flaw, TokenRefused, has_ended, missing, refusal
from proxy.identity.gatewaykeys import GatewayKeys
from proxy.identity.jose import MAX_TOKEN
from proxy.identity.jwks import KeySets, KeysUnavailable
from proxy.identity.tokens import TokenVerifier, Verified
from proxy.policy import model
from proxy.policy.model import AuthMode

MAX_TOKENS: Final = 20_000
MAX_TOKEN_CHARS: Final = 16 * 2**20  # of all remembered tokens together
MAX_REFUSED: Final = 4096
REFUSED_MS: Final = 10_000  # how long a bad token is remembered
RECHECK_MS: Final = 30_000  # how often a remembered token sees to it that its issuer's keys are kept fresh
MAX_CHOICES: Final = 64  # tenants that one token is remembered to act for


# The tenant that a request chooses, and which of the headers that rules watch hold the token itself.
Choice = str | None | tuple[str | None, ...]


class TokenEntry:
    """A verified token. ``until_ms``: until when ``cached`` may use it without looking after its key."""

    __slots__ = ("identities", "until_ms", "used", "verified")

    def __init__(self, verified: Verified, now_ms: int) -> None:
        self.verified = verified
        self.identities: dict[Choice, Identity] = {}
        self.used = False
        self.until_ms = 0
        self.renew(now_ms)

    def renew(self, now_ms: int) -> None:
        until = self.verified.until_ms
        self.until_ms = min(until, now_ms + RECHECK_MS) if self.verified.keys.sources else until


class TokenCache(BoundedMap[TokenEntry]):
    """Verified tokens by their text, which is canonical."""

    __slots__ = ()

    def spares(self, value: TokenEntry) -> bool:
        spared, value.used = value.used, False
        return spared


class Authenticator:
    """Identifies callers by one policy. A new policy has a new one, with the same ``keysets`` and ``attempts``."""

    def __init__(
        self,
        policy: model.Identity,
        clock: Clock,
        keysets: KeySets,
        *,
        tiers: Collection[str],
        attempts: AttemptMeter | None = None,
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        """``tiers`` are the policy's. Raises: ValueError for keys, issuers or claim paths that must not be used."""
        claim_rules.check_paths(policy)
        self._policy = policy
        self._clock = clock
        self._tiers = frozenset(tiers)
        self._verifier = TokenVerifier(policy.issuers, clock, keysets)
        self._finder = TokenFinder(policy.token_from)
        self._keys = GatewayKeys(policy, tiers)
        self._has_keys = bool(policy.keys)
        self._attempts = AttemptMeter(policy.attempts_per_minute) if attempts is None else attempts
        self._tenant_header = istr(policy.tenant_header)
        self._tokens = TokenCache(max_tokens, MAX_TOKEN_CHARS)
        self._refused: BoundedMap[tuple[Flaw, int]] = BoundedMap(MAX_REFUSED, MAX_REFUSED * 64)
        # Rules that need no claims: the token is public, so it need not even be genuine.
        self._public = tuple(
            istr(rule.equals_header) for rule in policy.anonymous_tokens if rule.equals_header and not rule.claims
        )
        # Rules on claims and a header: what they decide is not the token's alone.
        self._watched = tuple(
            istr(rule.equals_header)
            for rule in (*policy.refuse, *policy.anonymous_tokens)
            if rule.equals_header and istr(rule.equals_header) not in self._public
        )
        self.anonymous = Identity(kind=IdentityKind.ANONYMOUS, tier=policy.anonymous_tier)

    def cached(self, headers: Headers, address: str, auth: AuthMode) -> Identity | None:
        """The identity of a credential that was seen before and is still good; None: ``identify`` has to say.

        Never raises, and never looks at ``address``: what is known costs no attempt.
        """
        if auth is AuthMode.NONE:
            return self.anonymous
        now = self._clock.now_ms()
        try:
            found = self._finder.find(headers)
            entry = None if found is None else self._tokens.get(found[0])
            if self._has_keys and (entry is None or self._keys.may_hold_key(headers)):
                presented = self._keys.find(headers)
                if presented is not None:
                    return self._keys.identity(*presented, headers, now)
        except GatewayError:
            return None
        if found is None:
            return self.anonymous if auth is AuthMode.OPTIONAL else None
        if self._public and self._is_public(headers, found[0]):
            return self.anonymous if auth is AuthMode.OPTIONAL else None
        if entry is None or now >= entry.until_ms or not entry.verified.key.trusted:
            return None
        if self._watched and any(headers.get(name) == found[0] for name in self._watched):
            return None
        chosen = headers.getall(self._tenant_header, None)
        if chosen is None:
            identity = entry.identities.get(None)
        else:
            identity = entry.identities.get(chosen[0] or None) if len(chosen) == 1 else None
        entry.used = True
        if identity is self.anonymous and auth is not AuthMode.OPTIONAL:
            return None
        return identity

    def entry_of(self, headers: Headers) -> TokenEntry | None:
        """What is known of the token that a request brings, if it is known and the request brings one."""
        try:
            found = self._finder.find(headers)
        except GatewayError:
            return None
        return None if found is None else self._tokens.get(found[0])

    async def identify(self, headers: Headers, address: str, auth: AuthMode) -> Identity:
        """Who calls. Raises: GatewayError: 400 and 401 for the credential, 403 for what it may not do, 429 for an
        address with too many failures, 503 while the issuer's keys are not to be had.
        """
        if auth is AuthMode.NONE:
            return self.anonymous
        if self._has_keys:
            identity = self._by_key(headers, address)
            if identity is not None:
                return identity
        found = self._finder.find(headers)
        if found is None:
            return self._nobody(auth)
        token, field = found
        if self._is_public(headers, token):
            return self._nobody(auth)
        try:
            entry = await self._entry(token, address)
        except TokenRefused as refused:
            if auth is AuthMode.OPTIONAL and self._is_forgiven(refused.flaw, field):
                return self.anonymous
            raise refusal(refused.flaw, field.lower()) from refused
        except KeysUnavailable as away:
            raise GatewayError(Reason.KEYS_UNAVAILABLE, retry_after_ms=max(1000, away.retry_after_ms)) from away
        identity = self._acting(entry, token, headers)
        return self._nobody(auth) if identity is self.anonymous else identity

    def key_may_use(self, identity: Identity, route: str) -> bool:
        """Whether the identity's gateway key, if it has one, is meant for this route."""
        return self._keys.key_may_use(identity, route)

    def fields_holding_keys(self, headers: Headers) -> tuple[bytes, ...]:
        """Lower-case names of the fields to take out because a gateway key is in them, on routes without auth too."""
        return self._keys.fields_holding_keys(headers)

    def is_gateway_key(self, value: str) -> bool:
        """Whether it is a gateway key, or looks like one: it must never reach an upstream."""
        return self._keys.is_key(value)

    def forwarded_fields(self, identity: Identity) -> list[tuple[bytes, bytes]]:
        """The fields that tell the upstream who calls: the same list each time, not to be changed."""
        fields: list[tuple[bytes, bytes]] | None = identity.memo.get(_FORWARDED)
        if fields is None:
            fields = identity.memo[_FORWARDED] = forwarding.forwarded_fields(self._policy, identity)
        return fields

    def _nobody(self, auth: AuthMode) -> Identity:
        if auth is AuthMode.REQUIRED:
            raise missing()
        return self.anonymous

    def _by_key(self, headers: Headers, address: str) -> Identity | None:
        try:
            presented = self._keys.find(headers)
        except GatewayError:
            self._take_attempt(counted_address(address))
            raise
        return None if presented is None else self._keys.identity(*presented, headers, self._clock.now_ms())

    def _is_public(self, headers: Headers, token: str) -> bool:
        return any(headers.get(name) == token for name in self._public)

    def _is_forgiven(self, flaw: Flaw, field: istr) -> bool:
        """An expired session in a cookie: the app's own middleware renews it, which a 401 would prevent."""
        return field is COOKIE and has_ended(flaw) and self._policy.expired_cookie is model.ExpiredCookie.ANONYMOUS

    async def _entry(self, token: str, address: str) -> TokenEntry:
        """The token's entry, verified now or before. Raises: TokenRefused, KeysUnavailable, GatewayError (429)."""
        if len(token) > MAX_TOKEN:
            raise TokenRefused(Flaw.TOO_LONG)
        now = self._clock.now_ms()
        entry = self._still_good(token, now)
        if entry is not None:
            return entry
        digest = hashlib.blake2b(token.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        known = self._refused.get(digest)
        if known is not None and now < known[1]:
            raise TokenRefused(known[0])
        taken_from = counted_address(address)
        self._take_attempt(taken_from)
        try:
            verified = await self._verifier.verify(token)
        except TokenRefused as refused:
            if refused.flaw not in PASSING:
                self._refused.put(digest, (refused.flaw, now + REFUSED_MS))
            raise
        except KeysUnavailable:
            self._attempts.give_back(taken_from)
            raise
        self._attempts.give_back(taken_from)
        # Another request may have verified the same token while this one waited: there is one entry for both.
        entry = self._still_good(token, now)
        if entry is None:
            entry = TokenEntry(verified, now)
            self._tokens.put(token, entry)
        return entry

    def _still_good(self, token: str, now_ms: int) -> TokenEntry | None:
        entry = self._tokens.get(token)
        if entry is None:
            return None
        entry.verified.keys.tend()
        if now_ms >= entry.verified.until_ms or not entry.verified.key.trusted:
            self._tokens.drop(token)
            return None
        entry.renew(now_ms)
        return entry

    def _take_attempt(self, address: str) -> None:
        wait = self._attempts.take(address, self._clock.now_ms())
        if wait:
            raise GatewayError(Reason.QUOTA_EXCEEDED, "Too many credentials that are not valid", retry_after_ms=wait)

    def _acting(self, entry: TokenEntry, token: str, headers: Headers) -> Identity:
        """The identity for the tenant that the request chooses. Raises: GatewayError (400, 403)."""
        values = headers.getall(self._tenant_header, [])
        chosen = (values[0] or None) if values else None
        if len(values) > 1 or (chosen is not None and not claim_rules.is_name(chosen)):
            raise GatewayError(
                Reason.BAD_TENANT, "The field must be sent once, with a tenant in it", field=self._policy.tenant_header
            )
        holding = tuple(name for name in self._watched if headers.get(name) == token)
        choice: Choice = (chosen, *holding) if holding else chosen
        identity = entry.identities.get(choice)
        if identity is None:
            identity = self._decide(entry.verified, token, headers, chosen)
            if len(entry.identities) >= MAX_CHOICES:
                entry.identities.clear()
            entry.identities[choice] = identity
        return identity

    def _decide(self, verified: Verified, token: str, headers: Headers, chosen: str | None) -> Identity:
        policy, claims = self._policy, verified.claims
        for rule in policy.refuse:
            if _matches(rule, verified, token, headers):
                raise GatewayError(Reason.CLAIMS_REFUSED)
        if any(_matches(rule, verified, token, headers) for rule in policy.anonymous_tokens):
            return self.anonymous
        facts = claim_rules.read(claims, verified.issuer, policy, self._tiers, chosen)
        return Identity(
            kind=IdentityKind.USER,
            tier=facts.tier,
            tenant=facts.tenant,
            issuer=verified.issuer.issuer,
            user=facts.user,
            claims=claim_rules.believed(claims),
            expires_ms=verified.expires_ms,
            feature=facts.feature,
            cost_centre=facts.cost_centre,
        )


_FORWARDED: Final = "forwarded"


def _matches(rule: model.ClaimRule, verified: Verified, token: str, headers: Headers) -> bool:
    """Whether all that a rule asks for holds; one that asks for nothing matches nothing."""
    if rule.equals_header is not None and headers.get(rule.equals_header) != token:
        return False
    return claim_rules.rule_matches(rule, verified.claims) if rule.claims else rule.equals_header is not None
