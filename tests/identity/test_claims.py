"""What a genuine token may say of who calls."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import GatewayError, Reason
from proxy.identity.claims import BadPolicy, Facts, believed, check_paths, is_name, read, rule_matches
from proxy.policy.model import ClaimPaths, ClaimRule
from tests.identity.conftest import TIERS, claims, issuer, policy


def said(metadata, chosen=None, tenants=None, **more) -> Facts:
    return read(claims(app_metadata=metadata, **more), issuer(tenants=tenants), policy(), TIERS, chosen)


def refused(metadata, chosen=None, tenants=None, **more) -> Reason:
    with pytest.raises(GatewayError) as caught:
        said(metadata, chosen, tenants, **more)
    assert caught.value.status == 403
    return caught.value.reason


def test_tenant_user_and_tier_are_read_by_path():
    assert said({"company_id": "acme", "subscription_tier": "pro"}) == Facts("acme", "user-1", "pro")


@pytest.mark.parametrize(
    ("value", "tenant"),
    [
        ("acme", "acme"),
        ("Zürich 7", "Zürich 7"),
        ("x" * 256, "x" * 256),
        (42, "42"),
        (0, "0"),
        (-7, "-7"),
        (None, None),
    ],
)
def test_strings_and_whole_numbers_name_a_tenant(value, tenant):
    assert said({"company_id": value}).tenant == tenant


@pytest.mark.parametrize(
    "value",
    ["", " ", "x" * 257, "a\nb", "a\r\nX-Tier: pro", "a\x00", "a\x7f", "a\x85b", "a\u2028b", " acme", "acme ", "\tacme",
     True, False, 1.0, 2**63, ["acme"], {"id": "acme"}],
    ids=repr,
)  # fmt: skip
def test_what_cannot_be_a_name_is_refused(value):
    assert refused({"company_id": value}) is Reason.CLAIMS_REFUSED
    assert refused({}, sub=value) is Reason.CLAIMS_REFUSED


def test_tags_are_read_where_the_policy_says():
    """Nowhere else: a claim that happens to have such a name says nothing."""
    paths = replace(policy().claims, feature=("app_metadata", "feature"), cost_centre=("cost_centre",))
    made = claims(app_metadata={"feature": "chat"}, cost_centre=42)
    tagged = read(made, issuer(), policy(claims=paths), TIERS, None)
    assert (tagged.feature, tagged.cost_centre) == ("chat", "42")
    plain = read(made, issuer(), policy(), TIERS, None)
    assert (plain.feature, plain.cost_centre) == (None, None)
    with pytest.raises(GatewayError) as caught:
        read(claims(cost_centre="a\nb"), issuer(), policy(claims=paths), TIERS, None)
    assert (caught.value.reason, caught.value.field) == (Reason.CLAIMS_REFUSED, "cost_centre")


@pytest.mark.parametrize("tag", ["feature", "cost_centre"])
def test_tags_are_not_taken_from_what_users_write_themselves(tag):
    with pytest.raises(BadPolicy, match="user_metadata"):
        check_paths(policy(claims=replace(policy().claims, **{tag: ("user_metadata", "x")})))


def test_the_claim_at_fault_is_named_and_its_value_is_not():
    with pytest.raises(GatewayError) as caught:
        said({"company_id": "secret\nvalue"})
    assert caught.value.field == "app_metadata.company_id"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("metadata", [{}, None, "text", ["acme"], {"company_id": None}])
def test_a_token_without_a_tenant_acts_for_none(metadata):
    assert said(metadata).tenant is None


def test_an_issuer_may_name_its_tenants_only():
    assert said({"company_id": "acme"}, tenants=("acme",)).tenant == "acme"
    assert refused({"company_id": "globex"}, tenants=("acme",)) is Reason.TENANT_REFUSED
    assert refused({}, tenants=("acme",)) is Reason.TENANT_REFUSED
    member = {"company_id": "acme", "company_ids": ["globex"]}
    assert refused(member, chosen="globex", tenants=("acme",)) is Reason.TENANT_REFUSED
    assert said(member, chosen="globex", tenants=("globex",)).tenant == "globex"


@pytest.mark.parametrize(
    ("listed", "chosen"), [(["acme", "globex"], "globex"), ([7], "7"), ([], "acme"), (["globex"], "acme")]
)
def test_a_member_may_choose_among_the_listed_tenants(listed, chosen):
    """Its own tenant needs no list."""
    assert said({"company_id": "acme", "company_ids": listed}, chosen=chosen).tenant == chosen


@pytest.mark.parametrize(
    "listed",
    [
        None,
        [],
        ["acme"],
        "globex",
        "globex,acme",
        {"globex": True},
        [["globex"]],
        ["GLOBEX"],
        ["globex "],
        ["*"],
        [True],
    ],
    ids=repr,
)
def test_any_other_tenant_is_refused(listed):
    assert refused({"company_id": "acme", "company_ids": listed}, chosen="globex") is Reason.TENANT_REFUSED


def test_where_the_policy_has_no_list_of_members_nobody_chooses():
    paths = replace(policy().claims, member_of=None)
    with pytest.raises(GatewayError):
        read(claims(), issuer(), policy(claims=paths), TIERS, "globex")


@pytest.mark.parametrize(
    ("tier", "chosen", "found"),
    [
        ("pro", None, "pro"),
        ("pro", "acme", "pro"),
        ("pro", "globex", "trial"),  # the home tenant's tier is not brought along
        ({"acme": "pro", "globex": "enterprise"}, None, "pro"),
        ({"acme": "pro", "globex": "enterprise"}, "globex", "enterprise"),
        ({"acme": "pro"}, "globex", "trial"),
        ("gold", None, "trial"),
        ({"acme": "gold"}, None, "trial"),
        ("PRO", None, "trial"),
        ("", None, "trial"),
        (None, None, "trial"),
        (3, None, "trial"),
        (["pro"], None, "trial"),
        ({"acme": ["pro"]}, None, "trial"),
    ],
    ids=repr,
)
def test_the_tier_belongs_to_the_tenant_acted_for(tier, chosen, found):
    metadata = {"company_id": "acme", "company_ids": ["acme", "globex"], "subscription_tier": tier}
    assert said(metadata, chosen=chosen).tier == found


def test_a_tier_by_tenant_says_nothing_without_a_tenant():
    assert said({"subscription_tier": {"": "pro", "None": "pro"}}).tier == "trial"
    assert said({"subscription_tier": "pro"}).tier == "pro"


@pytest.mark.parametrize("at", ["tenant", "user", "member_of", "tier"])
@pytest.mark.parametrize("root", ["user_metadata", "raw_user_meta_data"])
def test_a_path_into_what_users_write_is_refused_at_load(at, root):
    paths = replace(policy().claims, **{at: (root, "company_id")})
    with pytest.raises(BadPolicy, match=f"{root}.company_id: users write"):
        check_paths(policy(claims=paths))


@pytest.mark.parametrize("kind", ["refuse", "anonymous_tokens"])
def test_a_rule_on_what_users_write_is_refused_at_load(kind):
    rule = ClaimRule(claims=((("user_metadata", "role"), "x"),))
    with pytest.raises(BadPolicy):
        check_paths(policy(**{kind: (rule,)}))


def test_what_users_write_is_not_passed_on():
    assert believed({"sub": "u", "user_metadata": {"company_id": "evil"}, "raw_user_meta_data": {}}) == {"sub": "u"}


@pytest.mark.parametrize(
    ("wanted", "value", "matches"),
    [
        ("anon", "anon", True),
        ("anon", "ANON", False),
        ("anon", ["user", "anon"], True),
        ("anon", [["anon"]], False),
        ("anon", None, False),
        ("anon", {"anon": True}, False),
        (1, 1, True),
        (1, True, False),
        (True, 1, False),
        (True, True, True),
        (1, 1.0, False),
        ("1", 1, False),
    ],
    ids=repr,
)
def test_a_rule_matches_equal_values_of_the_same_type(wanted, value, matches):
    assert rule_matches(ClaimRule(claims=((("a", "b"), wanted),)), {"a": {"b": value}}) is matches


def test_all_of_a_rules_claims_must_match_and_an_empty_rule_never_does():
    rule = ClaimRule(claims=((("a",), 1), (("b",), 2)))
    assert rule_matches(rule, {"a": 1, "b": 2})
    assert not rule_matches(rule, {"a": 1})
    assert not rule_matches(ClaimRule(), {"a": 1})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(derandomize=True, deadline=None, max_examples=400)
@given(JSON, JSON, JSON, JSON, st.none() | st.sampled_from(["acme", "globex"]) | st.text(min_size=1, max_size=20))
def test_whatever_the_claims_hold_the_facts_are_safe(tenant, members, tier, user, chosen):
    """A tenant is its own or listed, names can stand in a header field, tiers are the policy's."""
    metadata = {"company_id": tenant, "company_ids": members, "subscription_tier": tier}
    try:
        facts = said(metadata, chosen=chosen, sub=user)
    except GatewayError as caught:
        refusals = (Reason.CLAIMS_REFUSED, Reason.TENANT_REFUSED)
        if caught.reason not in refusals:
            raise
        return
    assert facts.tier in TIERS
    for name in (facts.tenant, facts.user):
        assert name is None or (is_name(name) and not set(name) & set("\r\n\x00") and name.encode())
    own = str(tenant) if isinstance(tenant, int) and not isinstance(tenant, bool) else tenant
    listed = [str(name) for name in members] if isinstance(members, list) else []
    assert facts.tenant == own or facts.tenant in listed


def test_the_paths_of_these_tests_are_the_sketchs():
    assert policy().claims == ClaimPaths(
        tenant=("app_metadata", "company_id"),
        member_of=("app_metadata", "company_ids"),
        user=("sub",),
        tier=("app_metadata", "subscription_tier"),
    )
