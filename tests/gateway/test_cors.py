"""The Fetch standard's rules for what a page on another origin may read."""

import pytest

from proxy.gateway.cors import allows, answer_fields, preflight_fields
from proxy.policy.model import Cors


def cors(**changes: object) -> Cors:
    given = {"origins": ("https://app.example.com",), "credentials": True, "methods": ("GET", "POST"), "headers": (),
             "expose": (), "max_age_s": 600} | changes  # fmt: skip
    return Cors(**given)


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (("https://app.example.com",), "https://app.example.com", True),
        (("https://app.example.com",), "https://APP.example.com", True),
        (("https://app.example.com",), "http://app.example.com", False),
        (("https://app.example.com",), "https://app.example.com.evil.test", False),
        (("https://app.example.com",), "https://appxexample.com", False),
        (("https://*.example.com",), "https://a.b.example.com", True),
        (("https://*.example.com",), "https://example.com", False),
        (("https://*.example.com",), "https://evil.test/.example.com", False),
        (("https://*.example.com",), "https://a.example.com:8443", False),
        (("*",), "null", True),
    ],
)
def test_origins(origins: tuple[str, ...], origin: str, allowed: bool) -> None:
    """A dot is a dot; a star stands for labels, never for a scheme, a port or a path."""
    assert allows(cors(origins=origins), origin) is allowed


def test_an_echoed_origin_varies() -> None:
    """An answer that names its asker must not be given to another (RFC 9110 §12.5.5)."""
    fields = answer_fields(cors(), "https://app.example.com")
    assert (b"Access-Control-Allow-Origin", b"https://app.example.com") in fields
    assert (b"Vary", b"Origin") in fields
    assert (b"Access-Control-Allow-Credentials", b"true") in fields


def test_star_without_credentials_is_sent_as_it_is() -> None:
    assert answer_fields(cors(origins=("*",), credentials=False), "https://x.test") == [
        (b"Access-Control-Allow-Origin", b"*")
    ]


def test_star_with_credentials_echoes() -> None:
    """Browsers refuse "*" with credentials."""
    fields = answer_fields(cors(origins=("*",)), "https://x.test")
    assert (b"Access-Control-Allow-Origin", b"https://x.test") in fields


def test_refused_origin_learns_nothing() -> None:
    assert answer_fields(cors(), "https://evil.test") == [(b"Vary", b"Origin")]
    assert preflight_fields(cors(), "https://evil.test", "authorization") == [(b"Vary", b"Origin")]


def test_same_origin_requests_get_nothing() -> None:
    assert answer_fields(cors(), None) == []


def test_preflight_allows_what_was_asked_unless_the_policy_names_it() -> None:
    asked = dict(preflight_fields(cors(), "https://app.example.com", "authorization, x-a"))
    assert asked[b"Access-Control-Allow-Headers"] == b"authorization, x-a"
    assert asked[b"Access-Control-Allow-Methods"] == b"GET, POST"
    assert asked[b"Access-Control-Max-Age"] == b"600"
    named = dict(preflight_fields(cors(headers=("x-b",)), "https://app.example.com", "authorization"))
    assert named[b"Access-Control-Allow-Headers"] == b"x-b"
