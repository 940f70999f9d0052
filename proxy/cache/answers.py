"""The answer that a stored response gives: whole, a part of it, none of it (RFC 9111 §4.3.2, RFC 9110 §13 to §15).

Pure, never raises. Of a plain hit nothing is copied: the fields are the stored list itself.
"""

from typing import Final, NamedTuple

from multidict import CIMultiDictProxy

from proxy.cache.conditions import not_modified, range_applies
from proxy.cache.directives import parse
from proxy.cache.entry import Stored
from proxy.cache.ranges import content_range_field, resolve, within
from proxy.cache.reuse import PLAIN, Wish
from proxy.core.headers import RawHeaders, get_all
from proxy.policy.caching import CacheScope, Caching, Downstream, TagFields

Headers = CIMultiDictProxy[str]

_OK: Final = 200
_NO_CONTENT: Final = 204
_PARTIAL: Final = 206
_NOT_MODIFIED: Final = 304
_UNSATISFIABLE: Final = 416
# What describes the content goes where the content goes (RFC 9110 §15.4.5); validators and the rest go with a 304 too.
_OF_CONTENT: Final = frozenset(
    {
        b"content-length",
        b"content-type",
        b"content-encoding",
        b"content-language",
        b"content-range",
        b"content-md5",
        b"content-digest",
        b"repr-digest",
        b"digest",
        b"accept-ranges",
    }
)
_OF_ONE_PART: Final = frozenset({b"content-length", b"content-range", b"content-md5", b"content-digest"})
_FOR_SHARED: Final = frozenset({b"public", b"s-maxage", b"proxy-revalidate", b"private"})
# What caches of other makes put before Cache-Control, beside all that end in -cache-control (RFC 9213 §2.1).
_TARGETED: Final = frozenset({b"surrogate-control", b"edge-control", b"x-accel-expires"})
_TAGS: Final = frozenset({b"cache-tag", b"surrogate-key"})


class Answer(NamedTuple):
    """``headers`` lack Age and what the gateway adds. ``length`` is for Content-Length; None: the field is left out.

    ``whole``: status, fields and body are the stored ones, so that what was made of them for one hit serves the next.
    """

    status: int
    reason: bytes
    headers: RawHeaders
    age_s: int
    body: bytes
    length: int | None
    whole: bool


def answer(stored: Stored, wish: Wish, method: str, headers: Headers, now_ms: int) -> Answer:
    """What a response that may be used says to this request. The caller has asked ``reuse`` first, or has just
    fetched or validated it.
    """
    age_s = stored.terms.age_ms(now_ms) // 1000
    if wish is not PLAIN:
        if wish.conditional and not_modified(stored, headers, now_ms):
            return Answer(_NOT_MODIFIED, b"Not Modified", _less(stored.headers, _OF_CONTENT), age_s, b"", None, False)
        if wish.range is not None and stored.status in (_OK, _PARTIAL) and range_applies(stored, wish.if_range, now_ms):
            return _part(stored, wish, age_s)
    size = None if stored.status == _NO_CONTENT else len(stored.body)
    if method == "HEAD":
        return Answer(stored.status, stored.reason, stored.headers, age_s, b"", size, False)
    return Answer(stored.status, stored.reason, stored.headers, age_s, stored.body, size, True)


def for_downstream(headers: RawHeaders, caching: Caching) -> RawHeaders:
    """Fields as they leave the gateway: what is not public is marked so, tags go where the policy strips them."""
    if caching.scope is not CacheScope.PUBLIC and caching.downstream is Downstream.PRIVATE:
        headers = private_for_downstream(headers)
    if caching.tag_fields is TagFields.STRIP:
        headers = _less(headers, _TAGS)
    return headers


def private_for_downstream(headers: RawHeaders) -> RawHeaders:
    """With Cache-Control: private, so that no shared cache behind the gateway keeps it for others (RFC 9111 §5.2.2.7).

    What speaks to shared caches is taken out, targeted fields too (RFC 9213); all else stays as the app said it.
    """
    kept = []
    for name, argument in parse(get_all(headers, b"cache-control")).items():
        if name not in _FOR_SHARED:
            kept.append(name if argument is None else name + b"=" + _written(argument))
    less = [field for field in headers if not _speaks_to_caches(field[0].lower())]
    return [*less, (b"Cache-Control", b", ".join([b"private", *kept]))]


def _speaks_to_caches(name: bytes) -> bool:
    return name == b"cache-control" or name.endswith(b"-cache-control") or name in _TARGETED


def _part(stored: Stored, wish: Wish, age_s: int) -> Answer:
    """Its range of what is held; 416 where the whole is held and has no such part."""
    asked = wish.range
    assert asked is not None
    length = len(stored.body) if stored.range is None else stored.range[2]
    wanted = resolve(asked, length) if stored.range is None else within(stored.range, asked)
    if wanted is None:
        return Answer(
            _UNSATISFIABLE,
            b"Range Not Satisfiable",
            [(b"Content-Range", b"bytes */%d" % length), *_less(stored.headers, _OF_CONTENT)],
            age_s,
            b"",
            0,
            False,
        )
    first, last = wanted
    start = 0 if stored.range is None else stored.range[0]
    body = stored.body[first - start : last + 1 - start]
    fields = [*_less(stored.headers, _OF_ONE_PART), (b"Content-Range", content_range_field((first, last, length)))]
    return Answer(_PARTIAL, b"Partial Content", fields, age_s, body, len(body), False)


def _less(headers: RawHeaders, dropped: frozenset[bytes]) -> RawHeaders:
    return [field for field in headers if field[0].lower() not in dropped]


def _written(argument: bytes) -> bytes:
    """An argument as a token where it is one, else quoted."""
    if argument and not argument.translate(None, b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_."):
        return argument
    return b'"' + argument.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
