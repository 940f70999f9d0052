"""Cross-origin answers: preflights before identity, and the fields that let a page read our own errors too.

Pure. Source: the Fetch standard, "CORS protocol".
"""

import re
from functools import lru_cache

from proxy.policy.model import Cors


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


def _origin_fields(cors: Cors, origin: str) -> list[bytes]:
    # "*" is not allowed with credentials, and an echoed origin must vary.
    if "*" in cors.origins and not cors.credentials:
        return [b"Access-Control-Allow-Origin: *\r\n"]
    lines = [b"Access-Control-Allow-Origin: %s\r\n" % origin.encode("latin-1", "replace"), b"Vary: Origin\r\n"]
    if cors.credentials:
        lines.append(b"Access-Control-Allow-Credentials: true\r\n")
    return lines


def answer_fields(cors: Cors, origin: str | None) -> bytes:
    """Lines for any answer to a cross-origin request; empty where the origin is not allowed."""
    if not origin:
        return b""
    if not allows(cors, origin):
        return b"Vary: Origin\r\n"
    lines = _origin_fields(cors, origin)
    if cors.expose:
        lines.append(b"Access-Control-Expose-Headers: %s\r\n" % ", ".join(cors.expose).encode())
    return b"".join(lines)


def preflight_fields(cors: Cors, origin: str, asked_headers: str) -> bytes:
    """Lines of a preflight's answer; a refused origin gets none that allow."""
    if not allows(cors, origin):
        return b"Vary: Origin\r\n"
    lines = _origin_fields(cors, origin)
    lines.append(b"Access-Control-Allow-Methods: %s\r\n" % ", ".join(cors.methods).encode())
    headers = ", ".join(cors.headers) or asked_headers
    if headers:
        lines.append(b"Access-Control-Allow-Headers: %s\r\n" % headers.encode("latin-1", "replace"))
    lines.append(b"Access-Control-Max-Age: %d\r\n" % cors.max_age_s)
    return b"".join(lines)
