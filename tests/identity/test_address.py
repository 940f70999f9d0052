"""Who is at the other end, behind proxies of whom some are trusted (conformance 47)."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.addresses import counted_address
from proxy.identity.address import Caller, CallerFinder, Hop, parse_forwarded, parse_node
from tests.identity.conftest import fields

TRUSTED = tuple(ip_network(text) for text in ("10.0.0.0/8", "2001:db8:ffff::/48"))
PROXY = "10.0.0.1"


def found(*pairs, peer=PROXY, trusted=TRUSTED) -> Caller:
    return CallerFinder(trusted).find(peer, fields(*pairs))


def by_xff(*values: str, peer=PROXY) -> str:
    return found(*(("X-Forwarded-For", value) for value in values), peer=peer).address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1\t", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:c000:201]:1", "192.0.2.1"),
        ("::1", "::1"),
        ("", None),
        ("unknown", None),
        ("_hidden", None),
        ("192.0.2", None),
        ("192.0.2.256", None),
        ("192.0.2.1:", None),
        ("192.0.2.1:123456", None),
        ("192.0.2.01", None),
        ("0x7f000001", None),
        ("2130706433", None),
        ("[192.0.2.1]", "192.0.2.1"),
        ("fe80::1%eth0", None),
        ("2001:db8::1::2", None),
        ("example.com", None),
        ("192.0.2.1 192.0.2.2", None),
        ("٣.0.0.1", None),
    ],
)
def test_an_address_has_one_form_and_nothing_else_is_one(text, address):
    assert parse_node(text) == address


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ((), PROXY),
        (("192.0.2.1",), "192.0.2.1"),
        (("203.0.113.9, 192.0.2.1",), "192.0.2.1"),  # leftmost is what the client wrote
        (("203.0.113.9", "192.0.2.1"), "192.0.2.1"),
        (("192.0.2.1, 10.0.0.2",), "192.0.2.1"),
        (("192.0.2.1, 10.0.0.2", "10.0.0.3"), "192.0.2.1"),
        (("203.0.113.9, 192.0.2.1, 10.0.0.2",), "192.0.2.1"),
        (("10.0.0.3, 10.0.0.2",), "10.0.0.3"),  # all trusted: the furthest
        (("192.0.2.1, garbage",), PROXY),
        (("192.0.2.1, garbage, 10.0.0.2",), "10.0.0.2"),
        (("192.0.2.1, unknown",), PROXY),
        (("192.0.2.1, ,",), "192.0.2.1"),
        (("",), PROXY),
        (("192.0.2.1:55, [2001:db8:ffff::1]:443",), "192.0.2.1"),
        (("::ffff:192.0.2.1",), "192.0.2.1"),
        (("192.0.2.1, ::ffff:10.0.0.2",), "192.0.2.1"),
        (("127.0.0.1, 192.0.2.1",), "192.0.2.1"),
        (('"192.0.2.1"',), PROXY),
    ],
)
def test_47_x_forwarded_for_is_read_from_the_right_as_long_as_the_speaker_is_trusted(values, address):
    assert by_xff(*values) == address


def test_47_a_peer_that_is_not_trusted_is_the_caller():
    caller = found(
        ("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil"),
        ("Forwarded", "for=127.0.0.1"), peer="192.0.2.66",
    )  # fmt: skip
    assert caller == Caller("192.0.2.66")


def test_47_without_trusted_proxies_nobody_is_believed():
    assert found(("X-Forwarded-For", "127.0.0.1"), trusted=()) == Caller(PROXY)


def test_a_mapped_peer_is_its_ipv4_address():
    assert by_xff("192.0.2.1", peer="::ffff:10.0.0.1") == "192.0.2.1"
    assert found(peer="::ffff:192.0.2.9").address == "192.0.2.9"


def test_a_peer_that_is_no_address_is_never_trusted():
    assert by_xff("192.0.2.1", peer="unix:") == "unix:"


def test_a_chain_of_any_length_costs_a_bounded_walk():
    assert by_xff(", ".join(["192.0.2.1"] + ["10.0.0.2"] * 100)) == "10.0.0.2"


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("for=192.0.2.1", "192.0.2.1"),
        ("For=192.0.2.1;Proto=https;by=203.0.113.43", "192.0.2.1"),
        ('for="[2001:db8::17]:4711"', "2001:db8::17"),
        ('for="192.0.2.1:80"', "192.0.2.1"),
        ('for=203.0.113.9, for="192.0.2.1"', "192.0.2.1"),
        ("for=192.0.2.1, for=10.0.0.2", "192.0.2.1"),
        ("for=192.0.2.1,for=_hidden", PROXY),
        ("for=192.0.2.1, for=unknown;proto=https", PROXY),
        ("for=192.0.2.1, by=10.0.0.2", PROXY),
        ('for=203.0.113.9, for="192.0.2.1', PROXY),  # a quote that a client left open
        ('for="203.0.113.9, for=192.0.2.1', PROXY),
        ("for=203.0.113.9 for=192.0.2.1", PROXY),
        ("for=203.0.113.9;for=192.0.2.1", PROXY),
        ("for=[2001:db8::17]", "2001:db8::17"),
        ('for="_a\\"b, for=203.0.113.9", for=192.0.2.1', "192.0.2.1"),
        ("for=192.0.2.1,", "192.0.2.1"),
        ("for=192.0.2.1;", PROXY),
        ("", PROXY),
        ("garbage", PROXY),
    ],
)
def test_47_forwarded_is_read_by_the_same_rule(value, address):
    """RFC 7239 §4 and §8.1."""
    assert found(("Forwarded", value)).address == address


def test_several_forwarded_fields_are_one_list():
    assert found(("Forwarded", 'for="open'), ("Forwarded", "for=192.0.2.1")).address == "192.0.2.1"


def test_forwarded_is_read_where_there_is_no_x_forwarded_for():
    assert found(("Forwarded", "for=203.0.113.9"), ("X-Forwarded-For", "192.0.2.1")).address == "192.0.2.1"


def test_forwarded_says_scheme_and_host_too():
    assert parse_forwarded(['for=192.0.2.1;proto=HTTPS;host="App.example:8443"']) == [
        Hop("192.0.2.1", "https", "app.example:8443")
    ]
    assert found(("Forwarded", "for=192.0.2.1;proto=https;host=a.example")) == Caller("192.0.2.1", "https", "a.example")


@pytest.mark.parametrize(
    ("pairs", "scheme", "host"),
    [
        ([("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "App.example")], "https", "app.example"),
        ([("X-Forwarded-Proto", "HTTPS")], "https", None),
        ([("X-Forwarded-Proto", "gopher"), ("X-Forwarded-Host", "a b")], None, None),
        ([("X-Forwarded-Host", "evil\r\nx")], None, None),
        ([("X-Forwarded-Host", "[2001:db8::1]:8080")], None, "[2001:db8::1]:8080"),
        ([("X-Forwarded-Proto", "http, https")], "https", None),
    ],
)
def test_a_trusted_proxy_tells_scheme_and_host(pairs, scheme, host):
    assert found(("X-Forwarded-For", "192.0.2.1"), *pairs) == Caller("192.0.2.1", scheme, host)
    assert found(*pairs) == Caller(PROXY, scheme, host)


def test_lists_of_schemes_are_matched_with_the_hops_from_the_right():
    pairs = [("X-Forwarded-For", "192.0.2.1, 10.0.0.2"), ("X-Forwarded-Proto", "ftp, https, http")]
    assert found(*pairs) == Caller("192.0.2.1", "https")


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr("proxy.identity.address.MAX_REMEMBERED", 20)
    finder = CallerFinder(TRUSTED)
    for number in range(200):
        address = f"192.0.2.{number}"
        assert finder.find(PROXY, fields(("X-Forwarded-For", address))).address == address
        assert finder.find(f"203.0.113.{number}", fields()).address == f"203.0.113.{number}"
    assert len(finder._found) <= 20
    assert len(finder._peers) <= 20


@pytest.mark.parametrize("field", ["X-Forwarded-For", "Forwarded"])
@settings(derandomize=True, deadline=None, max_examples=300)
@given(forged=st.text(max_size=80))
def test_47_nothing_that_a_client_writes_changes_who_it_is(field, forged):
    """What a trusted proxy adds at the right stands: the answer is the client's address, or the unclear proxy."""
    added = "198.51.100.23" if field == "X-Forwarded-For" else "for=198.51.100.23"
    caller = found((field, f"{forged}, {added}"))
    assert caller.address in ("198.51.100.23", PROXY)
    if field == "X-Forwarded-For":
        assert caller.address == "198.51.100.23"


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.ip_addresses())
def test_every_address_has_a_form_that_is_its_own(address):
    normal = parse_node(str(address).split("%")[0])
    assert normal is not None
    assert parse_node(normal) == normal
    assert ip_address(normal) is not None
    assert counted_address(normal) in (normal, counted_address(str(address).split("%")[0]))
