"""Whether a token is genuine and in force: its issuer, its key, its signature and its times (RFC 7519 §4.1, RFC 8725).

``check_claims`` is pure; ``TokenVerifier.verify`` waits only where an issuer's keys have to be fetched first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.core.clock import Clock
from proxy.identity import jose
from proxy.identity.flaws import Flaw, TokenRefused
from proxy.identity.jwks import IssuerKeys, KeySets
from proxy.identity.keys import ALGORITHMS, BadKey, Key
from proxy.policy import model

# The end of the year 9999. What is later is no time in seconds: most often milliseconds, by mistake.
MAX_SECONDS: Final = 253_402_300_799


@dataclass(frozen=True, slots=True)
class Verified:
    """A genuine token. Times are epoch milliseconds: ``expires_ms`` is its exp, ``until_ms`` when it is refused."""

    issuer: model.Issuer
    keys: IssuerKeys
    key: Key
    claims: Mapping[str, Any]
    expires_ms: int
    until_ms: int


class TokenVerifier:
    """Verifies tokens of the policy's issuers."""

    def __init__(self, issuers: tuple[model.Issuer, ...], clock: Clock, keysets: KeySets) -> None:
        """Raises: BadKey for an issuer whose keys must not be used, or that is there twice."""
        self._clock = clock
        self._issuers: dict[str, tuple[model.Issuer, IssuerKeys]] = {}
        for issuer in issuers:
            if issuer.issuer in self._issuers:
                raise BadKey(f"issuer {issuer.issuer} is there twice; a token must belong to one")
            self._issuers[issuer.issuer] = (issuer, keysets.of(issuer))

    async def verify(self, token: str) -> Verified:
        """Raises: TokenRefused; KeysUnavailable where the issuer's keys are not to be had."""
        parsed = jose.parse(token)
        if parsed.algorithm not in ALGORITHMS:
            raise TokenRefused(Flaw.ALGORITHM_REFUSED)
        named = parsed.claims.get("iss")
        found = self._issuers.get(named) if isinstance(named, str) else None
        if found is None:
            raise TokenRefused(Flaw.ISSUER_UNKNOWN)
        issuer, keys = found
        if issuer.algorithms and parsed.algorithm not in issuer.algorithms:
            raise TokenRefused(Flaw.ALGORITHM_REFUSED)
        # Times come before the signature: they cost less, and an unsigned token learns nothing from them.
        expires_ms, until_ms = check_claims(parsed.claims, issuer, self._clock.now_ms())
        keys.tend()
        key = await self._verifying_key(parsed, keys)
        return Verified(issuer, keys, key, parsed.claims, expires_ms, until_ms)

    async def _verifying_key(self, parsed: jose.Parsed, keys: IssuerKeys) -> Key:
        key = _first_that_verifies(parsed, keys)
        if key is None and _may_be_new(parsed, keys) and await keys.renew(parsed.algorithm):
            key = _first_that_verifies(parsed, keys)
        if key is None:
            raise TokenRefused(Flaw.KEY_UNKNOWN if _may_be_new(parsed, keys) else Flaw.SIGNATURE_WRONG)
        return key


def _may_be_new(parsed: jose.Parsed, keys: IssuerKeys) -> bool:
    """Whether the issuer may have a key for this token that is not loaded yet; not if it is there and does not fit."""
    return bool(keys.sources) and (parsed.kid is None or not keys.knows(parsed.kid))


def _first_that_verifies(parsed: jose.Parsed, keys: IssuerKeys) -> Key | None:
    for key in keys.fitting(parsed.kid, parsed.algorithm):
        if key.verifies(parsed.algorithm, parsed.signing_input, parsed.signature):
            return key
    return None


def check_claims(claims: Mapping[str, Any], issuer: model.Issuer, now_ms: int) -> tuple[int, int]:
    """When the token ends: its exp, and when it is first refused (later by the leeway, or sooner for its age).

    Raises: TokenRefused where a time or the audience does not fit. All in epoch milliseconds.
    """
    expires_ms = _time_ms(claims, "exp", Flaw.EXP_BAD)
    if expires_ms is None:
        raise TokenRefused(Flaw.EXP_MISSING)
    not_before_ms = _time_ms(claims, "nbf", Flaw.NBF_BAD)
    issued_ms = _time_ms(claims, "iat", Flaw.IAT_BAD)
    if issuer.audiences and not _is_meant(claims.get("aud"), issuer.audiences):
        raise TokenRefused(Flaw.AUDIENCE_REFUSED)
    until_ms = expires_ms + issuer.leeway_ms
    if now_ms >= until_ms:
        raise TokenRefused(Flaw.EXPIRED)
    if not_before_ms is not None and now_ms + issuer.leeway_ms < not_before_ms:
        raise TokenRefused(Flaw.NOT_YET_VALID)
    if issued_ms is not None and now_ms + issuer.leeway_ms < issued_ms:
        raise TokenRefused(Flaw.ISSUED_IN_FUTURE)
    if issuer.max_age_ms is not None:
        if issued_ms is None:
            raise TokenRefused(Flaw.IAT_MISSING)
        until_ms = min(until_ms, issued_ms + issuer.max_age_ms + issuer.leeway_ms)
        if now_ms >= until_ms:
            raise TokenRefused(Flaw.TOO_OLD)
    return expires_ms, until_ms


def _time_ms(claims: Mapping[str, Any], name: str, flaw: Flaw) -> int | None:
    """A NumericDate in milliseconds, None where it is missing. A bool is an int in Python, but no time."""
    if name not in claims:
        return None
    value = claims[name]
    if type(value) is not int and type(value) is not float:
        raise TokenRefused(flaw)
    if not 0 <= value <= MAX_SECONDS:  # NaN neither
        raise TokenRefused(flaw)
    return int(value * 1000)


def _is_meant(audience: Any, accepted: tuple[str, ...]) -> bool:
    """Whether ``aud``, a string or a list of strings, names one of ours (RFC 7519 §4.1.3)."""
    if isinstance(audience, str):
        return audience in accepted
    if not isinstance(audience, list) or not all(isinstance(name, str) for name in audience):
        return False
    return any(name in accepted for name in audience)
