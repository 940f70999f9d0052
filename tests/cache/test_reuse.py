"""What a request asks of the cache, and what may answer it (RFC 9111 §4, §5.2.1; RFC 5861)."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.entry import FOREVER_MS, Stored
from proxy.cache.ranges import Range
from proxy.cache.reuse import (
    NO_FETCH,
    NO_READ,
    PLAIN,
    Failure,
    Use,
    Wish,
    early,
    outranked,
    read_wish,
    reuse,
    serves_on_error,
)
from proxy.policy.caching import Profile
from tests.cache.standard import NOW_MS, RFC, SAFE, S, fields, request, stored


def wish(*headers: Any, method: Any = "GET", caching: Any = RFC, may_bypass: Any = False) -> Wish:
    return read_wish(method, request(*headers), caching, may_bypass=may_bypass)


def cc(value: Any, caching: Any = RFC, *, may_bypass: Any = False) -> Wish:
    return wish(("Cache-Control", value), caching=caching, may_bypass=may_bypass)


def kept(directives: Any, *more: Any, **changes: Any) -> Stored:
    return stored(fields(f"Cache-Control: {directives}", 'ETag: "a"', *more), **changes)


def after(seconds: Any) -> int:
    return NOW_MS + int(seconds * S)


# --- the request -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Accept", "*/*"), ("Cookie", "a=b"), ("Content-Length", "0")],
        [("Cache-Control", "nothing-known")],
        [("Pragma", "no-cache")],  # §5.4: deprecated
        [("Cache-Control", "max-age=x, min-fresh=y, max-stale=z")],
        [("Range", "lines=1-2")],
        [("Range", "bytes=0-1, 4-5")],
        [("Range", "bytes=5-2")],
    ],
)
def test_a_plain_request(headers: Any) -> None:
    """One object for nearly all, in both profiles; unknown words are ignored."""
    assert wish(*headers) is PLAIN
    assert wish(*headers, caching=SAFE) is PLAIN
    assert wish(*headers, method="HEAD") is PLAIN


@pytest.mark.parametrize("field", [("If-Match", "*"), ("If-Unmodified-Since", "x"), ("Content-Length", "1")])
def test_who_wants_nothing_fetched_wants_it_also_where_nothing_stored_answers(field: Any) -> None:
    assert wish(field) is NO_READ
    for caching in (RFC, SAFE):
        assert wish(field, ("Cache-Control", "only-if-cached"), caching=caching) is NO_FETCH
    assert wish(field, ("Cache-Control", "only-if-cached"), method="POST") is NO_READ


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "get", "M-SEARCH", "QUERY"])
def test_methods_that_nothing_stored_answers(method: Any) -> None:
    """§4: only what a GET stored, for GET and HEAD."""
    assert wish(method=method) is NO_READ


@pytest.mark.parametrize(
    "field",
    [("If-Match", "*"), ("If-Unmodified-Since", "x"), ("Transfer-Encoding", "chunked"), ("Content-Length", "5")],
)
def test_what_only_the_origin_can_judge(field: Any) -> None:
    """Conditions on its state (RFC 9110 §13.1.1), and contents that no key holds."""
    assert wish(field) is NO_READ


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("no-cache", Wish(reads=True, no_cache=True)),
        ("No-Store", Wish(reads=True, stores=False)),
        ("only-if-cached", Wish(reads=True, only_if_cached=True)),
        ("max-age=5", Wish(reads=True, max_age_ms=5000)),
        ("max-age=0, min-fresh=3", Wish(reads=True, max_age_ms=0, min_fresh_ms=3000)),
        ("max-stale=7", Wish(reads=True, max_stale_ms=7000)),
        ("max-stale", Wish(reads=True, max_stale_ms=FOREVER_MS)),
        ("x" * 200 + ", no-cache", Wish(reads=True, no_cache=True)),
    ],
)
def test_directives_by_the_letter(value: Any, expected: Any) -> None:
    """§5.2.1."""
    assert cc(value) == expected


@pytest.mark.parametrize("value", ["no-cache", "max-age=0", "min-fresh=9", "max-stale"])
def test_a_client_cannot_make_the_safe_profile_fetch(value: Any) -> None:
    """But for callers who may bypass; and whose answer must not be stored, or may not be fetched, is heard."""
    assert cc(value, SAFE) is PLAIN
    assert cc("no-cache", SAFE, may_bypass=True) == Wish(reads=True, no_cache=True)
    assert cc("no-store", SAFE) == Wish(reads=True, stores=False)
    assert cc("only-if-cached, max-age=0", SAFE) == Wish(reads=True, only_if_cached=True)


def test_ranges_and_conditions() -> None:
    """They are read beside the directives; a Range only with GET (RFC 9110 §14.2)."""
    found = wish(("Range", "bytes=1-"), ("If-Range", '"a"'), ("If-None-Match", '"a"'), ("Cache-Control", "no-cache"))
    assert found == Wish(reads=True, no_cache=True, range=Range(1, -1), if_range='"a"', conditional=True)
    assert wish(("Range", "bytes=1-"), method="HEAD") is PLAIN
    assert wish(("If-Modified-Since", "x")).conditional


# --- the stored response -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("directives", "at_s", "value", "use"),
    [
        ("max-age=10", 9.999, "", Use.FRESH),
        ("max-age=10", 10, "", Use.STALE),
        ("max-age=10, must-revalidate", 9, "", Use.FRESH),
        ("max-age=10, must-revalidate", 10, "max-stale", Use.STALE),
        ("no-cache", 0, "", Use.STALE),
        ("no-cache, max-age=10", 0, "max-stale", Use.STALE),
        ("max-age=1, stale-while-revalidate=4", 3, "", Use.WHILE_REVALIDATING),
        ("max-age=1, stale-while-revalidate=4", 5, "", Use.STALE),
        ("max-age=1, stale-while-revalidate=4", 3, "no-cache", Use.STALE),
        ("s-maxage=1, stale-while-revalidate=4", 3, "", Use.WHILE_REVALIDATING),
        ("max-age=10", 5, "no-cache", Use.REQUEST),
        ("max-age=10", 5, "max-age=0", Use.REQUEST),
        ("max-age=10", 5, "max-age=5", Use.FRESH),
        ("max-age=10", 5, "max-age=4", Use.REQUEST),
        ("max-age=10", 5, "min-fresh=5", Use.FRESH),
        ("max-age=10", 5, "min-fresh=6", Use.REQUEST),
        ("max-age=10", 15, "max-stale=6", Use.AS_ASKED),
        ("max-age=10", 15, "max-stale=5", Use.STALE),
        ("max-age=10", 15, "max-stale", Use.AS_ASKED),
        ("max-age=10", 15, "max-stale, max-age=12", Use.STALE),
        ("max-age=10", 15, "max-stale, min-fresh=1", Use.STALE),
        ("s-maxage=10", 15, "max-stale", Use.STALE),
    ],
)
def test_use(directives: Any, at_s: Any, value: Any, use: Any) -> None:
    """§4.2, §5.2.1, RFC 5861 §3."""
    found = reuse(kept(directives), cc(value) if value else PLAIN, after(at_s))
    assert found is use
    assert found.serves == (use in (Use.FRESH, Use.WHILE_REVALIDATING, Use.AS_ASKED))


def test_the_age_that_it_came_with_counts() -> None:
    """§4.2.3."""
    response = kept("max-age=3600", "Age: 1800")
    assert reuse(response, cc("max-age=600"), NOW_MS) is Use.REQUEST
    assert reuse(response, cc("min-fresh=2000"), NOW_MS) is Use.REQUEST
    assert reuse(kept("max-age=1500", "Age: 2000"), cc("max-stale=1000"), NOW_MS) is Use.AS_ASKED


@pytest.mark.parametrize(
    ("asked_range", "use"),
    [
        (None, Use.PARTIAL),
        ("bytes=4-9", Use.FRESH),
        ("bytes=5-6", Use.FRESH),
        ("bytes=-6", Use.FRESH),
        ("bytes=-7", Use.PARTIAL),
        ("bytes=3-4", Use.PARTIAL),
        ("bytes=4-", Use.FRESH),
        ("bytes=40-", Use.PARTIAL),
    ],
)
def test_a_part_answers_for_what_it_holds(asked_range: Any, use: Any) -> None:
    """§3.4."""
    part = kept("max-age=60", "Content-Range: bytes 4-9/10", status=206, body=b"456789")
    asked = wish(("Range", asked_range)) if asked_range else PLAIN
    assert reuse(part, asked, NOW_MS) is use
    if asked_range:
        assert reuse(part, replace(asked, if_range='"b"'), NOW_MS) is Use.PARTIAL
    assert reuse(part, asked, after(60)) is Use.STALE


@pytest.mark.parametrize(
    ("directives", "failure", "profile", "serves"),
    [
        ("max-age=2", Failure.DISCONNECTED, Profile.RFC, True),
        ("max-age=2", Failure.STATUS, Profile.RFC, False),
        ("max-age=2", Failure.DISCONNECTED, Profile.SAFE, False),
        ("max-age=2, stale-if-error=60", Failure.STATUS, Profile.SAFE, True),
        ("max-age=2, stale-if-error=60", Failure.DISCONNECTED, Profile.SAFE, True),
        ("max-age=2, stale-if-error=1", Failure.DISCONNECTED, Profile.SAFE, False),
        ("max-age=2, must-revalidate", Failure.DISCONNECTED, Profile.RFC, False),
        ("max-age=2, proxy-revalidate", Failure.DISCONNECTED, Profile.RFC, False),
        ("max-age=2, s-maxage=2", Failure.DISCONNECTED, Profile.RFC, False),
        ("max-age=2, no-cache", Failure.DISCONNECTED, Profile.RFC, False),
        ("max-age=2, must-revalidate, stale-if-error=60", Failure.DISCONNECTED, Profile.RFC, False),
        ("max-age=60, must-revalidate", Failure.STATUS, Profile.SAFE, True),
    ],
)
def test_when_the_upstream_has_failed(directives: Any, failure: Any, profile: Any, serves: Any) -> None:
    """§4.2.4, RFC 5861 §4; what is fresh, and was only to be fresher, serves in any case."""
    response = kept(directives, caching=RFC)
    assert serves_on_error(response, PLAIN, after(3), failure, profile) is serves
    assert not serves_on_error(response, cc("no-cache"), after(3), failure, profile)


def test_a_part_does_not_stand_in_for_the_whole() -> None:
    """Even when the upstream has failed."""
    part = kept("max-age=2", "Content-Range: bytes 4-9/10", status=206, body=b"456789")
    assert not serves_on_error(part, PLAIN, after(3), Failure.DISCONNECTED, Profile.RFC)
    assert serves_on_error(part, wish(("Range", "bytes=4-5")), after(3), Failure.DISCONNECTED, Profile.RFC)


# --- what comes late ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("new", "old", "why"),
    [
        ({"status": 503}, {}, "error"),
        ({"status": 503}, {"status": 404}, "error"),
        ({"status": 503}, {"vary": (("accept", "a"),)}, "error"),
        ({"status": 503}, {"range": Range(0, 1)}, "error"),
        ({"status": 503}, {"status": 500}, ""),
        ({"status": 499}, {}, ""),
        ({}, {}, ""),
        ({"range": Range(0, 1)}, {}, "part"),
        ({"range": Range(0, 1)}, {"range": Range(0, 2)}, ""),
        ({"range": Range(0, 1)}, {"vary": (("accept", "a"),)}, ""),
    ],
)
def test_what_comes_late_is_no_better_for_that(new: Any, old: Any, why: Any) -> None:
    """An error takes no answer's place, nor a part that of the whole."""
    assert outranked(kept("max-age=9", **new), kept("max-age=9", **old), after(8)) == why


@pytest.mark.parametrize(
    ("new", "old", "why"),
    [
        ({}, {}, "older"),
        ({}, {"status": 503}, ""),
        ({"status": 503}, {"status": 503}, "older"),
        ({}, {"range": Range(0, 1)}, ""),
        ({"range": Range(0, 1)}, {"range": Range(0, 1)}, "older"),
        ({}, {"vary": (("accept", "a"),)}, ""),
    ],
)
def test_what_came_earlier_and_took_longer_is_no_news(new: Any, old: Any, why: Any) -> None:
    """RFC 9111 §4: of several the most recent one is used."""
    first, second = kept("max-age=9", **new), kept("max-age=9", **old)
    second = replace(second, terms=replace(second.terms, received_ms=first.terms.received_ms + 1))
    assert outranked(first, second, after(1)) == why
    assert outranked(second, first, after(1)) in ("", "error", "part")


def test_a_part_may_take_the_place_of_what_is_stale() -> None:
    part, whole = kept("max-age=99", range=Range(0, 1)), kept("max-age=9")
    assert outranked(part, whole, after(8)) == "part"
    assert outranked(part, whole, after(9)) == ""


# --- refreshing early --------------------------------------------------------------------------------------------


def test_an_early_refresh_is_the_likelier_the_nearer_the_end() -> None:
    """XFetch: -log(roll) times the time of a fetch against what is left."""
    response = kept("max-age=100", fetch_ms=1000)
    assert not early(response, after(89), 1e-300)  # outside the last tenth: never
    assert early(response, after(98), 0.1)  # 2.3 s
    assert not early(response, after(98), 0.2)  # 1.6 s
    assert early(response, after(99.999), 0.99)
    assert not early(response, after(99), 1.0)
    assert not early(kept("max-age=100"), after(99), 1e-300)  # a fetch that takes no time


@given(st.integers(0, 200_000), st.integers(0, 100), st.sampled_from([PLAIN, cc("max-age=3"), cc("max-stale=5")]))
def test_nothing_is_served_beyond_what_was_said(now_s: Any, lifetime_s: Any, asked: Any) -> None:
    """A stored answer outlives its lifetime only within the client's own max-stale."""
    response = kept(f"max-age={lifetime_s}")
    if reuse(response, asked, after(now_s)).serves:
        assert now_s * S < lifetime_s * S + asked.max_stale_ms
        assert now_s * S <= asked.max_age_ms


@given(st.text(max_size=80))
def test_any_request_is_read(text: Any) -> None:
    """Nothing raises."""
    headers = [(name, text) for name in ("Cache-Control", "Range", "If-None-Match", "If-Range")]
    for caching in (RFC, SAFE):
        wish(*headers, caching=caching, may_bypass=True)
