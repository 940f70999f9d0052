"""Which fields stop here, and how lists in them are read."""

import pytest

from proxy.core.headers import FORWARDING, HOP_BY_HOP, get_all, is_token, list_members


@pytest.mark.parametrize("value", [b"GET", b"x-a", b"!#$%&'*+-.^_`|~09"])
def test_tokens(value):
    """RFC 9110 §5.6.2."""
    assert is_token(value)


@pytest.mark.parametrize("value", [b"", b"a b", b"a:", b"a\n", b"(a)", b"\xc3\xa9", b'"a"', b"a/b"])
def test_what_is_no_token(value):
    """Delimiters, white space, controls, anything beyond ASCII; a final newline too."""
    assert not is_token(value)


@pytest.mark.parametrize(
    ("value", "members"),
    [
        (b"close", [b"close"]),
        (b"Keep-Alive , X-A,\tupgrade ", [b"keep-alive", b"x-a", b"upgrade"]),
        (b", ,a,,", [b"a"]),
        (b"", []),
    ],
)
def test_members_of_a_list(value, members):
    """Lower-cased, empty ones left out (RFC 9110 §5.6.1.2)."""
    assert list_members(value) == members


def test_every_value_of_a_field_in_order():
    """Whatever the case of its name."""
    headers = [(b"Set-Cookie", b"a"), (b"X", b"y"), (b"set-cookie", b"b")]
    assert get_all(headers, b"set-cookie") == [b"a", b"b"]
    assert get_all(headers, b"none") == []


def test_the_tables_are_in_lower_case_and_apart():
    """A field stops here, or is made anew: not both."""
    assert all(name == name.lower() for name in HOP_BY_HOP | FORWARDING)
    assert not HOP_BY_HOP & FORWARDING
