"""Where the credential is found."""

import pytest

from proxy.core.errors import GatewayError, Reason
from proxy.identity.credentials import AUTHORIZATION, COOKIE, TokenFinder, bearer
from proxy.policy.model import TokenSource
from tests.identity.conftest import fields, hs256

TOKEN = hs256()
BOTH = (TokenSource(header="authorization"), TokenSource(cookie="session"))


@pytest.mark.parametrize(
    ("value", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER   abc ", "abc"),
        ("Bearer abc, Bearer def", "abc, Bearer def"),
        ("Bearer", ""),
        ("Bearer ", ""),
        ("Basic abc", None),
        ("Bearerabc", None),
        ("abc", None),
        ("", None),
    ],
)
def test_the_bearer_scheme_is_taken_off_in_any_case(value, token):
    assert bearer(value) == token


def test_the_first_source_that_has_a_token_is_used():
    finder = TokenFinder(BOTH)
    assert finder.find(fields(token="a", Cookie=f"session={TOKEN}")) == ("a", AUTHORIZATION)
    assert finder.find(fields(Cookie=f"session={TOKEN}")) == (TOKEN, COOKIE)
    assert TokenFinder(reversed(BOTH)).find(fields(token="a", Cookie=f"session={TOKEN}")) == (TOKEN, COOKIE)
    assert finder.find(fields()) is None


def test_another_scheme_is_no_credential_of_ours():
    assert TokenFinder(BOTH).find(fields(Authorization="Basic eDp5")) is None
    assert TokenFinder(BOTH).find(fields(Authorization="Basic eDp5", Cookie=f"session={TOKEN}")) == (TOKEN, COOKIE)


def test_two_authorization_fields_are_refused():
    """Duplicate Authorization headers: the upstream might read the other one."""
    with pytest.raises(GatewayError) as caught:
        TokenFinder(BOTH).find(fields(("authorization", "Bearer b"), token="a"))
    assert (caught.value.reason, caught.value.status, caught.value.field) == (Reason.MALFORMED, 400, "authorization")
    assert caught.value.headers[0][1].startswith(b'Bearer error="invalid_request"')


def test_another_field_holds_the_token_bare_or_as_bearer():
    finder = TokenFinder([TokenSource(header="x-access-token")])
    assert finder.find(fields(X_Access_Token="abc")) == ("abc", "x-access-token")
    assert finder.find(fields(X_Access_Token="Bearer abc")) == ("abc", "x-access-token")
    assert finder.find(fields(token="abc")) is None


def test_several_cookie_fields_are_one_list():
    finder = TokenFinder([TokenSource(cookie="session")])
    half = len(TOKEN) // 2
    headers = fields(("Cookie", f"session.0={TOKEN[:half]}"), ("Cookie", f"session.1={TOKEN[half:]}"))
    assert finder.find(headers) == (TOKEN, COOKIE)


def test_a_cookie_field_is_read_once(monkeypatch):
    """Chunks and base64 cost several microseconds: the same field gives the very same text."""
    finder = TokenFinder([TokenSource(cookie="a"), TokenSource(cookie="b")])
    one, two = (finder.find(fields(Cookie=f"b=%22{TOKEN}%22")) for _ in range(2))
    assert one is not None
    assert two is not None
    assert one[0] is two[0]
    assert finder.find(fields(Cookie="c=d")) is None
    assert finder.find(fields(Cookie="c=d")) is None
