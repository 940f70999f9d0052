"""Meter keys: one caller's are the same each time, and no word from outside makes two callers one."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.crc import key_slot

from proxy.core.identity import Identity, IdentityKind
from proxy.metering.keys import CLOCK, GONE, LIVE, meter_key, sender_key
from proxy.policy.model import MeterKind, ScopeKind
from proxy.store.nodes import SLOT
from tests.metering.samples import anonymous, limit, rate, user

IP = "192.0.2.1"


def key(identity: Identity, *scopes: ScopeKind, address: str = IP, route: str = "r", name: str = "l", **more) -> bytes:
    return meter_key(limit(name, rate(1), scopes=scopes, **more), identity, route, address)


def test_all_keys_share_one_slot() -> None:
    keys = [CLOCK, GONE, LIVE, sender_key(b"x"), key(user("}{x}"), ScopeKind.USER)]
    assert {key_slot(each) for each in keys} == {SLOT}


def test_a_meter_belongs_to_what_its_scope_names() -> None:
    """Each scope tells apart what it names and nothing else."""
    ann, bob = user("ann", "acme"), user("bob", "acme")
    assert key(ann, ScopeKind.USER) != key(bob, ScopeKind.USER)
    assert key(ann, ScopeKind.TENANT) == key(bob, ScopeKind.TENANT)
    assert key(ann, ScopeKind.TENANT) != key(user("ann", "other"), ScopeKind.TENANT)
    assert key(ann, ScopeKind.USER) == key(user("ann", "other"), ScopeKind.USER, address="198.51.100.9")
    assert key(ann, ScopeKind.TIER) != key(anonymous(), ScopeKind.TIER)
    assert key(ann, ScopeKind.ROUTE, route="a") != key(ann, ScopeKind.ROUTE, route="b")
    assert key(ann, ScopeKind.GLOBAL) == key(anonymous(), ScopeKind.GLOBAL, address="::1", route="x")
    assert key(ann, ScopeKind.IP) == key(anonymous(), ScopeKind.IP)
    assert key(ann, ScopeKind.USER, ScopeKind.ROUTE, route="a") != key(ann, ScopeKind.USER, ScopeKind.ROUTE, route="b")
    assert key(ann, ScopeKind.USER) != key(ann, ScopeKind.USER, name="other limit")


def test_the_same_user_of_two_issuers_is_two() -> None:
    assert key(user("1", issuer="https://a"), ScopeKind.USER) != key(user("1", issuer="https://b"), ScopeKind.USER)


def test_a_claim_is_counted_by_path_type_and_value() -> None:
    def claim(path: tuple[str, ...], **claims: object) -> bytes:
        return key(user(**claims), ScopeKind.CLAIM, claim=path)

    org = ("org", "id")
    values = [1, "1", True, "True", 0, False]
    assert len({claim(org, org={"id": value}) for value in values}) == len(values)
    assert claim(("a", "b"), a={"b": "x"}) != claim(("a",), a="b")
    assert claim(org, org={"id": "x"}) == claim(org, org={"id": "x", "other": 1})


@pytest.mark.parametrize("scope", [ScopeKind.USER, ScopeKind.TENANT, ScopeKind.CLAIM])
def test_who_has_no_such_word_is_counted_by_address(scope: ScopeKind) -> None:
    """And can collide with nobody who has one, even one that looks like an address."""
    nobody = anonymous()
    assert key(nobody, scope, claim=("c",)) != key(nobody, scope, claim=("c",), address="192.0.2.2")
    assert key(nobody, scope, claim=("c",)) != key(nobody, ScopeKind.IP)
    pretender = Identity(IdentityKind.USER, "pro", IP, "-by-address", IP, claims={"c": IP})
    assert key(pretender, scope, claim=("c",)) != key(nobody, scope, claim=("c",))
    for odd in (None, [], {}, 1.5, ""):
        assert key(user(c=odd), ScopeKind.CLAIM, claim=("c",)) == key(nobody, ScopeKind.CLAIM, claim=("c",))


words = st.text(st.characters(codec="utf-8"), max_size=4) | st.sampled_from(("}", "{m0}", ":", "\0", "by-address", ""))


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(words, words), min_size=2, max_size=2, unique=True))
def test_no_words_run_into_one_another(pairs: list[tuple[str, str]]) -> None:
    one, two = (user(name, issuer=issuer) for issuer, name in pairs)
    assert key(one, ScopeKind.USER) != key(two, ScopeKind.USER)


def test_leases_never_meet_amounts() -> None:
    """They are another type in the store: a limit that becomes one of concurrency must not find its own past there."""
    kinds = [key(user(), ScopeKind.USER, kind=kind) for kind in MeterKind if kind is not MeterKind.HOLD]
    assert len(set(kinds)) == 2
    assert [each for each, _ in itertools.groupby(kinds)] == [kinds[0], kinds[3]]
