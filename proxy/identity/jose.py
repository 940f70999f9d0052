"""The form of a signed token: JWS compact serialisation, read strictly (RFC 7515 §7.1, RFC 7519, RFC 8725). Pure.

Nothing here says that a token is genuine. What passes has exactly one spelling, so that its text can be a cache key:
base64url without padding and with zero last bits (RFC 4648 §3.5), each member named once.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

from proxy.identity import strictjson
from proxy.identity.flaws import Flaw, TokenRefused

MAX_TOKEN: Final = 8 * 1024  # characters
MAX_KID: Final = 256

# Extensions that change what the signature covers or how the payload is read (RFC 7515 §4.1.11, RFC 7797, RFC 7516).
_REFUSED_PARAMETERS: Final = frozenset({"crit", "b64", "zip", "enc"})
# RFC 8725 §3.11: a typed JWT of another kind (logout+jwt, dpop+jwt …) is no access token, whoever signed it.
_ACCESS_TYPES: Final = frozenset({"at+jwt", "application/at+jwt"})


@dataclass(frozen=True, slots=True)
class Parsed:
    """A token taken apart, nothing of it verified."""

    algorithm: str
    kid: str | None
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes


def decode_base64url(text: bytes) -> bytes:
    """The bytes of a canonical base64url text. Raises: ValueError for padding, other alphabets, or stray last bits."""
    try:
        raw = base64.b64decode(text + b"=" * (-len(text) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != text:
        raise ValueError("not canonical base64url")
    return raw


def parse(token: str) -> Parsed:
    """Take a token apart. Raises: TokenRefused."""
    if len(token) > MAX_TOKEN:
        raise TokenRefused(Flaw.TOO_LONG)
    dots = token.count(".")
    if dots != 2:
        raise TokenRefused(Flaw.ENCRYPTED if dots == 4 else Flaw.NOT_THREE_PARTS)
    try:
        signing_input, _, last = token.encode("ascii").rpartition(b".")
        first, _, middle = signing_input.partition(b".")
        header, payload, signature = decode_base64url(first), decode_base64url(middle), decode_base64url(last)
    except ValueError as error:
        raise TokenRefused(Flaw.NOT_BASE64URL) from error
    algorithm, kid = _read_header(_object(header))
    return Parsed(algorithm, kid, _object(payload), signing_input, signature)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        return strictjson.loads_object(raw)
    except strictjson.DuplicateMember as error:
        raise TokenRefused(Flaw.DUPLICATE_MEMBER) from error
    except strictjson.NotStrict as error:
        raise TokenRefused(Flaw.NOT_JSON) from error


def _read_header(header: dict[str, Any]) -> tuple[str, str | None]:
    """``alg`` and ``kid``. ``jku``, ``x5u``, ``jwk``, ``x5c`` are never read: a token does not bring its own key."""
    if not _REFUSED_PARAMETERS.isdisjoint(header):
        raise TokenRefused(Flaw.EXTENSION_REFUSED)
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise TokenRefused(Flaw.ALGORITHM_REFUSED)
    kid = header.get("kid")
    if "kid" in header and (not isinstance(kid, str) or len(kid) > MAX_KID):
        raise TokenRefused(Flaw.KID_NOT_TEXT)
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str):
        raise TokenRefused(Flaw.TYPE_REFUSED)
    kind = kind.lower()
    if kind.endswith("+jwt") and kind not in _ACCESS_TYPES:
        raise TokenRefused(Flaw.TYPE_REFUSED)
    return algorithm, kid
