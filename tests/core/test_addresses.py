"""What of an address is counted."""

from ipaddress import IPv4Address, ip_address

import pytest

from proxy.core.addresses import counted_address, unmapped


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("unix:", "unix:"),
    ],
)
def test_an_ipv6_customer_is_one_caller(address: str, counted: str) -> None:
    """A customer has a whole /64 and could use another address for each request."""
    assert counted_address(address) == counted


def test_a_mapped_ipv4_is_the_ipv4_that_it_is() -> None:
    assert unmapped(ip_address("::ffff:192.0.2.1")) == IPv4Address("192.0.2.1")
    assert unmapped(ip_address("2001:db8::1")) == ip_address("2001:db8::1")
