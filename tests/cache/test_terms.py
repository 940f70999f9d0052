"""What is stored, and for how long (RFC 9111 §3, §4.2, §5.2.2; RFC 5861; RFC 9213)."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.entry import FOREVER_MS, Terms
from proxy.cache.terms import HEURISTICALLY_CACHEABLE, NotStored, keepable
from proxy.policy.caching import CacheScope, Profile
from tests.cache.standard import NOW_MS, RFC, RFC_USER, SAFE, TENANT, USER, S, asked, at, fields, judged, stored, terms

DAY = 24 * 3600
LM = f"Last-Modified: {at(-DAY)}"


# --- §4.2.1: the lifetime ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        (["Cache-Control: max-age=60"], 60),
        (["Cache-Control: MaX-aGe=60, foobar"], 60),
        (['Cache-Control: max-age="60"'], 60),
        (["Cache-Control: max-age=060"], 60),
        (["Cache-Control: max-age=99999999999"], FOREVER_MS // S),
        (["Cache-Control: max-age=60", "Cache-Control: max-age=1"], 60),
        (['Cache-Control: other="max-age=60", max-age=1'], 1),
        (['Cache-Control: max-age=1, other="max-age=60"'], 1),
        (["Cache-Control: max-age=60", f"Expires: {at(-7200)}"], 60),
        (["Cache-Control: max-age=60", "Expires: 0"], 60),
        (["Cache-Control: max-age=0", f"Expires: {at(7200)}"], 0),
        (["Cache-Control: max-age=60", "Cache-Control: s-maxage=1"], 1),
        (["Cache-Control: s-maxage=60, max-age=1"], 60),
        (["Cache-Control: max-age=0, s-maxage=60", f"Expires: {at(-10)}"], 60),
        (["Cache-Control: s-maxage=x, max-age=60"], 0),
        ([f"Expires: {at(60)}"], 60),
        ([f"Expires: {at(60)}", "Date: foo"], 60),
        ([f"Expires: {at(60)}", f"Date: {at(50)}"], 10),
        ([f"Expires: {at(60)}", f"Date: {at(-50)}"], 110),
        ([f"Expires: {at(60)}", f"Expires: {at(90)}"], 60),
        ([f"Expires: {at(300)}", f"Date: {at(400)}"], 0),
        ([f"Expires: {at(-60)}"], 0),
        ([f"Expires: {at(0)}"], 0),
        (["Expires: 0"], 0),
        (["CDN-Cache-Control: max-age=60", "Cache-Control: no-store"], 60),
        (["CDN-Cache-Control: max-age=60", "Cache-Control: max-age=1"], 60),
        (["CDN-Cache-Control: max-age=1", "Cache-Control: max-age=60"], 1),
        (["CDN-Cache-Control: max-age=60", "Expires: 0"], 60),
        (["CDN-Cache-Control: max-age=0", f"Expires: {at(60)}"], 0),
        (["CDN-Cache-Control: max-age =60", "Cache-Control: max-age=1"], 1),
        (["Cache-Control: max-age=a60"], 0),
        (["Cache-Control: max-age='60'"], 0),
    ],
)
def test_lifetime(lines: Any, seconds: Any) -> None:
    """s-maxage, max-age, Expires less Date, in this order; what is malformed is past."""
    assert terms(fields(*lines, 'ETag: "a"')).lifetime_ms == seconds * S


@pytest.mark.parametrize(
    ("line", "seconds"), [("Cache-Control: s-maxage=60, max-age=1", 1), (f"Expires: {at(60)}", 60)]
)
@pytest.mark.parametrize("caching", [USER, RFC_USER])
def test_lifetime_in_a_private_cache(caching: Any, line: Any, seconds: Any) -> None:
    """s-maxage says nothing to it (§5.2.2.10)."""
    found = terms(fields(line, 'ETag: "a"'), caching)
    assert found.lifetime_ms == seconds * S
    assert not found.must_revalidate


@pytest.mark.parametrize("status", sorted(HEURISTICALLY_CACHEABLE - {206}))
def test_heuristic_lifetime(status: Any) -> None:
    """A tenth of its age, for the statuses that allow it (§4.2.2)."""
    found = terms(fields(LM), status=status)
    assert (found.lifetime_ms, found.heuristic) == (DAY * S // 10, True)
    assert judged(fields(LM), SAFE, status) is NotStored.NO_LIFETIME


@pytest.mark.parametrize("status", [201, 202, 302, 303, 307, 403, 502, 503, 504, 599])
def test_no_heuristic_lifetime(status: Any) -> None:
    """Other statuses only where the answer is public (§4.2.2, §5.2.2.9)."""
    assert judged(fields(LM), status=status) is NotStored.NO_LIFETIME
    assert terms(fields(LM, "Cache-Control: public"), status=status).lifetime_ms == DAY * S // 10


def test_bounds_of_the_heuristic_lifetime() -> None:
    """At most a day; nothing where an explicit one is there, or the future was."""
    assert terms(fields(f"Last-Modified: {at(-DAY * 365)}")).lifetime_ms == DAY * S
    assert terms(fields(f"Last-Modified: {at(3600)}")).lifetime_ms == 0
    assert terms(fields(LM, "Cache-Control: max-age=0")).lifetime_ms == 0
    assert terms(fields(LM, "Expires: 0")).lifetime_ms == 0


@pytest.mark.parametrize(
    ("lines", "delay_ms", "age_ms"),
    [
        (["Age: 30"], 0, 30_000),
        (["Age: 30"], 1500, 31_500),
        (["Age: 0, 30"], 0, 0),
        (["Age: 30", "Age: 0"], 0, 30_000),
        (["Age: x"], 0, 0),
        ([f"Date: {at(-7200)}"], 0, 7_200_000),
        ([f"Date: {at(7200)}", "Age: 15"], 0, 15_000),
        (["Date: foo"], 0, 0),
    ],
)
def test_age(lines: Any, delay_ms: Any, age_ms: Any) -> None:
    """§4.2.3."""
    found = judged(fields("Cache-Control: max-age=60", 'ETag: "a"', *lines), delay_ms=delay_ms)
    assert isinstance(found, Terms)
    assert found.initial_age_ms == age_ms


@pytest.mark.parametrize("age", ["7200", "2147483647", "2147483648", "2147483649"])
def test_older_than_its_lifetime(age: Any) -> None:
    """It is not stored at all if nothing can validate it."""
    headers = fields("Cache-Control: max-age=3600", f"Age: {age}")
    assert judged(headers) is NotStored.NO_LIFETIME
    found = terms([*headers, (b"ETag", b'"a"')])
    assert found.age_ms(NOW_MS) > found.lifetime_ms


# --- §3: is it stored --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "status", "verdict"),
    [
        (["Cache-Control: no-store, max-age=60"], 200, NotStored.NO_STORE),
        (["Cache-Control: No-StOrE"], 200, NotStored.NO_STORE),
        (["Cache-Control: private, max-age=60"], 200, NotStored.PRIVATE),
        (["CDN-Cache-Control: no-store", "Cache-Control: max-age=60"], 200, NotStored.NO_STORE),
        (["CDN-Cache-Control: private", "Cache-Control: max-age=60"], 200, NotStored.PRIVATE),
        (["CDN-Cache-Control: max-age=60, &&", "Cache-Control: no-store"], 200, NotStored.NO_STORE),
        (["CDN-Cache-Control: no-cache", "Cache-Control: max-age=60"], 200, NotStored.NO_LIFETIME),
        (["Cache-Control: no-cache, max-age=60"], 200, NotStored.NO_LIFETIME),
        (["Cache-Control: max-age=60", "Vary: *"], 200, NotStored.VARY_STAR),
        (["Cache-Control: max-age=60", "Vary: , *"], 200, NotStored.VARY_STAR),
        (["Cache-Control: max-age=60", "Vary: Foo, *"], 200, NotStored.VARY_STAR),
        (["Cache-Control: max-age=60", "Vary:", "Vary: *"], 200, NotStored.VARY_STAR),
        ([], 200, NotStored.NO_LIFETIME),
        (["Cache-Control: max-age=0"], 200, NotStored.NO_LIFETIME),
        (["Cache-Control: max-age=60"], 304, NotStored.STATUS),
        (["Cache-Control: max-age=60"], 103, NotStored.STATUS),
        (["Cache-Control: max-age=60, no-store, must-understand"], 599, NotStored.STATUS),
        (["Cache-Control: max-age=60, must-understand"], 599, NotStored.STATUS),
        (["Cache-Control: max-age=60"], 206, NotStored.RANGE),
        (["Cache-Control: max-age=60", "Content-Range: bytes 5-2/9"], 206, NotStored.RANGE),
        (["Cache-Control: max-age=60", "Content-Range: bytes 0-9/9"], 206, NotStored.RANGE),
        (["Cache-Control: max-age=60", "X: a\r\nb"], 200, NotStored.MALFORMED),
    ],
)
def test_what_is_not_stored(lines: Any, status: Any, verdict: Any) -> None:
    """And why."""
    assert judged(fields(*lines), status=status) is verdict


@pytest.mark.parametrize(
    "status", [200, 201, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599, 999]
)
def test_any_final_status_with_a_lifetime(status: Any) -> None:
    """§3, whatever the status means."""
    assert terms(fields("Cache-Control: max-age=60"), status=status).lifetime_ms == 60 * S


@pytest.mark.parametrize("status", [304, 416])
def test_what_answers_a_condition_or_a_range_is_no_answer_to_others(status: Any) -> None:
    """Whatever lifetime it has: neither is in a key."""
    lines = fields("Cache-Control: public, max-age=60", 'ETag: "a"')
    assert judged(lines, status=status) is NotStored.STATUS
    assert judged(lines, SAFE, status=status) is NotStored.STATUS


def test_must_understand() -> None:
    """no-store is then for those who do not understand the status (§5.2.2.3)."""
    assert terms(fields("Cache-Control: max-age=60, no-store, must-understand")).lifetime_ms == 60 * S


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "OPTIONS", "M-SEARCH"])
def test_methods_whose_answers_are_not_stored(method: Any) -> None:
    """§3; POST without Content-Location."""
    assert judged(fields("Cache-Control: max-age=60"), by=asked(method=method)) is NotStored.METHOD


@pytest.mark.parametrize(
    ("location", "lifetime", "is_stored"),
    [
        ("/a?b=1", "max-age=60", True),
        ("http://APP.example:80/a?b=1", "max-age=60", True),
        ("/a", "max-age=60", False),
        ("http://other.example/a?b=1", "max-age=60", False),
        ("/a?b=1", "public", False),
    ],
)
def test_an_answer_to_post_that_is_what_get_would_give(location: Any, lifetime: Any, is_stored: Any) -> None:
    """With Content-Location of its own target and an explicit lifetime (RFC 9110 §9.3.3); in the safe profile never."""
    headers = fields(f"Content-Location: {location}", f"Cache-Control: {lifetime}", LM)
    post = asked(method="POST")
    assert isinstance(judged(headers, by=post), Terms) is is_stored
    assert judged(headers, SAFE, by=post) is NotStored.METHOD


def test_a_request_may_forbid_it() -> None:
    """§5.2.1.5."""
    assert judged(fields("Cache-Control: max-age=60"), by=asked(no_store=True)) is NotStored.REQUEST_NO_STORE


@pytest.mark.parametrize("lines", [['ETag: "a"'], [LM]])
def test_no_cache_is_stored_to_be_validated(lines: Any) -> None:
    """§5.2.2.4: in both profiles, if there is something to validate by."""
    for caching in (RFC, SAFE):
        found = terms(fields("Cache-Control: no-cache", *lines), caching)
        assert found.no_cache
        assert found.swr_ms == found.sie_ms == 0


def test_an_answer_with_a_validator_alone() -> None:
    """It is kept to be asked about each time; the safe profile guesses nothing."""
    assert terms(fields('ETag: "a"')).lifetime_ms == 0
    assert judged(fields('ETag: "a"'), SAFE) is NotStored.NO_LIFETIME


# --- §3.5: Authorization; scopes ---------------------------------------------------------------------------------

AUTHORIZED = asked(("Authorization", "Bearer x"))
IDENTIFIED = asked(identified=True)


@pytest.mark.parametrize("permission", ["public, max-age=60", "must-revalidate, max-age=60", "s-maxage=60"])
def test_what_permits_an_answer_to_an_authorized_request(permission: Any) -> None:
    """§3.5."""
    for caching in (RFC, SAFE, TENANT):
        assert terms(fields(f"Cache-Control: {permission}"), caching, by=AUTHORIZED).lifetime_ms == 60 * S


def test_an_answer_to_an_authorized_request() -> None:
    """Not without permission in a shared cache. The safe profile counts each credential that it knows of."""
    headers = fields("Cache-Control: max-age=60")
    for caching in (RFC, SAFE, TENANT):
        assert judged(headers, caching, by=AUTHORIZED) is NotStored.AUTHORIZATION
    for caching in (SAFE, TENANT):
        assert judged(headers, caching, by=IDENTIFIED) is NotStored.AUTHORIZATION
    assert terms(headers, RFC, by=IDENTIFIED).lifetime_ms == 60 * S
    for caching in (USER, RFC_USER):
        assert terms(headers, caching, by=AUTHORIZED).lifetime_ms == 60 * S


def test_a_private_cache_stores_what_is_private() -> None:
    """§5.2.2.7."""
    assert terms(fields("Cache-Control: private, max-age=60"), USER).lifetime_ms == 60 * S
    assert judged(fields("Cache-Control: private, max-age=60"), TENANT) is NotStored.PRIVATE


# --- cookies, the policy's lifetime ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Set-Cookie", "set-cookie", "Set-Cookie2"])
def test_an_answer_that_sets_a_cookie(name: Any) -> None:
    """The safe profile never stores it, force neither; the standard's letter does (§7.3)."""
    headers = fields("Cache-Control: public, max-age=60", f"{name}: a=b")
    assert terms(headers, RFC).lifetime_ms == 60 * S
    for caching in (SAFE, TENANT, USER, replace(RFC, ttl_ms=5000, force=True), replace(SAFE, ttl_ms=5000, force=True)):
        assert judged(headers, caching) is NotStored.SET_COOKIE


TTL = replace(SAFE, ttl_ms=5000)


@pytest.mark.parametrize("line", ["Cache-Control: max-age=60", "Cache-Control: max-age=0", "Expires: 0", "X: y"])
def test_a_lifetime_of_the_policy(line: Any) -> None:
    """It counts whatever the app says, from the receipt on, and is the permission that §3.5 asks for."""
    found = terms(fields(line, "Age: 7200"), TTL, by=AUTHORIZED)
    assert found.lifetime_ms - found.age_ms(NOW_MS) == 5000


@pytest.mark.parametrize(("directive", "verdict"), [("no-store", NotStored.NO_STORE), ("private", NotStored.PRIVATE)])
def test_what_the_app_forbids_holds_unless_forced(directive: Any, verdict: Any) -> None:
    """§5.2.2.5, §5.2.2.7."""
    headers = fields(f"Cache-Control: {directive}")
    assert judged(headers, TTL) is verdict
    assert terms(headers, replace(TTL, force=True), by=AUTHORIZED).lifetime_ms == 5000


def test_no_cache_holds_unless_forced() -> None:
    """As does must-revalidate."""
    headers = fields("Cache-Control: no-cache, must-revalidate", 'ETag: "a"')
    found = terms(headers, TTL)
    assert found.no_cache
    assert found.must_revalidate
    found = terms(headers, replace(TTL, force=True))
    assert not found.no_cache
    assert not found.must_revalidate


def test_statuses_of_a_policys_lifetime() -> None:
    """Those that are named, else those that may be reused by heuristics."""
    headers = fields("Cache-Control: max-age=60")
    assert judged(headers, TTL, 201) is NotStored.STATUS
    assert terms(headers, TTL, 301).lifetime_ms == 5000
    named = replace(TTL, statuses=frozenset({200, 201}))
    assert terms(headers, named, 201).lifetime_ms == 5000
    assert judged(headers, named, 301) is NotStored.STATUS
    assert judged(headers, replace(RFC, statuses=frozenset({200})), 301) is NotStored.STATUS


@pytest.mark.parametrize("status", [400, 404, 503])
def test_errors_live_short(status: Any) -> None:
    """Capped in the safe profile, and never stale."""
    headers = fields("Cache-Control: max-age=60, stale-if-error=60, stale-while-revalidate=60")
    found = terms(headers, replace(SAFE, error_ttl_ms=1000), status)
    assert (found.lifetime_ms, found.swr_ms, found.sie_ms) == (1000, 0, 0)
    assert terms(headers, replace(SAFE, error_ttl_ms=0), 200).lifetime_ms == 60 * S
    assert judged(headers, replace(SAFE, error_ttl_ms=0), status) is NotStored.NO_LIFETIME
    assert terms(headers, RFC, status).lifetime_ms == 60 * S


# --- §4.2.4, RFC 5861: stale -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("directives", "caching", "must", "swr_s", "sie_s"),
    [
        ("max-age=1, stale-while-revalidate=7, stale-if-error=8", SAFE, False, 7, 8),
        ("max-age=1, stale-while-revalidate=x", SAFE, False, 0, 0),
        ("max-age=1, must-revalidate, stale-while-revalidate=7", SAFE, True, 0, 0),
        ("max-age=1, proxy-revalidate, stale-if-error=7", SAFE, True, 0, 0),
        ("max-age=1, proxy-revalidate, stale-if-error=7", USER, False, 0, 7),
        ("s-maxage=1", SAFE, True, 0, 0),
        ("s-maxage=1, stale-while-revalidate=7", SAFE, True, 7, 0),
        ("max-age=1", replace(SAFE, stale_while_revalidate_ms=3000, stale_if_error_ms=4000), False, 3, 4),
        ("max-age=1, stale-if-error=8", replace(SAFE, stale_if_error_ms=0), False, 0, 0),
        ("max-age=1, must-revalidate", replace(SAFE, stale_if_error_ms=4000), True, 0, 0),
    ],
)
def test_stale_windows(directives: Any, caching: Any, must: Any, swr_s: Any, sie_s: Any) -> None:
    """The policy's before the app's; s-maxage forbids what the app has not permitted itself."""
    found = terms(fields(f"Cache-Control: {directives}"), caching)
    assert (found.must_revalidate, found.swr_ms, found.sie_ms) == (must, swr_s * S, sie_s * S)


# --- §3.1: the fields --------------------------------------------------------------------------------------------


def test_fields_that_are_kept() -> None:
    """All but those of one hop, those that Connection names, and Age."""
    headers = fields(
        "Cache-Control: max-age=60", "Connection: a, B", "A: 1", "b: 2", "C: 3", "Keep-Alive: x", "TE: x", "Upgrade: x",
        "Proxy-Authenticate: x", "Proxy-Authentication-Info: x", "Proxy-Connection: x", "Age: 5", "Set-Cookie: a=b",
        "Content-Length: 10", "Content-Range: x", "CDN-Cache-Control: foo",
    )  # fmt: skip
    names = [name for name, _ in keepable(headers, NOW_MS, RFC)]
    assert names == [
        b"Cache-Control", b"C", b"Set-Cookie", b"Content-Length", b"Content-Range", b"CDN-Cache-Control", b"Date",
    ]  # fmt: skip


@pytest.mark.parametrize("line", ["X: y", "Date: foo"])
def test_a_date_that_is_missing(line: Any) -> None:
    """Is that of the receipt (RFC 9110 §6.6.1)."""
    kept = keepable(fields(line, date=False), NOW_MS, RFC)
    assert [value for name, value in kept if name == b"Date"] == [at(0).encode()]


def test_fields_that_are_narrowed() -> None:
    """no-cache and private with names are for these fields alone (§5.2.2.4, §5.2.2.7)."""
    headers = fields('Cache-Control: no-cache="a, B", private="c"', "Cache-Control: max-age=60", "A: 1", "b: 2", "c: 3")
    found = terms(headers)
    assert (found.no_cache, found.lifetime_ms) == (False, 60 * S)
    assert [name for name, _ in keepable(headers, NOW_MS, RFC)] == [b"Cache-Control", b"Cache-Control", b"Date"]
    assert b"c" in [name for name, _ in keepable(headers, NOW_MS, RFC_USER)]


# --- properties --------------------------------------------------------------------------------------------------

_NAMES = [b"Cache-Control", b"CDN-Cache-Control", b"Expires", b"Date", b"Age", b"Vary", b"ETag", b"X"]
_WORDS = [b"max-age=60", b"no-cache", b"no-store", b"s-maxage=1", at(60).encode(), b"7", b"public"]
_LINES = st.lists(
    st.tuples(st.sampled_from(_NAMES), st.binary(max_size=30) | st.sampled_from(_WORDS)),
    max_size=6,
)
_CACHINGS = st.builds(
    replace,
    st.just(SAFE),
    scope=st.sampled_from(CacheScope),
    profile=st.sampled_from(Profile),
    ttl_ms=st.none() | st.integers(0, 10_000),
)


@given(_LINES, _CACHINGS, st.integers(200, 599))
def test_a_stored_answer_never_outlives(headers: Any, caching: Any, status: Any) -> None:
    """Nothing raises; no lifetime is longer than 2^31 seconds, none of the safe profile is guessed."""
    found = judged(headers, caching, status)
    if isinstance(found, Terms):
        assert 0 <= found.lifetime_ms - (caching.ttl_ms is not None) * found.initial_age_ms <= FOREVER_MS
        assert found.age_ms(NOW_MS - 5000) >= found.initial_age_ms
        assert not (found.heuristic and caching.profile is Profile.SAFE)
        assert stored(headers, status=status, caching=caching) if status != 206 else True
