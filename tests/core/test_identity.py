"""The value that identity makes and every other feature reads."""

import dataclasses

import pytest

from proxy.core.identity import Identity, IdentityKind, claim_at


def test_identities_are_compared_by_identity():
    """One object is one verified credential acting for one tenant."""
    one, other = (Identity(IdentityKind.USER, "gold", "acme", "iss", "u1") for _ in range(2))
    assert one != other
    assert len({one, other}) == 2


def test_an_identity_cannot_be_changed_but_for_its_memo():
    """What others derive from it may be kept with it."""
    identity = Identity(IdentityKind.ANONYMOUS, "anonymous")
    with pytest.raises(dataclasses.FrozenInstanceError):
        identity.tier = "gold"
    identity.memo["k"] = 1
    assert Identity(IdentityKind.ANONYMOUS, "anonymous").memo == {}


def test_claims_are_not_shown():
    """Whoever prints or logs an identity tells no token's content."""
    assert "hush" not in repr(Identity(IdentityKind.USER, "gold", claims={"email": "hush"}))


@pytest.mark.parametrize(
    ("path", "value"),
    [(("a",), {"b": 1}), (("a", "b"), 1), (("a", "b", "c"), None), (("x",), None), (("l", "0"), None), ((), "whole")],
)
def test_a_claim_is_found_by_its_steps(path, value):
    """None where any step is missing or not an object."""
    claims = {"a": {"b": 1}, "l": [1]}
    assert claim_at(claims, path) == (claims if value == "whole" else value)
