"""Cross-origin answers: preflights before identity, and the fields that let a page read our own errors too.

Pure. Source: the Fetch standard, "CORS protocol".
"""

import re
from functools import lru_cache
from typing import Final

from proxy.policy.model import Cors

Fields = list[tuple[bytes, bytes]]

# What answer_fields decides, in lower case.
ANSWER_FIELDS: Final = frozenset(
    {b"access-control-allow-origin", b"access-control-allow-credentials", b"access-control-expose-headers"}
)
_VARY: Final = (b"Vary", b"Origin")


@lru_cache(maxsize=256)
def _patterns(origins: tuple[str, ...]) -> re.Pattern[str]:
    # A star stands for one or more labels, never for a scheme or a port.
    return re.compile(
        "|".join(re.escape(origin).replace(r"\*", r"[A-Za-z0-9.-]+") for origin in origins), re.IGNORECASE
    )


def allows(cors: Cors, origin: str) -> bool:
    if "*" in cors.origins:
        return True
    return _patterns(cors.origins).fullmatch(origin) is not None


def _origin_fields(cors: Cors, origin: str) -> Fields:
    # "*" is not allowed with credentials, and an echoed origin must vary.
    if "*" in cors.origins and not cors.credentials:
        return [(b"Access-Control-Allow-Origin", b"*")]
    fields = [(b"Access-Control-Allow-Origin", origin.encode("latin-1", "replace")), _VARY]
    if cors.credentials:
        fields.append((b"Access-Control-Allow-Credentials", b"true"))
    return fields


def answer_fields(cors: Cors, origin: str | None) -> Fields:
    """Fields for any answer to a cross-origin request; none that allow where the origin is not allowed."""
    if not origin:
        return []
    if not allows(cors, origin):
        return [_VARY]
    fields = _origin_fields(cors, origin)
    if cors.expose:
        fields.append((b"Access-Control-Expose-Headers", ", ".join(cors.expose).encode()))
    return fields


def preflight_fields(cors: Cors, origin: str, asked_headers: str) -> Fields:
    """Fields of a preflight's answer; none that allow where the origin is not allowed."""
    if not allows(cors, origin):
        return [_VARY]
    fields = _origin_fields(cors, origin)
    fields.append((b"Access-Control-Allow-Methods", ", ".join(cors.methods).encode()))
    headers = ", ".join(cors.headers) or asked_headers
    if headers:
        fields.append((b"Access-Control-Allow-Headers", headers.encode("latin-1", "replace")))
    fields.append((b"Access-Control-Max-Age", b"%d" % cors.max_age_s))
    return fields
