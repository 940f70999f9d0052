"""What a stored response answers (RFC 9111 §4, §4.3.2; RFC 9110 §13 to §15)."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.answers import Answer, answer, for_downstream, private_for_downstream
from proxy.cache.entry import Stored
from proxy.cache.reuse import read_wish
from proxy.core.headers import get_all
from proxy.policy.caching import CacheScope, Downstream, TagFields
from tests.cache.standard import NOW_MS, RFC, TENANT, USER, S, fields, request, stored

BODY = b"0123456789A"


def kept(*lines: Any, **changes: Any) -> Stored:
    return stored(fields("Cache-Control: max-age=60", *lines), changes.pop("body", BODY), **changes)


def answered(response: Any, *headers: Any, method: Any = "GET", at_s: Any = 3) -> Answer:
    asked = request(*headers)
    wish = read_wish(method, asked, RFC, may_bypass=False)
    return answer(response, wish, method, asked, NOW_MS + at_s * S)


def test_a_plain_hit_is_the_stored_response() -> None:
    """Nothing is copied; the Age is what has passed, with what it came with."""
    response = kept("Age: 30", "A: 1")
    found = answered(response)
    assert found == Answer(200, b"OK", response.headers, 33, BODY, len(BODY), True)
    assert found.headers is response.headers
    assert found.body is response.body


def test_head() -> None:
    """The fields and the length, without the body."""
    found = answered(kept(), method="HEAD")
    assert (found.status, found.body, found.length, found.whole) == (200, b"", len(BODY), False)


def test_no_content_has_no_length() -> None:
    """RFC 9110 §8.6."""
    assert answered(kept(status=204, body=b"")).length is None


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_304_to_the_client(method: Any) -> None:
    """Validators and the rest, not what describes the content (RFC 9110 §15.4.5)."""
    response = kept(
        'ETag: "a"', "Vary: Foo", "Content-Location: /x", "Content-Type: a/b", "Content-Length: 11",
        "Content-Encoding: gzip", "Access-Control-Allow-Origin: *",
    )  # fmt: skip
    found = answered(response, ("If-None-Match", '"b", W/"a"'), method=method)
    assert (found.status, found.body, found.length, found.age_s, found.whole) == (304, b"", None, 3, False)
    names = [name for name, _ in found.headers]
    assert names == [
        b"Cache-Control", b"ETag", b"Vary", b"Content-Location", b"Access-Control-Allow-Origin", b"Date",
    ]  # fmt: skip


def test_a_condition_that_fails_is_answered_whole() -> None:
    """With the stored response."""
    assert answered(kept('ETag: "a"'), ("If-None-Match", '"b"')).whole


@pytest.mark.parametrize(
    ("value", "status", "body", "said"),
    [
        ("bytes=0-1", 206, b"01", b"bytes 0-1/11"),
        ("bytes=1-", 206, b"123456789A", b"bytes 1-10/11"),
        ("bytes=-1", 206, b"A", b"bytes 10-10/11"),
        ("bytes=-99", 206, BODY, b"bytes 0-10/11"),
        ("bytes=5-99", 206, b"56789A", b"bytes 5-10/11"),
        ("bytes=11-", 416, b"", b"bytes */11"),
        ("bytes=-0", 416, b"", b"bytes */11"),
        ("bytes=0-1, 3-4", 200, BODY, None),
        ("lines=0-1", 200, BODY, None),
    ],
)
def test_ranges_of_a_whole(value: Any, status: Any, body: Any, said: Any) -> None:
    """RFC 9110 §14.2, §15.5.17. Several at once are answered with all."""
    found = answered(kept("Content-Length: 11", "A: 1"), ("Range", value))
    assert (found.status, found.body, found.length) == (status, body, len(body))
    assert get_all(found.headers, b"content-range") == ([said] if said else [])
    assert get_all(found.headers, b"a") == [b"1"]
    assert (get_all(found.headers, b"content-length") == []) is (status != 200)


@pytest.mark.parametrize(
    ("value", "body"), [("bytes=-5", b"01234"), ("bytes=6-8", b"234"), ("bytes=6-", b"234"), ("bytes=-1", b"4")]
)
def test_ranges_of_a_part(value: Any, body: Any) -> None:
    """Out of what is held; here by a sender whose words and body do not agree."""
    part = kept("Content-Range: bytes 4-9/10", status=206, body=b"01234")
    found = answered(part, ("Range", value))
    assert (found.status, found.body) == (206, body)
    assert len(get_all(found.headers, b"content-range")) == 1


def test_if_range() -> None:
    """Another representation is answered whole (RFC 9110 §13.1.5)."""
    response = kept('ETag: "a"')
    assert answered(response, ("Range", "bytes=0-1"), ("If-Range", '"a"')).status == 206
    assert answered(response, ("Range", "bytes=0-1"), ("If-Range", '"b"')).status == 200
    assert answered(response, ("Range", "bytes=0-1"), ("If-None-Match", '"a"')).status == 304


@pytest.mark.parametrize("headers", [[("Range", "bytes=0-1")], [("If-None-Match", '"a"')], [("If-None-Match", "*")]])
def test_what_did_not_succeed_is_answered_as_it_is(headers: Any) -> None:
    """Neither ranges nor conditions (RFC 9110 §13.2.1, §14.2)."""
    assert answered(kept('ETag: "a"', status=404), *headers).status == 404


@given(st.integers(0, 15), st.integers(0, 15))
def test_any_range_is_the_bodys(first: Any, last: Any) -> None:
    """Exactly these bytes, or none."""
    found = answered(kept(), ("Range", f"bytes={first}-{last}"))
    if found.status == 206:
        assert found.body == BODY[first : last + 1]
    else:
        assert (found.status, found.body) in ((416, b""), (200, BODY))
        assert first >= len(BODY) or last < first


# --- downstream --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "written"),
    [
        ([], b"private"),
        (["Cache-Control: public, max-age=60"], b"private, max-age=60"),
        (["Cache-Control: s-maxage=60, max-age=5", "Cache-Control: proxy-revalidate"], b"private, max-age=5"),
        (["Cache-Control: no-store"], b"private, no-store"),
        (['Cache-Control: no-cache="a, b", private="c"'], b'private, no-cache="a, b"'),
        (["Cache-Control: max-age=x y"], b'private, max-age=""'),
        ([r'Cache-Control: a="\"\\"'], rb'private, a="\"\\"'),
        (["CDN-Cache-Control: max-age=60", "Surrogate-Control: max-age=60", "Cache-Control: a=b"], b"private, a=b"),
        (["Cloudflare-CDN-Cache-Control: max-age=60", "Edge-Control: max-age=60", "X-Accel-Expires: 60"], b"private"),
    ],
)
def test_what_caches_behind_the_gateway_are_told(lines: Any, written: Any) -> None:
    """Nothing that a shared cache would take for leave (RFC 9111 §5.2.2.7)."""
    found = private_for_downstream(fields("A: 1", *lines))
    assert [name for name, _ in found] == [b"A", b"Date", b"Cache-Control"]
    assert get_all(found, b"cache-control") == [written]


def test_fields_as_they_leave() -> None:
    """By scope and policy."""
    headers = fields("Cache-Control: public", "Cache-Tag: x", "Surrogate-Key: y")
    assert for_downstream(headers, RFC) is headers
    assert for_downstream(headers, replace(TENANT, downstream=Downstream.AS_IS)) is headers
    for caching in (TENANT, USER):
        assert get_all(for_downstream(headers, caching), b"cache-control") == [b"private"]
    stripped = for_downstream(headers, replace(RFC, tag_fields=TagFields.STRIP))
    assert [name for name, _ in stripped] == [b"Cache-Control", b"Date"]
    assert RFC.scope is CacheScope.PUBLIC
