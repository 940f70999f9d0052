"""Whose budget a text means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.admin.scopetexts import form, subject
from proxy.core.identity import Identity, IdentityKind
from proxy.metering.keys import budget_base, scope_text
from proxy.policy.model import Scope, ScopeKind

TENANT, USER, MODEL = Scope(ScopeKind.TENANT), Scope(ScopeKind.USER), Scope(ScopeKind.MODEL)
GLOBAL, IP = Scope(ScopeKind.GLOBAL), Scope(ScopeKind.IP)
DEPARTMENT = Scope(ScopeKind.CLAIM, ("app.metadata", "department"))
KINDS = [Scope(kind) for kind in ScopeKind if kind is not ScopeKind.CLAIM] + [DEPARTMENT]
WORDS = st.text(min_size=1, max_size=8)


@given(
    scopes=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4, unique_by=lambda scope: scope.kind),
    tenant=st.none() | WORDS,
    user=st.none() | WORDS,
    issuer=WORDS,
    department=st.none() | WORDS | st.integers() | st.booleans(),
    words=st.tuples(WORDS, WORDS, WORDS, st.text(max_size=8)),
)
def test_every_text_of_the_ledger_means_the_same_again(
    scopes: list[Scope],
    tenant: str | None,
    user: str | None,
    issuer: str,
    department: object,
    words: tuple[str, str, str, str],
) -> None:
    """Whatever a caller is called: the text that admission makes leads to the same counter and is written the same."""
    tier, route, model, feature = words
    claims = {"app.metadata": {"department": department}}
    identity = Identity(IdentityKind.USER, tier, tenant, issuer, user, claims=claims, feature=feature)
    text = scope_text(scopes, identity, route, "203.0.113.9", model)
    found = subject(scopes, text)
    assert found is not None
    assert found.text(scopes) == text
    base = budget_base("b", scopes, identity, route, "203.0.113.9", model)
    assert budget_base("b", scopes, found.identity, found.route, found.address, found.model) == base


@pytest.mark.parametrize(
    ("scopes", "typed", "written"),
    [
        ([TENANT], "tenant:acme", "tenant:acme"),
        ([TENANT], "tenant:50%", "tenant:50%25"),
        ([TENANT], "tenant:50%25", "tenant:50%25"),
        ([TENANT], "tenant:Acme%20Corp", "tenant:Acme%20Corp"),
        ([TENANT, MODEL], "tenant:acme model:gpt-4o", "tenant:acme model:gpt-4o"),
        ([USER], "user:https://id.example u-1", "user:https://id.example u-1"),
        ([USER], "user:u-1", "user:https://only.example u-1"),
        ([USER, MODEL], "user:u-1 model:m", "user:https://only.example u-1 model:m"),
        ([IP], "ip:2001:db8::5", "ip:2001:db8::/64"),
        ([GLOBAL], "global", "global"),
    ],
)
def test_what_ops_type_is_written_as_admission_does(scopes: list[Scope], typed: str, written: str) -> None:
    found = subject(scopes, typed, "https://only.example")
    assert found is not None
    assert found.text(scopes) == written


@pytest.mark.parametrize(
    ("scopes", "typed"),
    [
        ([TENANT], "tenat:acme"),
        ([TENANT], "tenant:"),
        ([TENANT], "tenant:Acme Corp"),
        ([TENANT], "acme"),
        ([TENANT], ""),
        ([TENANT], "tenant:acme model:m"),
        ([TENANT, MODEL], "tenant:acme"),
        ([GLOBAL], "global:acme"),
        ([GLOBAL], "tenant:acme"),
        ([USER], "user:u-1"),
        ([DEPARTMENT], "claim:other.path str sales"),
        ([DEPARTMENT], "claim:app%252Emetadata.department int sales"),
        ([DEPARTMENT], "claim:app%252Emetadata.department float 1.5"),
    ],
)
def test_what_means_nobody_is_nobody(scopes: list[Scope], typed: str) -> None:
    assert subject(scopes, typed) is None


def test_the_form_shows_how_it_is_written() -> None:
    assert [form([GLOBAL]), form([USER]), form([TENANT, MODEL])] == [
        "global", "user:ISSUER USER", "tenant:TENANT model:MODEL",
    ]  # fmt: skip
