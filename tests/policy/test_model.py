"""The compiled policy's own small words."""

import pytest

from proxy.policy.model import Address, Origin


@pytest.mark.parametrize(
    ("address", "text"), [(Address("127.0.0.1", 80), "127.0.0.1:80"), (Address("::1", 80), "[::1]:80")]
)
def test_an_address_reads_as_it_is_written(address, text):
    """IPv6 in brackets."""
    assert str(address) == text


@pytest.mark.parametrize(
    ("origin", "authority"),
    [
        (Origin("http", "a", 80), "a"),
        (Origin("https", "a", 443), "a"),
        (Origin("https", "a", 80), "a:80"),
        (Origin("http", "::1", 80), "[::1]"),
        (Origin("http", "::1", 81), "[::1]:81"),
    ],
)
def test_an_authority_leaves_out_the_schemes_own_port(origin, authority):
    """As the Host field has it (RFC 9110 §4.2.3)."""
    assert origin.authority == authority
