"""Where in a request the credential is: the Authorization field, another field, or a cookie. Pure but for its memory.

A field that is there twice is ambiguous, and what two readers could read differently is refused (RFC 9110 §5.3).
"""

import re
from collections.abc import Iterable
from typing import Final

from multidict import CIMultiDictProxy, istr

from proxy.core.errors import GatewayError, Reason
from proxy.identity import cookies
from proxy.identity.bounded import BoundedMap
from proxy.identity.flaws import challenge
from proxy.policy import model

Headers = CIMultiDictProxy[str]

AUTHORIZATION: Final = istr("Authorization")
COOKIE: Final = istr("Cookie")

_REMEMBERED: Final = 4096  # Cookie fields and the tokens found in them
_REMEMBERED_CHARS: Final = 8 * 2**20


def bearer(value: str) -> str | None:
    """What follows the Bearer scheme (RFC 6750 §2.1), None for another scheme."""
    if value.startswith("Bearer ") or value[:7].lower() == "bearer ":
        return value[7:].strip(" \t")
    return "" if value.lower() == "bearer" else None


def doubled(name: str) -> GatewayError:
    """The 400 for a credential's field that is there twice (RFC 6750 §3.1)."""
    detail = "The field may be sent once"
    return GatewayError(Reason.MALFORMED, detail, field=name.lower(), headers=challenge("invalid_request", detail))


class TokenFinder:
    """Finds the token by the policy's list of sources, the first that has one."""

    def __init__(self, sources: Iterable[model.TokenSource]) -> None:
        self._sources: list[tuple[istr, re.Pattern[str] | None]] = []
        self._cookies: dict[re.Pattern[str], BoundedMap[str | None]] = {}
        for source in sources:
            if source.cookie is not None:
                name = cookies.compile_name(source.cookie)
                self._sources.append((COOKIE, name))
                self._cookies[name] = BoundedMap(_REMEMBERED, _REMEMBERED_CHARS)
            elif source.header is not None:
                bare = source.header.lower() != "authorization"
                self._sources.append((istr(source.header) if bare else AUTHORIZATION, None))

    def find(self, headers: Headers) -> tuple[str, istr] | None:
        """The token and the field that holds it. Raises: GatewayError (400) where that field is there twice."""
        for field, cookie in self._sources:
            values = headers.getall(field, None)
            if values is None:
                continue
            if cookie is not None:
                token = self._in_cookie(values, cookie)
            else:
                if len(values) > 1:
                    raise doubled(field)
                token = bearer(values[0])
                if token is None and field is not AUTHORIZATION:
                    token = values[0]
            if token is not None:
                return token, field
        return None

    def _in_cookie(self, values: list[str], name: re.Pattern[str]) -> str | None:
        # HTTP/2 to 1.1 translation may leave several Cookie fields (RFC 9113 §8.2.3).
        header = values[0] if len(values) == 1 else "; ".join(values)
        remembered = self._cookies[name]
        token = remembered.get(header, _UNSEEN)
        if token is _UNSEEN:
            token = cookies.find_token(header, name)
            remembered.put(header, token)
        return token


_UNSEEN: Final = "?"  # never a token
