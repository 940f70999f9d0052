"""Requests, responses and stored answers in few words, for the tests of the standard."""

from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.cache.dates import format_date
from proxy.cache.entry import Stored, Terms
from proxy.cache.ranges import held
from proxy.cache.terms import Asked, NotStored, judge, keepable
from proxy.cache.vary import selecting_fields
from proxy.core.headers import RawHeaders, get_all
from proxy.policy.caching import CacheScope, Caching, Profile

NOW_MS = 1_760_000_000_000
S = 1000

RFC = Caching(CacheScope.PUBLIC, profile=Profile.RFC)
SAFE = Caching(CacheScope.PUBLIC)
TENANT = Caching(CacheScope.TENANT)
USER = Caching(CacheScope.USER)
RFC_USER = Caching(CacheScope.USER, profile=Profile.RFC)


def request(*fields: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(fields))


def fields(*lines: str, date: bool = True) -> RawHeaders:
    """From lines as they are written, with a Date of now unless one is there."""
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        headers.append((name.encode("latin-1"), value.strip(" ").encode("latin-1")))
    if date and not get_all(headers, b"date"):
        headers.append((b"Date", format_date(NOW_MS)))
    return headers


def at(offset_s: int) -> str:
    """A date so many seconds from now."""
    return format_date(NOW_MS + offset_s * S).decode()


def asked(*request_fields: tuple[str, str], method: str = "GET", **changes: Any) -> Asked:
    values = {"origin": "http://app.example", "target": "/a?b=1", **changes}
    return Asked(method=method, headers=request(*request_fields), **values)


def judged(
    headers: RawHeaders, caching: Caching = RFC, status: int = 200, by: Asked | None = None, delay_ms: int = 0
) -> Terms | NotStored:
    return judge(by or asked(), status, headers, NOW_MS - delay_ms, NOW_MS, caching)


def terms(headers: RawHeaders, caching: Caching = RFC, status: int = 200, by: Asked | None = None) -> Terms:
    found = judged(headers, caching, status, by)
    assert isinstance(found, Terms), found
    return found


def stored(
    headers: RawHeaders,
    body: bytes = b"0123456789",
    status: int = 200,
    *,
    caching: Caching = RFC,
    by: Asked | None = None,
    **changes: Any,
) -> Stored:
    """As the gateway would keep it."""
    by = by or asked()
    values = {
        "status": status,
        "reason": b"OK",
        "headers": keepable(headers, NOW_MS, caching),
        "body": body,
        "terms": terms(headers, caching, status, by),
        "key": b"key",
        "vary": selecting_fields(headers, by.headers, caching.profile),  # type: ignore[arg-type]
        "range": held(headers, len(body), caching.profile) if status == 206 else None,
        "etag": (get_all(headers, b"etag") or [b""])[0],
        "modified": (get_all(headers, b"last-modified") or [b""])[0],
        **changes,
    }
    return Stored(**values)
