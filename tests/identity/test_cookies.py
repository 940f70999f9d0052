"""Tokens in cookies, as Supabase's clients and others write them."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.identity.cookies import MAX_TOTAL, compile_name, find_token, read_session
from tests.identity.conftest import hs256

TOKEN = hs256()
SESSION = json.dumps({"access_token": TOKEN, "refresh_token": "r", "user": {"name": "Zoë; =,"}})
NAME = "sb-project-auth-token"
PATTERN = compile_name("sb-*-auth-token")


def b64(text: str) -> str:
    return "base64-" + base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def chunked(value: str, size: int = 300, name: str = NAME) -> list[str]:
    return [f"{name}.{at // size}={value[at : at + size]}" for at in range(0, len(value), size)]


@pytest.mark.parametrize(
    "value",
    [
        TOKEN,
        f'"{TOKEN}"',
        quote(TOKEN),
        quote(SESSION),
        quote(SESSION, safe=""),
        b64(SESSION),
        b64(SESSION) + "=",
        quote(b64(SESSION)),
        quote(json.dumps([TOKEN, "refresh", None])),
        b64(json.dumps([TOKEN])),
        quote(json.dumps(TOKEN)),
    ],
    ids=["jwt", "quoted", "escaped", "url json", "all escaped", "base64", "padded", "escaped base64", "list",
         "base64 list", "json string"],
)  # fmt: skip
def test_a_session_is_understood_in_all_its_forms(value):
    assert find_token(f"a=b; {NAME}={value}; c=d", PATTERN) == TOKEN


@pytest.mark.parametrize("encoded", [quote(SESSION), b64(SESSION)], ids=["url", "base64"])
def test_a_session_in_chunks_is_put_together_in_their_order(encoded):
    parts = chunked(encoded, size=len(encoded) // 9 + 1)
    assert len(parts) == 9
    assert find_token("; ".join(parts), PATTERN) == TOKEN
    assert find_token("; ".join(reversed(parts)), PATTERN) == TOKEN


def test_an_escape_that_two_chunks_share_is_whole_again():
    value = quote(SESSION)
    at = value.index("%7B") + 1
    assert find_token(f"{NAME}.0={value[:at]}; {NAME}.1={value[at:]}", PATTERN) == TOKEN


def test_chunks_after_a_gap_are_left_from_a_longer_session():
    parts = chunked(b64(SESSION), size=len(b64(SESSION)))
    assert find_token("; ".join([*parts, f"{NAME}.2=old"]), PATTERN) == TOKEN


def test_a_missing_first_chunk_is_no_session():
    assert find_token("; ".join(chunked(b64(SESSION))[1:]), PATTERN) is None


@pytest.mark.parametrize("number", ["10", "01", "-1", "x", "", "0.0", "٣"])
def test_other_endings_are_no_chunks(number):
    assert find_token(f"{NAME}.{number}={TOKEN}", PATTERN) is None


def test_the_whole_cookie_is_before_its_chunks():
    other = TOKEN[:-4] + "AAAA"
    assert find_token(f"{NAME}.0={other}; {NAME}={TOKEN}", PATTERN) == TOKEN


def test_of_two_cookies_of_one_name_the_first_is_read():
    """Browsers send the most specific path first (RFC 6265 §5.4)."""
    other = TOKEN[:-4] + "AAAA"
    assert find_token(f"{NAME}={TOKEN}; {NAME}={other}", PATTERN) == TOKEN


@pytest.mark.parametrize(
    "name", ["sb-project-auth-token-code-verifier", "xsb-p-auth-token", "SB-p-auth-token", "sb-auth-token", "session"]
)
def test_cookies_of_other_names_are_not_looked_at(name):
    assert find_token(f"{name}={TOKEN}", PATTERN) is None


def test_a_name_without_a_star_is_exact():
    """A dot in it is a dot."""
    pattern = compile_name("a.session")
    assert find_token(f"a.session={TOKEN}", pattern) == TOKEN
    assert find_token(f"axsession={TOKEN}", pattern) is None


@pytest.mark.parametrize(
    "value",
    ["", "deleted", "null", "base64-", "base64-!!!", "base64-" + "A" * 5, b64("no json"), b64("[]"), b64("{}"),
     quote('{"access_token": 7}'), quote('{"access_token": "opaque"}'), quote("[[]]"), quote("[" * 9000),
     b64("[" * 9000), "%zz", "%FF%FE", "{", "a.b.c", "eyJ", "base64-_w"],
    ids=lambda value: value[:24],
)  # fmt: skip
def test_a_cookie_without_a_token_is_no_credential(value):
    assert find_token(f"{NAME}={value}", PATTERN) is None


def test_a_cookie_field_beyond_64_kib_is_not_read():
    assert find_token(f"{NAME}={TOKEN}; x={'y' * MAX_TOTAL}", PATTERN) is None


@settings(derandomize=True, deadline=None, max_examples=400)
@given(st.text(max_size=200), st.text(max_size=60))
def test_any_text_is_a_token_or_none(header, value):
    assert find_token(header, PATTERN) is None or "." in header
    found = read_session(value)
    assert found is None or found.count(".") in (2, 4)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.integers(150, 4000), st.booleans(), st.randoms(use_true_random=False))
def test_every_way_of_cutting_gives_the_token(size, as_base64, random):
    value = b64(SESSION) if as_base64 else quote(SESSION)
    parts = chunked(value, size=max(size, len(value) // 10 + 1))
    random.shuffle(parts)
    assert find_token(";".join(parts), PATTERN) == TOKEN
