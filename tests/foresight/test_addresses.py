"""Whom a line with X-Forwarded-For comes from, under a policy."""

import pytest

from proxy.foresight.addresses import LoggedAddresses
from proxy.foresight.replaying import Replay
from tests.foresight.lines import entry
from tests.foresight.policies import changed

TRUSTING = changed(("version: 1\n", "version: 1\nlisten: {trusted_proxies: [10.0.0.0/8]}\n"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address", "unbelieved"),
    [
        ("10.0.0.5", "1.2.3.4, 198.51.100.9", "198.51.100.9", 0),  # what stands further left a client may have written
        ("10.0.0.5", "198.51.100.9, 10.0.0.7", "198.51.100.9", 0),
        ("10.0.0.5", "10.0.0.8, 10.0.0.7", "10.0.0.8", 0),
        ("10.0.0.5", "rubbish", "10.0.0.5", 0),
        ("10.0.0.5", "198.51.100.9, 10.0.0.5", "198.51.100.9", 0),
        ("192.0.2.7", "198.51.100.9", "192.0.2.7", 1),
        ("192.0.2.7", "198.51.100.9, 192.0.2.7", "192.0.2.7", 1),
        ("192.0.2.7", "192.0.2.7", "192.0.2.7", 0),
        ("", "1.2.3.4, 198.51.100.9", "198.51.100.9", 1),
        ("", "198.51.100.9, 10.0.0.7", "198.51.100.9", 0),
        ("", "198.51.100.9", "198.51.100.9", 0),
        ("192.0.2.1", "", "192.0.2.1", 0),
    ],
)
def test_the_nearest_that_is_no_trusted_proxy(peer: str, forwarded: str, address: str, unbelieved: int) -> None:
    one = entry(ip=peer)
    one.forwarded = forwarded
    addresses = LoggedAddresses(TRUSTING)
    assert [addresses.of(one), addresses.of(one)] == [address, address]
    assert addresses.unbelieved == 2 * unbelieved


def test_who_writes_another_address_each_time_is_counted_as_one() -> None:
    """Thirty requests of one client each forged another leftmost address, and a limit by address let all through."""
    replay = Replay(
        changed(("version: 1\n", "version: 1\nlisten: {trusted_proxies: [10.0.0.0/8]}\n"), ("100/1m", "10/1m"))
    )
    for n in range(30):
        one = entry(n, ip="10.0.0.5", path="/app/x", tenant=None, user=None, tier="anonymous")
        one.forwarded = f"1.2.3.{n}, 198.51.100.9"
        replay.add(one)
    assert replay.sums.refused == 20


def test_a_policy_that_trusts_nobody_says_so() -> None:
    replay = Replay(changed())
    one = entry(ip="10.0.0.5")
    one.forwarded = "198.51.100.9"
    replay.add(one)
    assert replay.notes()[0].startswith("1 lines have an X-Forwarded-For by somebody whom listen.trusted_proxies ")
