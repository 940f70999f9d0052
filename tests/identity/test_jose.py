"""A token's form: one spelling, and nothing in its header that changes what was signed."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.identity.flaws import Flaw, TokenRefused
from proxy.identity.jose import MAX_TOKEN, decode_base64url, parse
from tests.identity.conftest import base64url, claims, hs256


def flaw_of(token: str) -> Flaw:
    with pytest.raises(TokenRefused) as caught:
        parse(token)
    return caught.value.flaw


def made_of(header: str, payload: str = "{}", signature: str = "AAAA") -> str:
    return f"{base64url(header.encode())}.{base64url(payload.encode())}.{signature}"


def test_a_token_is_taken_apart():
    parsed = parse(hs256(claims(), kid="k1"))
    assert (parsed.algorithm, parsed.kid, parsed.claims) == ("HS256", "k1", claims())


def test_a_token_over_8_kib_is_refused_before_it_is_parsed():
    """Not even its dots are counted."""
    assert flaw_of("x" * (MAX_TOKEN + 1)) is Flaw.TOO_LONG


@pytest.mark.parametrize(
    ("token", "flaw"),
    [
        ("", Flaw.NOT_THREE_PARTS),
        ("a.b", Flaw.NOT_THREE_PARTS),
        ("a.b.c.d", Flaw.NOT_THREE_PARTS),
        ("a.b.c.d.e", Flaw.ENCRYPTED),
        (made_of('{"alg":"dir","enc":"A256GCM"}') + ".x.y", Flaw.ENCRYPTED),
        ("..", Flaw.NOT_JSON),
        (made_of("[]"), Flaw.NOT_JSON),
        (made_of('{"alg":"HS256"}', "[]"), Flaw.NOT_JSON),
        (made_of('{"alg":"HS256"}', '"x"'), Flaw.NOT_JSON),
        ("é.é.é", Flaw.NOT_BASE64URL),
        ("a b.c.d", Flaw.NOT_BASE64URL),
    ],
    ids=str,
)
def test_what_has_not_the_form_of_a_signed_token_is_refused(token, flaw):
    assert flaw_of(token) is flaw


@pytest.mark.parametrize(
    ("header", "flaw"),
    [
        ('{"alg":"HS256","alg":"none"}', Flaw.DUPLICATE_MEMBER),
        ('{"alg":"none","alg":"HS256"}', Flaw.DUPLICATE_MEMBER),
        ('{"alg":"HS256","x":{"a":1,"a":2}}', Flaw.DUPLICATE_MEMBER),
        ('{"alg":"HS256","crit":["exp"]}', Flaw.EXTENSION_REFUSED),
        ('{"alg":"HS256","crit":[]}', Flaw.EXTENSION_REFUSED),
        ('{"alg":"HS256","b64":false,"crit":["b64"]}', Flaw.EXTENSION_REFUSED),
        ('{"alg":"HS256","b64":true}', Flaw.EXTENSION_REFUSED),
        ('{"alg":"HS256","zip":"DEF"}', Flaw.EXTENSION_REFUSED),
        ('{"alg":"dir","enc":"A256GCM"}', Flaw.EXTENSION_REFUSED),
        ('{"typ":"JWT"}', Flaw.ALGORITHM_REFUSED),
        ('{"alg":null}', Flaw.ALGORITHM_REFUSED),
        ('{"alg":["HS256"]}', Flaw.ALGORITHM_REFUSED),
        ('{"alg":"HS256","kid":1}', Flaw.KID_NOT_TEXT),
        ('{"alg":"HS256","kid":null}', Flaw.KID_NOT_TEXT),
        ('{"alg":"HS256","kid":{"a":1}}', Flaw.KID_NOT_TEXT),
        ('{"alg":"HS256","kid":["k"]}', Flaw.KID_NOT_TEXT),
        (json.dumps({"alg": "HS256", "kid": "k" * 257}), Flaw.KID_NOT_TEXT),
        ('{"alg":"HS256","typ":7}', Flaw.TYPE_REFUSED),
        ('{"alg":"HS256","typ":"logout+jwt"}', Flaw.TYPE_REFUSED),
        ('{"alg":"HS256","typ":"DPoP+JWT"}', Flaw.TYPE_REFUSED),
    ],
)
def test_a_header_that_says_more_than_it_may_is_refused(header, flaw):
    assert flaw_of(made_of(header)) is flaw


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", "Bearer"])
def test_access_tokens_of_the_usual_types_are_read(typ):
    assert parse(made_of(json.dumps({"alg": "HS256", "typ": typ}))).algorithm == "HS256"


@pytest.mark.parametrize("payload", ['{"sub":"a","sub":"b"}', '{"app_metadata":{"company_id":"a","company_id":"b"}}'])
def test_duplicate_claims_are_refused_at_every_level(payload):
    assert flaw_of(made_of('{"alg":"HS256"}', payload)) is Flaw.DUPLICATE_MEMBER


def test_a_header_that_points_to_a_key_is_read_without_it():
    """jku, x5u, jwk and x5c are ignored: nothing of them is kept."""
    header = {"alg": "HS256", "jku": "https://evil", "x5u": "https://evil", "jwk": {"kty": "oct"}, "x5c": ["x"]}
    parsed = parse(made_of(json.dumps(header)))
    assert (parsed.algorithm, parsed.kid) == ("HS256", None)


def test_a_token_has_exactly_one_spelling():
    """Padding, the other alphabet and stray last bits would give one token many texts, and many cache keys."""
    token = hs256()
    head, payload, signature = token.split(".")
    stray = chr(ord(signature[-1]) + 1)  # 32 bytes leave two zero bits at the end, so the next character is never right
    respelled = [
        token + "=",
        token + "==",
        f"{head}=.{payload}.{signature}",
        f"{head}.{payload}=.{signature}",
        f"{head}.{payload}.{signature[:-1]}{stray}",
        token + "\n",
        f"{head}.{payload}.{signature[:5]} {signature[5:]}",
        f"{head}.{payload}.{signature[:5]}\n{signature[5:]}",
    ]
    assert {flaw_of(text) for text in respelled} == {Flaw.NOT_BASE64URL}


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=64), st.text("ABab01-_+/=. \n", max_size=4), st.integers(0, 100))
def test_no_two_texts_decode_to_the_same_bytes(raw, extra, at):
    """Whatever else decodes at all decodes to something else."""
    text = base64url(raw)
    assert decode_base64url(text.encode()) == raw
    position = min(at, len(text))
    other = text[:position] + extra + text[position:]
    try:
        decoded = decode_base64url(other.encode())
    except ValueError:
        return
    assert (decoded == raw) == (other == text)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.text(max_size=300))
def test_any_text_is_taken_apart_or_refused(text):
    try:
        parse(text)
    except TokenRefused:
        pass
