"""What the upstream is told, and what it is never told by a client (conformance 48)."""

from dataclasses import replace

import pytest

from proxy.core.identity import Identity, IdentityKind
from proxy.identity.forwarding import STRIPPED_PREFIX, differing_fields, forwarded_fields, stripped_fields
from proxy.policy.model import ForwardedIdentity
from tests.identity.conftest import policy


@pytest.mark.parametrize(
    "name",
    ["x-tenant-id", "x-user-id", "x-tier", "sluicegate-tenant", "sluicegate-user", "sluicegate-tier",
     "sluicegate-feature", "sluicegate-cost-centre", "x_tenant_id", "sluicegate_user", "sluicegate_cost_centre"],
)  # fmt: skip
def test_48_identity_fields_from_a_client_are_stripped(name):
    assert name.encode() in stripped_fields(policy())


def test_48_the_tenant_header_is_stripped_even_if_it_is_not_forwarded():
    names = stripped_fields(policy(tenant_header="x-org", forward=ForwardedIdentity("X-T", "X-U", "X-L")))
    assert {b"x-org", b"x-t", b"x-u", b"x-l", b"x_org"} <= names


def test_48_the_family_of_our_own_fields_has_a_prefix():
    assert all(name.startswith((STRIPPED_PREFIX, b"sluicegate_", b"x-", b"x_")) for name in stripped_fields(policy()))


def test_the_upstream_is_told_tenant_user_and_tier():
    identity = Identity(IdentityKind.USER, "pro", tenant="Zürich", user="u1")
    assert forwarded_fields(policy(), identity) == [
        (b"X-Tenant-ID", "Zürich".encode()),
        (b"X-User-ID", b"u1"),
        (b"X-Tier", b"pro"),
    ]


def test_the_tenant_header_is_set_anew_where_it_has_another_name():
    told = forwarded_fields(policy(tenant_header="x-org"), Identity(IdentityKind.USER, "pro", tenant="acme"))
    assert told == [(b"X-Tenant-ID", b"acme"), (b"X-Tier", b"pro"), (b"x-org", b"acme")]


def test_nothing_is_made_up_for_an_anonymous_caller():
    assert forwarded_fields(policy(), Identity(IdentityKind.ANONYMOUS, "anonymous")) == [(b"X-Tier", b"anonymous")]


@pytest.mark.parametrize("what", ["tenant", "user", "tier"])
@pytest.mark.parametrize("tenant_header", ["x-org", "x-tenant-id"])
def test_whatever_tells_callers_apart_is_known_to(what, tenant_header):
    """By the fields that are sent: each that two callers get otherwise differs, unless they share what it tells."""
    of_policy = policy(tenant_header=tenant_header)
    one = Identity(IdentityKind.USER, "pro", tenant="acme", user="u1")
    other = replace(one, **{what: "another"})
    pairs = zip(forwarded_fields(of_policy, one), forwarded_fields(of_policy, other), strict=True)
    told_apart = {ours[0].lower() for ours, theirs in pairs if ours != theirs}
    assert told_apart
    assert told_apart <= differing_fields(of_policy, frozenset({"tenant", "user", "tier"} - {what}))
    assert told_apart.isdisjoint(differing_fields(of_policy, frozenset({what})))


def test_a_field_that_differs_has_a_twin():
    assert {b"x-org", b"x_org"} <= differing_fields(policy(tenant_header="x-org"), frozenset({"user", "tier"}))
