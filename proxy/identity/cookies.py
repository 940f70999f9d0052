"""The token in a cookie: a JWT as it is, or a session as Supabase's clients write it. Pure.

A session is JSON (URL-encoded, or ``base64-`` and base64url), an object with ``access_token`` or a list whose first
item is the token; where it is too long for one cookie it goes on in ``name.0``, ``name.1`` … What holds no token is no
credential, never an error: an app clears its cookies in many ways.
"""

import base64
import binascii
import json
import re
from typing import Any, Final
from urllib.parse import unquote

MAX_CHUNKS: Final = 10
MAX_TOTAL: Final = 64 * 1024
_BASE64: Final = "base64-"
_CHUNK = re.compile(r"(.+)\.([0-9])")


def compile_name(pattern: str) -> re.Pattern[str]:
    """A cookie's name; ``*`` stands for any characters."""
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")))


def find_token(header: str, name: re.Pattern[str]) -> str | None:
    """The token in the first cookie of that name that holds one; ``header`` is the Cookie field (RFC 6265 §5.4)."""
    if len(header) > MAX_TOTAL:
        return None
    whole: dict[str, str] = {}
    chunks: dict[str, dict[int, str]] = {}
    for pair in header.split(";"):
        key, equals, value = pair.strip(" \t").partition("=")
        if not equals:
            continue
        value = value.strip(' \t"')
        if name.fullmatch(key):
            whole.setdefault(key, value)  # the most specific path comes first
        elif (part := _CHUNK.fullmatch(key)) and name.fullmatch(part[1]):
            chunks.setdefault(part[1], {}).setdefault(int(part[2]), value)
    for base, parts in chunks.items():
        whole.setdefault(base, _joined(parts))
    for value in whole.values():
        token = read_session(value)
        if token is not None:
            return token
    return None


def _joined(parts: dict[int, str]) -> str:
    """The chunks from 0 on, up to the first that is missing: later ones are left from a longer session."""
    text = ""
    for index in range(MAX_CHUNKS):
        if index not in parts:
            break
        text += parts[index]
    return text


def read_session(value: str) -> str | None:
    """The token in a cookie's whole value."""
    if _is_jwt(value):
        return value
    text = unquote(value) if "%" in value else value
    if text.startswith(_BASE64):
        body = text[len(_BASE64) :].rstrip("=")
        try:
            text = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()
        except (binascii.Error, ValueError):
            return None
    try:
        session: Any = json.loads(text) if text[:1] in ("{", "[", '"') else text
    except (ValueError, RecursionError):
        return None
    if isinstance(session, dict):
        session = session.get("access_token")
    elif isinstance(session, list):
        session = session[0] if session else None
    return session if isinstance(session, str) and _is_jwt(session) else None


def _is_jwt(text: str) -> bool:
    """Whether it looks like one: the header of a JWS is a JSON object, so its base64url begins with ``ey``."""
    return text.startswith("ey") and text.count(".") in (2, 4)
