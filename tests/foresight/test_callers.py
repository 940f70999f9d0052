"""Who acts where nothing is verified."""

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import IdentityKind
from proxy.foresight.callers import LoggedCallers, anonymous, claimed, keyed
from tests.foresight.policies import changed, compiled

POLICY = compiled()


def fields(**named: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in named.items()}))


def test_claims_are_read_as_a_tokens() -> None:
    ada = claimed(POLICY, None, {"sub": "ada", "tenant": "acme", "tier": "enterprise", "user_metadata": {"x": 1}})
    assert (ada.kind, ada.tenant, ada.user, ada.tier, ada.issuer) == (
        IdentityKind.USER,
        "acme",
        "ada",
        "enterprise",
        "test",
    )
    assert "user_metadata" not in ada.claims


def test_a_member_acts_for_the_tenant_that_is_asked_for() -> None:
    claims = {"sub": "ada", "tenant": "acme", "tenants": ["initech"], "tier": "enterprise"}
    member = claimed(POLICY, "initech", claims)
    assert (member.tenant, member.tier) == ("initech", "trial")
    with pytest.raises(GatewayError) as refused:
        claimed(POLICY, "globex", claims)
    assert refused.value.reason is Reason.TENANT_REFUSED


@pytest.mark.parametrize(
    ("claims", "reason"),
    [({"iss": "another"}, Reason.TOKEN_INVALID), ({"role": "service"}, Reason.CLAIMS_REFUSED)],
)
def test_what_a_token_would_be_refused_for(claims: dict[str, str], reason: Reason) -> None:
    with pytest.raises(GatewayError) as refused:
        claimed(POLICY, None, claims)
    assert refused.value.reason is reason


def test_a_key_acts_for_whom_its_fields_name() -> None:
    robot = keyed(POLICY, "robot", fields(), 0)
    assert (robot.kind, robot.tenant, robot.tier, robot.credential) == (
        IdentityKind.MACHINE,
        "initech",
        "enterprise",
        "robot",
    )
    assert keyed(POLICY, "robot", fields(Sluicegate_Tenant="acme"), 0).tenant == "acme"
    with pytest.raises(KeyError):
        keyed(POLICY, "toaster", fields(), 0)


def test_nobody_has_the_anonymous_tier() -> None:
    assert anonymous(POLICY).tier == "anonymous"
    assert anonymous(POLICY, "trial").tier == "trial"


def test_a_lines_caller_is_one_identity_and_its_plans_are_kept_with_it() -> None:
    callers = LoggedCallers(POLICY)
    ada = callers.identity("acme", "ada", "trial", None)
    assert callers.identity("acme", "ada", "trial", None) is ada
    assert (ada.issuer, ada.kind) == ("test", IdentityKind.USER)
    assert callers.identity(None, None, "trial", None) is callers.nobody()


def test_a_tier_that_the_policy_does_not_know_is_noted() -> None:
    callers = LoggedCallers(POLICY)
    assert callers.identity("acme", "bob", "gold", None).tier == "trial"
    assert callers.unknown_tiers == {"gold"}


@pytest.mark.parametrize(
    ("issuers", "tenant", "reason", "issuer"),
    [
        ("[]", "acme", Reason.TOKEN_INVALID, ""),
        ("[{issuer: a, secrets: [S], tenants: [other]}]", "acme", Reason.TENANT_REFUSED, ""),
        ("[{issuer: a, secrets: [S], tenants: [other]}]", None, Reason.TENANT_REFUSED, ""),
        (
            "[{issuer: a, secrets: [S], tenants: [acme]}, {issuer: b, secrets: [S], tenants: [other]}]",
            "acme",
            None,
            "a",
        ),
        ("[{issuer: a, secrets: [S], tenants: [acme]}, {issuer: b, secrets: [S], tenants: any}]", "acme", None, ""),
        ("[{issuer: a, secrets: [S], tenants: any}]", None, None, "a"),
    ],
)
def test_an_issuer_is_one_that_may_name_the_tenant(
    issuers: str, tenant: str | None, reason: Reason | None, issuer: str
) -> None:
    written = f'issuers: [{{issuer: test, secrets: ["{"s" * 32}"], tenants: any}}]'
    callers = LoggedCallers(changed((written, f"issuers: {issuers.replace('S', 's' * 32)}")))
    assert callers.refusal(tenant) is reason
    assert callers.identity(tenant, "ada", "trial", None).issuer == issuer
    assert callers.several == ("any" in issuers and tenant == "acme")


def test_a_key_is_for_its_routes() -> None:
    callers = LoggedCallers(POLICY)
    assert callers.key_may_use("robot", "api")
    assert not callers.key_may_use("robot", "upload")
    assert callers.knows_key("robot")
    assert not callers.knows_key("toaster")
