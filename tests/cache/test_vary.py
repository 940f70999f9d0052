"""Which stored answer a request selects (RFC 9111 §4.1)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.entry import Stored
from proxy.cache.vary import choose, compared, selecting_fields
from proxy.policy.caching import Profile
from tests.cache.standard import NOW_MS, SAFE, S, asked, at, fields, request, stored

VARIES = "Cache-Control: max-age=60"


def variant(vary: Any, *request_fields: Any, date: Any = 0, language: Any = "", caching: Any = SAFE) -> Stored:
    lines = [VARIES, f"Date: {at(date)}"] + [f"Vary: {value}" for value in vary]
    if language:
        lines.append(f"Content-Language: {language}")
    return stored(fields(*lines), caching=caching, by=asked(*request_fields))


@pytest.mark.parametrize(
    ("vary", "first", "second", "matches"),
    [
        ([], [("Foo", "1")], [("Foo", "2")], True),
        (["Foo"], [("Foo", "1")], [("Foo", "1")], True),
        (["Foo"], [("Foo", "1")], [("Foo", "2")], False),
        (["Foo"], [("Foo", "1")], [], False),
        (["Foo"], [], [("Foo", "1")], False),
        (["Foo"], [], [("Foo", "")], False),
        (["Foo"], [], [], True),
        (["Foo"], [("Foo", "1"), ("Other", "2")], [("Foo", "1"), ("Other", "3")], True),
        (["fOO"], [("foo", "1")], [("FOO", "1")], True),
        (["Foo, Bar"], [("Foo", "1"), ("Bar", "a")], [("Bar", "a"), ("Foo", "1")], True),
        (["Foo, Bar"], [("Foo", "1"), ("Bar", "a")], [("Foo", "2"), ("Bar", "a")], False),
        (["Foo", "Bar"], [("Foo", "1"), ("Bar", "a")], [("Foo", "1")], False),
        (["Foo, Bar, Baz"], [("Foo", "1"), ("Baz", "7")], [("Foo", "1"), ("Baz", "7")], True),
        (
            ["Foo, Bar, Baz"],
            [("Foo", "1"), ("Bar", "ab"), ("Baz", "7")],
            [("Foo", "1"), ("Bar", "a"), ("Baz", "7")],
            False,
        ),
        (["Foo"], [("Foo", "1, 2")], [("Foo", "1"), ("Foo", "2")], True),
        (["Foo"], [("Foo", "1,2")], [("Foo", " 1, 2 ")], True),
        (["Foo"], [("Foo", "1,2")], [("Foo", "2,1")], False),
        (["Foo"], [("Foo", "a")], [("Foo", "A")], False),
        (["Foo"], [("Foo", '"a, b"')], [("Foo", '"a,b"')], False),
        (["Foo"], [("Foo", "x" * 500)], [("Foo", "x" * 500)], True),
        (["Foo"], [("Foo", "x" * 500)], [("Foo", "x" * 501)], False),
        (["Accept-Encoding"], [("Accept-Encoding", "gzip, BR")], [("Accept-Encoding", "br;q=1.0,  gzip")], True),
        (["Accept-Encoding"], [("Accept-Encoding", "gzip;q=0.50")], [("Accept-Encoding", "gzip; q=0.5")], True),
        (["Accept-Encoding"], [("Accept-Encoding", "gzip;q=0.5")], [("Accept-Encoding", "gzip;q=0")], False),
        (["Accept-Language"], [("Accept-Language", "en, de")], [("Accept-Language", "eN, De")], True),
        (["Accept-Language"], [("Accept-Language", "en, de")], [("Accept-Language", " en ,   de")], True),
        (["Accept-Language"], [("Accept-Language", "en")], [("Accept-Language", "de")], False),
    ],
)
@pytest.mark.parametrize("profile", Profile)
def test_matching(vary: Any, first: Any, second: Any, matches: Any, profile: Any) -> None:
    """Each field that Vary names is the same, or absent in both; what means nothing is left out."""
    response = fields(VARIES, *(f"Vary: {value}" for value in vary))
    same = selecting_fields(response, request(*first), profile) == selecting_fields(response, request(*second), profile)
    assert same is matches


@pytest.mark.parametrize("name", ["Accept-Language", "Accept"])
def test_the_order_of_what_is_liked_alike(name: Any) -> None:
    """It means nothing by the letter; the safe profile knows that apps read it."""
    response = fields(f"Vary: {name}")
    one, other = request((name, "en, de")), request((name, "de, en"))
    for profile, same in ((Profile.RFC, True), (Profile.SAFE, False)):
        assert (selecting_fields(response, one, profile) == selecting_fields(response, other, profile)) is same


@pytest.mark.parametrize("lines", [["*"], ["*, *"], ["*", "*"], [", *"], ["", "*"], ["*, Foo"], ["Foo, *"]])
def test_a_star_selects_nothing(lines: Any) -> None:
    """Wherever it stands."""
    assert selecting_fields(fields(*(f"Vary: {line}" for line in lines)), request(), Profile.RFC) is None


@pytest.mark.parametrize("name", ["Cookie", "Authorization"])
def test_a_secret_is_kept_as_its_digest(name: Any) -> None:
    """A dump of the store gives no credential away."""
    found = selecting_fields(fields(f"Vary: {name}"), request((name, "Bearer secret")), Profile.SAFE)
    assert found is not None
    assert "secret" not in str(found)
    assert found != selecting_fields(fields(f"Vary: {name}"), request((name, "Bearer other")), Profile.SAFE)


def test_variants_side_by_side() -> None:
    """Each request finds its own; one that varies less is a candidate too; the latest wins (§4)."""
    one = variant(["Foo"], ("Foo", "1"))
    two = variant(["Foo"], ("Foo", "2"), date=-5)
    plain = variant([], date=-9)
    variants = [one, two, plain]
    assert choose(variants, request(("Foo", "1")), Profile.SAFE) is one
    assert choose(variants, request(("Foo", "2")), Profile.SAFE) is two
    assert choose(variants, request(("Foo", "3")), Profile.SAFE) is plain
    assert choose([one, two], request(("Foo", "3")), Profile.SAFE) is None
    assert choose([], request(), Profile.SAFE) is None
    assert choose([plain], request(("Foo", "1")), Profile.SAFE) is plain
    older = variant(["Foo"], ("Foo", "1"), date=-20)
    assert choose([one, older], request(("Foo", "1")), Profile.SAFE) is one
    assert one.terms.date_ms == NOW_MS
    assert two.terms.date_ms == NOW_MS - 5 * S


@pytest.mark.parametrize(
    ("accepted", "found"),
    [
        ("fr;q=0.5, de;q=1.0", True),
        ("de", True),
        ("DE, en;q=0.9", True),
        ("de, fr", False),
        ("fr, de;q=0.9", False),
        ("de;q=0", False),
        ("de;q=x", False),
        ("", False),
        ("de-at", False),
    ],
)
def test_the_language_that_is_liked_best(accepted: Any, found: Any) -> None:
    """By the letter alone: if the answer is in it, the app could choose no better."""
    german = variant(["Accept-Language, Foo"], ("Accept-Language", "en, de"), language="de")
    headers = request(("Accept-Language", accepted))
    assert (choose([german], headers, Profile.RFC) is german) is found
    assert choose([german], headers, Profile.SAFE) is None
    assert choose([german], request(("Accept-Language", accepted), ("Foo", "1")), Profile.RFC) is None


@given(st.sampled_from(["accept", "accept-language", "accept-encoding", "foo", "cookie"]), st.text(max_size=60))
def test_any_field_is_compared(name: Any, value: Any) -> None:
    """Nothing raises, a field equals itself, and what is absent equals nothing that is there."""
    for profile in Profile:
        found = compared(name, request((name, value)), profile)
        assert found == compared(name, request((name, value)), profile)
        assert found != compared(name, request(), profile)
        variants = [variant(["Accept-Language"], ("Accept-Language", "en"), language="de")]
        choose(variants, request(("Accept-Language", value)), profile)
