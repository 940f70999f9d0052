"""What machine clients may do with their keys."""

import hashlib

import pytest

from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import IdentityKind
from proxy.identity.gatewaykeys import GatewayKeys
from proxy.policy.model import GatewayKey
from tests.identity.conftest import ISSUER, TIERS, fields, hs256, issuer, policy

SECRET = "sk-slg-0123456789abcdef0123456789abcdef"
HAND_MADE = "my own key, older than this gateway"
NOW = 1_000_000


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def key(**changes) -> GatewayKey:
    made = {"name": "worker", "sha256": ((digest(SECRET), None),), "tenant": "acme", "user": None, "tier": "pro",
            "may_act_for": None, "routes": None}  # fmt: skip
    return GatewayKey(**(made | changes))


def keys_of(*keys: GatewayKey, **changes) -> GatewayKeys:
    return GatewayKeys(policy(keys=keys or (key(),), **changes), TIERS)


def identified(keys: GatewayKeys, *pairs, now=NOW, secret=SECRET, **named):
    headers = fields(*pairs, token=secret, **named)
    presented = keys.find(headers)
    assert presented is not None
    return keys.identity(*presented, headers, now)


def refusal(keys: GatewayKeys, *pairs, **named) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        identified(keys, *pairs, **named)
    return caught.value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", f"Bearer {SECRET}"),
        ("authorization", f"bearer {SECRET}"),
        ("x-api-key", SECRET),
        ("X-API-Key", SECRET),
        ("x-goog-api-key", SECRET),
    ],
)
def test_a_key_is_found_in_each_of_its_fields(name, value):
    keys, headers = keys_of(), fields((name, value))
    presented = keys.find(headers)
    assert presented is not None
    identity = keys.identity(*presented, headers, NOW)
    assert (identity.kind, identity.credential) == (IdentityKind.MACHINE, "worker")
    assert (identity.tenant, identity.user, identity.tier) == ("acme", None, "pro")
    assert keys.fields_holding_keys(headers) == (name.lower().encode(),)


def test_a_key_made_by_hand_works_as_well():
    keys = keys_of(key(sha256=((digest(HAND_MADE), None),)))
    assert identified(keys, secret=HAND_MADE).credential == "worker"
    assert keys.fields_holding_keys(fields(("x-api-key", HAND_MADE))) == (b"x-api-key",)
    assert keys.fields_holding_keys(fields(("api-key", HAND_MADE))) == (b"api-key",)
    assert keys.is_key(HAND_MADE)
    assert keys.is_key("sk-slg-of-another-gateway")
    assert not keys.is_key("sk-of-a-provider")


@pytest.mark.parametrize("secret", [SECRET + "0", SECRET[:-1], "sk-slg-", SECRET.upper().replace("SK-SLG", "sk-slg")])
def test_what_looks_like_a_key_but_is_none_is_refused(secret):
    error = refusal(keys_of(), secret=secret)
    assert (error.reason, error.status, error.field) == (Reason.TOKEN_INVALID, 401, "authorization")
    assert error.headers[0][1].startswith(b'Bearer error="invalid_token"')
    assert secret not in str(error)


@pytest.mark.parametrize("value", ["", "abc", hs256(), "x" * 10_000, "sk-ant-api03-xyz", "\udcff"])
def test_other_values_are_none_of_our_keys(value):
    """They may be the upstream's own keys, and go there."""
    keys = keys_of()
    assert keys.find(fields(("x-api-key", value))) is None
    assert keys.fields_holding_keys(fields(("x-api-key", value))) == ()


def test_a_digest_is_no_key():
    assert keys_of().find(fields(token=digest(SECRET))) is None


def test_old_and_new_key_work_while_one_is_rotated_until_the_old_one_ends():
    new = "sk-slg-new"
    keys = keys_of(key(sha256=((digest(SECRET), NOW + 10), (digest(new), None))))
    assert identified(keys).expires_ms == NOW + 10
    assert identified(keys, secret=new).expires_ms is None
    error = refusal(keys, now=NOW + 10)
    assert (error.reason, error.status) == (Reason.TOKEN_EXPIRED, 401)
    assert identified(keys, secret=new, now=NOW + 10).credential == "worker"


def test_two_fields_of_one_name_are_refused_if_a_key_is_in_them():
    assert refusal(keys_of(), ("x-api-key", "a"), ("Authorization", "Bearer b")).status == 400
    assert keys_of().find(fields(("x-api-key", "a"), ("x-api-key", "b"))) is None


def test_of_keys_in_several_fields_authorization_comes_first_and_all_are_taken_out():
    other = key(name="other", sha256=((digest(HAND_MADE), None),))
    keys = keys_of(key(), other)
    assert identified(keys, ("x-api-key", HAND_MADE)).credential == "worker"
    headers = fields(("x-api-key", HAND_MADE), ("x-goog-api-key", "sk-slg-unknown"), token=SECRET)
    assert keys.fields_holding_keys(headers) == (b"authorization", b"x-api-key", b"x-goog-api-key")


def test_a_key_beside_a_token_is_found():
    keys = keys_of()
    found = keys.find(fields(("x-api-key", SECRET), token=hs256()))
    assert found is not None
    assert found[1] == "x-api-key"


def test_an_ordinary_key_acts_for_itself_whatever_it_says():
    identity = identified(
        keys_of(),
        Sluicegate_Tenant="globex",
        Sluicegate_User="eve",
        Sluicegate_Tier="enterprise",
        Sluicegate_Feature="chat",
        Sluicegate_Cost_Centre="r-and-d",
    )
    assert (identity.tenant, identity.user, identity.tier) == ("acme", None, "pro")
    assert (identity.feature, identity.cost_centre) == (None, None)


def test_a_key_that_may_act_for_any_names_tenant_user_and_tier():
    keys = keys_of(key(may_act_for=("*",)))
    identity = identified(keys, Sluicegate_Tenant="globex", Sluicegate_User="eve", Sluicegate_Tier="enterprise")
    assert (identity.tenant, identity.user, identity.tier) == ("globex", "eve", "enterprise")


@pytest.mark.parametrize(
    ("own", "named", "found"),
    [((None, None), ("chat", "r1"), ("chat", "r1")), (("search", "r2"), ("chat", "r1"), ("chat", "r1")),
     (("search", "r2"), (None, None), ("search", "r2")), (("search", "r2"), (None, "r1"), ("search", "r1"))],
)  # fmt: skip
def test_a_tag_that_a_call_names_goes_before_the_keys_own(own, named, found):
    """Each by itself; of a key that may not act for others only its own counts."""
    tags = dict(zip(("feature", "cost_centre"), own, strict=True))
    fields_of = zip(("Sluicegate-Feature", "Sluicegate-Cost-Centre"), named, strict=True)
    pairs = [(name, value) for name, value in fields_of if value is not None]
    identity = identified(keys_of(key(may_act_for=("*",), **tags)), *pairs)
    assert (identity.feature, identity.cost_centre) == found
    ordinary = identified(keys_of(key(**tags)), *pairs)
    assert (ordinary.feature, ordinary.cost_centre) == own


def test_a_key_names_only_the_tenants_that_it_may():
    keys = keys_of(key(may_act_for=("globex",)))
    assert identified(keys, Sluicegate_Tenant="globex").tenant == "globex"
    assert identified(keys, Sluicegate_Tenant="acme").tenant == "acme"
    assert identified(keys, Sluicegate_User="eve").tenant == "acme"
    error = refusal(keys, Sluicegate_Tenant="initech")
    assert (error.reason, error.status, error.field) == (Reason.TENANT_REFUSED, 403, "sluicegate-tenant")


@pytest.mark.parametrize("value", ["", " x", "a\x01", "x" * 257])
@pytest.mark.parametrize("what", ["Tenant", "User", "Tier", "Feature", "Cost-Centre"])
def test_names_that_cannot_be_names_are_refused(what, value):
    name = f"Sluicegate-{what}"
    error = refusal(keys_of(key(may_act_for=("*",))), (name, value))
    assert (error.reason, error.status, error.field) == (Reason.BAD_TENANT, 400, name.lower())


def test_a_doubled_name_is_refused():
    error = refusal(keys_of(key(may_act_for=("*",))), ("Sluicegate-Tenant", "a"), ("sluicegate-tenant", "b"))
    assert error.status == 400


@pytest.mark.parametrize(
    ("own", "named", "found"),
    [("pro", None, "pro"), ("pro", "trial", "trial"), (None, None, "trial"), ("pro", "gold", "trial"),
     ("gone", None, "trial"), (None, "enterprise", "enterprise")],
)  # fmt: skip
def test_a_tier_is_the_named_one_else_the_keys_own_and_always_the_policys(own, named, found):
    keys = keys_of(key(may_act_for=("*",), tier=own))
    pairs = [("Sluicegate-Tier", named)] if named else []
    assert identified(keys, *pairs, ("Sluicegate-Tenant", "globex")).tier == found


def test_a_named_user_is_the_sole_issuers_so_that_it_has_one_meter():
    acting = key(may_act_for=("*",), user="robot")
    assert identified(keys_of(acting), Sluicegate_User="user-1").issuer == ISSUER
    assert identified(keys_of(acting)).issuer == ""
    two = keys_of(acting, issuers=(issuer(), issuer(issuer="https://other")))
    assert identified(two, Sluicegate_User="user-1").issuer == ""


def test_the_same_names_give_the_same_object():
    keys = keys_of(key(may_act_for=("*",)))
    one, same = (identified(keys, Sluicegate_Tenant="globex") for _ in range(2))
    assert one is same
    assert identified(keys, Sluicegate_Tenant="initech") is not one
    assert identified(keys, Sluicegate_User="globex") is not one


def test_identities_are_bounded(monkeypatch):
    monkeypatch.setattr("proxy.identity.gatewaykeys.MAX_IDENTITIES", 50)
    keys = keys_of(key(may_act_for=("*",)))
    for number in range(500):
        assert identified(keys, Sluicegate_User=f"u{number}").user == f"u{number}"
    assert sum(len(match.identities) for _, match in keys._by_digest.values()) <= 50


def test_a_key_is_good_for_its_routes():
    keys = keys_of(key(routes=("ai",)), key(name="any", sha256=((digest(HAND_MADE), None),)))
    some, any_ = identified(keys), identified(keys, secret=HAND_MADE)
    assert (keys.key_may_use(some, "ai"), keys.key_may_use(some, "app")) == (True, False)
    assert keys.key_may_use(any_, "app")


def test_digests_are_compared_in_constant_time(monkeypatch):
    compared = []

    def spy(one, two):
        compared.append((one, two))
        return one == two

    monkeypatch.setattr("proxy.identity.gatewaykeys.hmac.compare_digest", spy)
    keys = keys_of()
    assert keys.match(SECRET) is not None
    assert keys.match("other") is None
    assert compared == [(digest(SECRET), digest(SECRET))]


def test_no_key_is_held_but_those_that_were_presented():
    keys = keys_of()
    assert SECRET not in repr(keys._by_digest)
