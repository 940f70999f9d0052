"""What can be wrong with a token, and what the client is told of it. Never holds any of the token's text."""

from enum import StrEnum
from typing import Final

from proxy.core.errors import GatewayError, Reason


class Flaw(StrEnum):
    TOO_LONG = "too_long"
    ENCRYPTED = "encrypted"
    NOT_THREE_PARTS = "not_three_parts"
    NOT_BASE64URL = "not_base64url"
    NOT_JSON = "not_json"
    DUPLICATE_MEMBER = "duplicate_member"
    ALGORITHM_REFUSED = "algorithm_refused"
    EXTENSION_REFUSED = "extension_refused"
    KID_NOT_TEXT = "kid_not_text"
    TYPE_REFUSED = "type_refused"
    ISSUER_UNKNOWN = "issuer_unknown"
    KEY_UNKNOWN = "key_unknown"
    SIGNATURE_WRONG = "signature_wrong"
    AUDIENCE_REFUSED = "audience_refused"
    EXP_MISSING = "exp_missing"
    EXP_BAD = "exp_bad"
    NBF_BAD = "nbf_bad"
    IAT_BAD = "iat_bad"
    IAT_MISSING = "iat_missing"
    EXPIRED = "expired"
    TOO_OLD = "too_old"
    NOT_YET_VALID = "not_yet_valid"
    ISSUED_IN_FUTURE = "issued_in_future"


# What the client is told, and the claim or header parameter at fault (None: the field that held the token).
FLAWS: Final[dict[Flaw, tuple[str, str | None]]] = {
    Flaw.TOO_LONG: ("The token is longer than 8 KiB", None),
    Flaw.ENCRYPTED: ("Encrypted tokens (JWE) are not accepted", None),
    Flaw.NOT_THREE_PARTS: ("The token is not a JWT", None),
    Flaw.NOT_BASE64URL: ("The token is not canonical base64url", None),
    Flaw.NOT_JSON: ("The token does not hold JSON objects", None),
    Flaw.DUPLICATE_MEMBER: ("The token names a member twice", None),
    Flaw.ALGORITHM_REFUSED: ("The token's algorithm is not accepted", "alg"),
    Flaw.EXTENSION_REFUSED: ("The token uses crit, b64, zip or enc", None),
    Flaw.KID_NOT_TEXT: ("The token's key id is not a short string", "kid"),
    Flaw.TYPE_REFUSED: ("The token is of a type that is not for access", "typ"),
    Flaw.ISSUER_UNKNOWN: ("The token's issuer is not accepted", "iss"),
    Flaw.KEY_UNKNOWN: ("The issuer does not publish the token's key", "kid"),
    Flaw.SIGNATURE_WRONG: ("The token's signature is wrong", None),
    Flaw.AUDIENCE_REFUSED: ("The token is not meant for this service", "aud"),
    Flaw.EXP_MISSING: ("The token does not say when it ends", "exp"),
    Flaw.EXP_BAD: ("The token's exp is not a time in seconds", "exp"),
    Flaw.NBF_BAD: ("The token's nbf is not a time in seconds", "nbf"),
    Flaw.IAT_BAD: ("The token's iat is not a time in seconds", "iat"),
    Flaw.IAT_MISSING: ("The token does not say when it was issued", "iat"),
    Flaw.EXPIRED: ("The token has expired", "exp"),
    Flaw.TOO_OLD: ("The token was issued too long ago", "iat"),
    Flaw.NOT_YET_VALID: ("The token is not valid yet", "nbf"),
    Flaw.ISSUED_IN_FUTURE: ("The token was issued in the future", "iat"),
}

# Flaws that time or the issuer's next key set can mend: the same token may be good a moment later.
PASSING: Final = frozenset({Flaw.NOT_YET_VALID, Flaw.ISSUED_IN_FUTURE, Flaw.KEY_UNKNOWN})
_ENDED: Final = frozenset({Flaw.EXPIRED, Flaw.TOO_OLD})


class TokenRefused(Exception):
    """A token is not valid; ``flaw`` says why."""

    __slots__ = ("flaw",)

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.value)
        self.flaw = flaw


def has_ended(flaw: Flaw) -> bool:
    """Whether the token was good once and only its time is over."""
    return flaw in _ENDED


def refusal(flaw: Flaw, field: str) -> GatewayError:
    """The 401 for a flaw of the token in the header ``field``."""
    detail, member = FLAWS[flaw]
    reason = Reason.TOKEN_EXPIRED if flaw in _ENDED else Reason.TOKEN_INVALID
    return GatewayError(reason, detail, field=member or field, headers=challenge("invalid_token", detail))


def missing(detail: str = "") -> GatewayError:
    """The 401 for a request without a credential: it carries no error code (RFC 6750 §3.1)."""
    return GatewayError(Reason.TOKEN_MISSING, detail, field="authorization", headers=_PLAIN_CHALLENGE)


def challenge(error: str, description: str) -> tuple[tuple[bytes, bytes], ...]:
    """WWW-Authenticate (RFC 6750 §3). ``description`` is ours, so it needs no quoting."""
    value = f'Bearer error="{error}", error_description="{description}"'
    return ((b"WWW-Authenticate", value.encode("ascii")),)


# RFC 6750 §3 wants at least one parameter after the scheme.
_PLAIN_CHALLENGE: Final = ((b"WWW-Authenticate", b'Bearer realm="sluicegate"'),)
