"""What a 304 or an answer to HEAD does to a stored response (RFC 9111 §3.2, §4.3.4, §4.3.5)."""

from typing import Any

import pytest

from proxy.cache.entry import Stored
from proxy.cache.freshen import Freshened, freshen, freshen_by_head, regrouped
from proxy.cache.terms import NotStored
from proxy.core.headers import get_all
from tests.cache.standard import NOW_MS, RFC, SAFE, TENANT, S, asked, at, fields, stored

LATER = NOW_MS + 100 * S


def validated(response: Any, *lines: Any, caching: Any = RFC, by: Any = None, date: Any = True) -> Freshened | None:
    later = [f"Date: {at(100)}"] if date else []
    return freshen(response, by or asked(), fields(*lines, *later, date=False), LATER - 20, LATER, caching)


def kept(*lines: Any, **changes: Any) -> Stored:
    return stored(fields("Cache-Control: max-age=2", 'ETag: "a"', *lines), **changes)


def value(freshened: Any, name: Any) -> list[bytes]:
    assert freshened is not None
    return get_all(freshened.stored.headers, name)


@pytest.mark.parametrize(
    "name", ["Test-Header", "X-Test", "Content-Foo", "Content-Location", "Content-Type", "Expires"]
)
def test_fields_of_a_304_replace_the_stored_ones(name: Any) -> None:
    """All lines of a name; those that it does not bring stay (§3.2)."""
    found = validated(kept(f"{name}: old", f"{name}: older", "Stays: 1"), f"{name}: new", 'ETag: "a"')
    assert value(found, name.lower().encode()) == [b"new"]
    assert value(found, b"stays") == [b"1"]


@pytest.mark.parametrize("name", ["Content-Length", "Content-Encoding", "Content-Range"])
def test_fields_of_the_body_stay(name: Any) -> None:
    """The 304 brought no body (§3.2)."""
    assert value(validated(kept(f"{name}: 36"), f"{name}: 10"), name.lower().encode()) == [b"36"]


@pytest.mark.parametrize("line", ["Connection: x", "Keep-Alive: x", "Transfer-Encoding: x", "Upgrade: x", "Age: 9"])
def test_fields_of_one_hop_are_not_taken_over(line: Any) -> None:
    """§3.1 holds for a 304 too."""
    assert value(validated(kept(), line, "Connection: A", "A: 1"), line.partition(":")[0].lower().encode()) == []


def test_fields_that_are_narrowed_are_not_taken_over() -> None:
    """The stored no-cache names them, whether or not the 304 says so again (§5.2.2.4)."""
    response = stored(fields('Cache-Control: max-age=2, no-cache="b"', 'ETag: "a"'))
    assert value(validated(response, "B: 1", "C: 2"), b"b") == []
    assert value(validated(response, "B: 1", "C: 2"), b"c") == [b"2"]


def test_a_304_makes_it_fresh_again() -> None:
    """Its Cache-Control, its Date, and the Age that it brings count."""
    found = validated(kept(), "Cache-Control: max-age=60", "Age: 7")
    assert found is not None
    assert found.refused is None
    assert found.stored.terms.lifetime_ms == 60 * S
    assert found.stored.terms.age_ms(LATER) == 7 * S + 20
    assert found.stored.terms.received_ms == LATER
    assert found.stored.fetch_ms == 20
    assert found.stored.body == b"0123456789"


def test_a_304_without_freshness_of_its_own() -> None:
    """The stored words count from now on, its Date too where the 304 has none (RFC 9110 §6.6.1)."""
    found = validated(kept("Age: 1"), date=False)
    assert found is not None
    assert found.stored.terms.lifetime_ms == 2 * S
    assert found.stored.terms.age_ms(LATER) == 20
    assert value(found, b"date") == [at(100).encode()]


@pytest.mark.parametrize(
    ("ours", "theirs", "updates"),
    [
        ('"a"', '"a"', True),
        ('"a"', "", True),
        ('"a"', '"b"', False),
        ('"a"', 'W/"b"', False),
        ('W/"a"', 'W/"b"', False),
        ('W/"a"', '"a"', True),  # a compressing server weakens the tag of a 200 alone
        ('W/"a"', '"b"', False),
        ("", '"b"', False),
        ("", 'W/"b"', True),
    ],
)
def test_a_304_of_another_representation_updates_nothing(ours: Any, theirs: Any, updates: Any) -> None:
    """By its tag (§4.3.4). Otherwise the stored tag stays, which belongs to the body."""
    lines = ["Cache-Control: max-age=2", f"Last-Modified: {at(-3000)}"] + [f"ETag: {ours}"] * bool(ours)
    found = validated(stored(fields(*lines)), *[f"ETag: {theirs}"] * bool(theirs))
    assert (found is not None) is updates
    if found is not None:
        assert found.stored.etag == ours.encode()
        assert value(found, b"etag") == [ours.encode()] * bool(ours)


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("Cache-Control: no-store", NotStored.NO_STORE),
        ("Cache-Control: private", NotStored.PRIVATE),
        ("Vary: *", NotStored.VARY_STAR),
    ],
)
def test_a_304_may_forbid_to_keep_it(line: Any, refused: Any) -> None:
    """It answers this request, and no other."""
    found = validated(kept(), line)
    assert found is not None
    assert found.refused is refused
    assert found.stored.body == b"0123456789"


ENGLISH, GERMAN = ("Accept-Language", "en"), ("Accept-Language", "de")


def test_a_vary_that_a_304_brings_is_by_the_request_that_it_answers() -> None:
    """What was for everybody is from now on for those who ask as this one did (§4.1)."""
    found = validated(kept(), "Vary: Accept-Language", by=asked(ENGLISH))
    assert found is not None
    assert found.stored.vary == (("accept-language", "=en"),)
    assert regrouped(kept(), found.stored)


def test_a_304_without_a_vary_leaves_what_it_is_selected_by() -> None:
    response = kept("Vary: Accept-Language", by=asked(ENGLISH))
    found = validated(response, by=asked(ENGLISH))
    assert found is not None
    assert found.stored.vary == response.vary == (("accept-language", "=en"),)
    assert not regrouped(response, found.stored)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_varies_by_the_caller_from_now_on_is_kept_no_longer(method: str) -> None:
    """As it would not have been stored."""
    by = asked(method=method, untold=frozenset({b"x-user-id"}))
    lines = fields("Vary: Accept, X-User-ID", 'ETag: "a"', f"Date: {at(100)}")
    if method == "GET":
        found = freshen(kept(), by, lines, LATER, LATER, RFC)
    else:
        found = freshen_by_head(kept(), by, 200, lines, LATER, LATER, RFC)
    assert found is not None
    assert found.refused is NotStored.VARIES_BY_CALLER


def test_who_asks_counts_again() -> None:
    """A 304 to an identified caller is not for all, without leave (§3.5)."""
    response = stored(fields("Cache-Control: max-age=2", 'ETag: "a"'), caching=TENANT)
    found = validated(response, caching=TENANT, by=asked(identified=True))
    assert found is not None
    assert found.refused is NotStored.AUTHORIZATION


def test_a_part_stays_a_part() -> None:
    """Its Content-Range is the stored one's."""
    part = kept("Content-Range: bytes 0-9/20", status=206)
    found = validated(part, "Cache-Control: max-age=60")
    assert found is not None
    assert found.refused is None
    assert found.stored.range == (0, 9, 20)


# --- HEAD --------------------------------------------------------------------------------------------------------


def head(response: Any, *lines: Any, status: Any = 200, caching: Any = RFC, by: Any = ()) -> Freshened | None:
    headers = fields(*lines, f"Date: {at(100)}")
    return freshen_by_head(response, asked(*by, method="HEAD"), status, headers, LATER, LATER, caching)


def test_an_answer_to_head_updates() -> None:
    """Where its validators and its length are the stored one's (§4.3.5)."""
    found = head(kept("A: 1", "B: 2"), 'ETag: "a"', "Content-Length: 10", "A: 3", "Cache-Control: max-age=60")
    assert found is not None
    assert found.stored.terms.lifetime_ms == 60 * S
    assert value(found, b"a") == [b"3"]
    assert value(found, b"b") == [b"2"]
    assert found.stored.body == b"0123456789"


@pytest.mark.parametrize("line", ['ETag: "b"', f"Last-Modified: {at(-1)}", "Content-Length: 11"])
def test_an_answer_to_head_outdates(line: Any) -> None:
    """Where one of them differs."""
    assert head(kept(f"Last-Modified: {at(-3000)}"), line) is None


def test_an_answer_to_head_without_validators() -> None:
    """It counts by the letter; the safe profile does not take an old body for the new one."""
    response = stored(fields("Cache-Control: max-age=2"))
    assert head(response, "Cache-Control: max-age=60") is not None
    assert head(response, "Cache-Control: max-age=60", caching=SAFE) is None


def test_a_vary_that_head_brings_is_by_its_request_where_a_tag_says_that_it_gets_the_same() -> None:
    """Else who knows in what language the body is."""
    found = head(kept(), 'ETag: "a"', "Vary: Accept-Language", by=(GERMAN,))
    assert found is not None
    assert found.stored.vary == (("accept-language", "=de"),)
    assert head(stored(fields("Cache-Control: max-age=2")), "Vary: Accept-Language", by=(GERMAN,)) is None


@pytest.mark.parametrize("status", [404, 410, 301, 503])
def test_another_status_of_head_tells_nothing(status: Any) -> None:
    """§4.3.5 speaks of 200."""
    response = kept()
    assert head(response, status=status) == Freshened(response)


def test_the_length_of_a_part_is_the_wholes() -> None:
    """Not that of what is held."""
    part = kept("Content-Range: bytes 0-9/20", status=206)
    assert head(part, 'ETag: "a"', "Content-Length: 20") is not None
    assert head(part, 'ETag: "a"', "Content-Length: 10") is None
