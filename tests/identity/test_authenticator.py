"""From a request's fields to one identity: quickly when it was seen before, never wrongly."""

import asyncio
import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import Identity, IdentityKind
from proxy.identity.authenticator import MAX_CHOICES, Authenticator
from proxy.identity.claims import BadPolicy
from proxy.identity.jwks import KeySets
from proxy.identity.keys import BadKey
from proxy.policy.model import AuthMode, ClaimRule, ExpiredCookie, GatewayKey, TokenSource
from tests.identity.conftest import (
    ADDRESS,
    ISSUER,
    START_MS,
    TIERS,
    FakeClock,
    claims,
    encode,
    error_of,
    fields,
    hs256,
    issuer,
    policy,
    published,
)

NOW = START_MS // 1000
REQUIRED, OPTIONAL, NONE = AuthMode.REQUIRED, AuthMode.OPTIONAL, AuthMode.NONE
KEY = "sk-slg-0123456789abcdef"
GATEWAY_KEY = GatewayKey(
    name="worker",
    sha256=((hashlib.sha256(KEY.encode()).hexdigest(), START_MS + 1000),),
    tenant="acme",
    user=None,
    tier="pro",
    may_act_for=("*",),
    routes=("ai",),
)


# --- who it is ---------------------------------------------------------------------------------------------------


async def test_a_user_is_issuer_and_subject_acting_for_a_tenant(authenticator):
    identity = await authenticator().identify(fields(token=hs256()), ADDRESS, REQUIRED)
    assert (identity.kind, identity.issuer, identity.user) == (IdentityKind.USER, ISSUER, "user-1")
    assert (identity.tenant, identity.tier, identity.credential) == ("acme", "pro", "")
    assert identity.expires_ms == (NOW + 3600) * 1000
    assert identity.claims["sub"] == "user-1"


async def test_a_users_tags_are_those_of_the_token(authenticator):
    """A field of the request names none: anybody may send it."""
    paths = replace(policy().claims, feature=("app_metadata", "feature"), cost_centre=("cost_centre",))
    token = hs256(claims(app_metadata={"company_id": "acme", "feature": "chat"}, cost_centre="r1"))
    headers = fields(token=token, Sluicegate_Feature="search", Sluicegate_Cost_Centre="r2")
    identity = await authenticator(claims=paths).identify(headers, ADDRESS, REQUIRED)
    assert (identity.feature, identity.cost_centre) == ("chat", "r1")


async def test_what_users_write_themselves_is_not_among_the_claims(authenticator):
    token = hs256(claims(user_metadata={"company_id": "evil"}))
    identity = await authenticator().identify(fields(token=token), ADDRESS, REQUIRED)
    assert "user_metadata" not in identity.claims


async def test_the_same_token_gives_the_same_object_so_that_its_memo_is_found(authenticator, verifications):
    made, token = authenticator(), hs256()
    identity = await made.identify(fields(token=token), ADDRESS, REQUIRED)
    identity.memo["meter"] = "kept"
    for headers in (
        fields(token=token),
        fields(("authorization", f"bearer  {token} ")),
        fields(Cookie=f"sb-p-auth-token={token}"),
    ):
        for auth in (REQUIRED, OPTIONAL):
            assert made.cached(headers, "2001:db8::1", auth) is identity
            assert await made.identify(headers, "2001:db8::1", auth) is identity
    assert len(verifications) == 1


async def test_two_requests_that_wait_for_the_same_keys_get_the_same_object(authenticator, key_server, private_keys):
    key_server.keys = [published(private_keys["ES256"], kid="e")]
    made = authenticator(issuers=(issuer(secrets=(), jwks_url=key_server.url),))
    headers = fields(token=encode({"alg": "ES256", "kid": "e"}, claims(), private_keys["ES256"], "ES256"))
    found = await asyncio.gather(*(made.identify(headers, ADDRESS, REQUIRED) for _ in range(20)))
    assert {id(identity) for identity in found} == {id(made.cached(headers, ADDRESS, REQUIRED))}
    assert key_server.fetches == 1


async def test_a_member_of_several_tenants_chooses_one_by_header(authenticator, verifications):
    made, token = authenticator(), hs256()
    home = await made.identify(fields(token=token), ADDRESS, REQUIRED)
    chosen = fields(token=token, X_Tenant_Id="globex")
    assert made.cached(chosen, ADDRESS, REQUIRED) is None
    other = await made.identify(chosen, ADDRESS, REQUIRED)
    assert (other.tenant, other.tier, home.tenant, home.tier) == ("globex", "trial", "acme", "pro")
    assert made.cached(chosen, ADDRESS, REQUIRED) is other
    assert made.cached(fields(token=token, X_Tenant_Id=""), ADDRESS, REQUIRED) is home
    assert len(verifications) == 1


async def test_a_tenant_that_the_token_does_not_list_is_refused(authenticator):
    made, token = authenticator(), hs256()
    await made.identify(fields(token=token), ADDRESS, REQUIRED)
    error = await error_of(made, fields(token=token, X_Tenant_Id="initech"))
    assert (error.reason, error.status, error.field) == (Reason.TENANT_REFUSED, 403, "x-tenant-id")


@pytest.mark.parametrize("values", [["acme", "globex"], ["acme", "acme"], ["a\x01"], ["x" * 257], [" acme"]], ids=repr)
async def test_an_ambiguous_or_impossible_choice_is_refused(authenticator, values):
    made, token = authenticator(), hs256()
    await made.identify(fields(token=token), ADDRESS, REQUIRED)
    error = await error_of(made, fields(*(("X-Tenant-ID", value) for value in values), token=token))
    assert (error.reason, error.status) == (Reason.BAD_TENANT, 400)


async def test_the_tenants_that_one_token_is_remembered_for_are_bounded(authenticator):
    tenants = [f"t{number}" for number in range(3 * MAX_CHOICES)]
    made, token = authenticator(), hs256(claims(app_metadata={"company_ids": tenants}))
    for tenant in tenants:
        identity = await made.identify(fields(token=token, X_Tenant_Id=tenant), ADDRESS, REQUIRED)
        assert identity.tenant == tenant
    assert len(made._tokens.get(token).identities) <= MAX_CHOICES


# --- without a credential ----------------------------------------------------------------------------------------


async def test_where_no_auth_is_asked_for_no_token_is_looked_at(authenticator, verifications):
    made = authenticator(keys=(GATEWAY_KEY,))
    for headers in (
        fields(),
        fields(token="rubbish"),
        fields(token=KEY),
        fields(("Authorization", "a"), token=hs256()),
    ):
        assert made.cached(headers, ADDRESS, NONE) is made.anonymous
        assert await made.identify(headers, ADDRESS, NONE) is made.anonymous
    assert verifications == []


async def test_optional_auth_without_a_credential_is_anonymous(authenticator):
    made = authenticator()
    for headers in (fields(), fields(Authorization="Basic eDp5"), fields(Cookie="a=b; sb-p-auth-token=")):
        assert made.cached(headers, ADDRESS, OPTIONAL) is made.anonymous
        assert await made.identify(headers, ADDRESS, OPTIONAL) is made.anonymous
    assert (made.anonymous.kind, made.anonymous.tier, made.anonymous.tenant) == (
        IdentityKind.ANONYMOUS, "anonymous", None,
    )  # fmt: skip


async def test_optional_auth_with_an_invalid_token_is_a_401(authenticator):
    error = await error_of(authenticator(), fields(token="rubbish"), OPTIONAL)
    assert (error.reason, error.status) == (Reason.TOKEN_INVALID, 401)


async def test_required_auth_without_a_credential_is_asked_for_one(authenticator):
    """RFC 6750 §3.1: no error code where nothing was sent."""
    error = await error_of(authenticator(), fields())
    assert (error.reason, error.status) == (Reason.TOKEN_MISSING, 401)
    assert error.headers == ((b"WWW-Authenticate", b'Bearer realm="sluicegate"'),)


@pytest.mark.parametrize("token", ["", "undefined", "null", "a.b.c", "x" * 9000, "\udcff.a.b"])
async def test_an_invalid_token_is_a_401_with_a_challenge_and_without_the_token(authenticator, token):
    error = await error_of(authenticator(), fields(token=token))
    assert (error.reason, error.status) == (Reason.TOKEN_INVALID, 401)
    assert error.headers[0][0] == b"WWW-Authenticate"
    assert error.headers[0][1].startswith(b'Bearer error="invalid_token"')
    assert len(token) < 5 or token not in str(error)


async def test_two_authorization_fields_are_refused(authenticator):
    """Even two equal ones, even if both were seen before."""
    made, token = authenticator(), hs256()
    await made.identify(fields(token=token), ADDRESS, REQUIRED)
    for auth in (REQUIRED, OPTIONAL):
        error = await error_of(made, fields(("Authorization", f"Bearer {token}"), token=token), auth)
        assert (error.status, error.field) == (400, "authorization")


# --- anonymous tokens, refused tokens, cookies -------------------------------------------------------------------

SUPABASE = {"anonymous_tokens": (ClaimRule(equals_header="apikey"), ClaimRule(claims=((("role",), "anon"),)))}


async def test_the_public_key_of_an_app_is_no_credential(authenticator, verifications):
    """supabase-js sends it as Bearer; the newer ones are no JWTs."""
    made = authenticator(**SUPABASE)
    headers = fields(token="sb_publishable_x", apikey="sb_publishable_x")
    assert made.cached(headers, ADDRESS, OPTIONAL) is made.anonymous
    assert await made.identify(headers, ADDRESS, OPTIONAL) is made.anonymous
    assert (await error_of(made, headers)).reason is Reason.TOKEN_MISSING
    assert verifications == []


async def test_a_users_token_beside_the_public_key_is_the_users(authenticator):
    made = authenticator(**SUPABASE)
    headers = fields(token=hs256(), apikey="sb_publishable_x")
    assert (await made.identify(headers, ADDRESS, REQUIRED)).user == "user-1"


async def test_what_is_public_is_anonymous_even_if_it_was_a_users_before(authenticator):
    made, token = authenticator(**SUPABASE), hs256()
    await made.identify(fields(token=token), ADDRESS, REQUIRED)
    assert made.cached(fields(token=token, apikey=token), ADDRESS, OPTIONAL) is made.anonymous


async def test_a_token_with_anonymous_claims_is_verified_and_anonymous(authenticator, verifications):
    made, headers = authenticator(**SUPABASE), fields(token=hs256(claims(role="anon")))
    assert await made.identify(headers, ADDRESS, OPTIONAL) is made.anonymous
    assert made.cached(headers, ADDRESS, OPTIONAL) is made.anonymous
    assert (await error_of(made, headers)).reason is Reason.TOKEN_MISSING
    forged = fields(token=hs256(claims(role="anon"), secret="another secret, more than 32 bytes long"))
    assert (await error_of(made, forged, OPTIONAL)).reason is Reason.TOKEN_INVALID
    assert len(verifications) == 2


async def test_refused_claims_are_a_403_and_cost_one_verification(authenticator, verifications):
    made = authenticator(refuse=(ClaimRule(claims=((("role",), "service_role"),)),))
    headers = fields(token=hs256(claims(role="service_role")))
    for _ in range(3):
        error = await error_of(made, headers, OPTIONAL)
        assert (error.reason, error.status) == (Reason.CLAIMS_REFUSED, 403)
    assert len(verifications) == 1


async def test_a_rule_that_asks_for_nothing_refuses_nobody(authenticator):
    made = authenticator(refuse=(ClaimRule(),), anonymous_tokens=(ClaimRule(),))
    assert (await made.identify(fields(token=hs256()), ADDRESS, REQUIRED)).user == "user-1"


async def test_a_rule_may_ask_for_a_header_and_claims_both(authenticator):
    rule = ClaimRule(claims=((("role",), "x"),), equals_header="apikey")
    made, token = authenticator(refuse=(rule,)), hs256(claims(role="x"))
    identity = await made.identify(fields(token=token), ADDRESS, REQUIRED)
    assert identity.user == "user-1"
    assert (await error_of(made, fields(token=token, apikey=token))).status == 403
    assert made.cached(fields(token=token, apikey="other"), ADDRESS, REQUIRED) is identity


async def test_what_a_header_decides_is_not_remembered_for_requests_without_it(authenticator):
    rule = ClaimRule(claims=((("role",), "x"),), equals_header="apikey")
    made, token = authenticator(anonymous_tokens=(rule,)), hs256(claims(role="x"))
    with_it, without = fields(token=token, apikey=token), fields(token=token)
    assert await made.identify(with_it, ADDRESS, OPTIONAL) is made.anonymous
    assert made.cached(without, ADDRESS, OPTIONAL) is None
    user = await made.identify(without, ADDRESS, OPTIONAL)
    assert user.user == "user-1"
    assert made.cached(with_it, ADDRESS, OPTIONAL) is None
    assert await made.identify(with_it, ADDRESS, OPTIONAL) is made.anonymous
    assert made.cached(without, ADDRESS, OPTIONAL) is user


@pytest.mark.parametrize("expired_cookie", list(ExpiredCookie))
@pytest.mark.parametrize("auth", [REQUIRED, OPTIONAL])
async def test_an_expired_session_in_a_cookie_is_anonymous_where_the_policy_says(authenticator, expired_cookie, auth):
    made = authenticator(expired_cookie=expired_cookie)
    expired = hs256(claims(exp=NOW - 1))
    headers = fields(Cookie=f"sb-p-auth-token={expired}")
    if auth is OPTIONAL and expired_cookie is ExpiredCookie.ANONYMOUS:
        for _ in range(2):
            assert await made.identify(headers, ADDRESS, auth) is made.anonymous
    else:
        error = await error_of(made, headers, auth)
        assert (error.reason, error.field) == (Reason.TOKEN_EXPIRED, "exp")
    assert (await error_of(made, fields(token=expired), auth)).reason is Reason.TOKEN_EXPIRED


async def test_a_forged_cookie_is_a_401(authenticator):
    forged = hs256(secret="another secret, more than 32 bytes long")
    error = await error_of(authenticator(), fields(Cookie=f"sb-p-auth-token={forged}"), OPTIONAL)
    assert (error.reason, error.field) == (Reason.TOKEN_INVALID, "cookie")


# --- gateway keys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "x-goog-api-key"])
async def test_a_gateway_key_is_a_machine(authenticator, clock, name):
    made = authenticator(keys=(GATEWAY_KEY,))
    headers = fields((name, f"Bearer {KEY}" if name == "Authorization" else KEY), Sluicegate_User="eve")
    identity = await made.identify(headers, ADDRESS, REQUIRED)
    assert (identity.kind, identity.user, identity.expires_ms) == (IdentityKind.MACHINE, "eve", START_MS + 1000)
    assert made.cached(headers, ADDRESS, REQUIRED) is identity
    assert (made.key_may_use(identity, "ai"), made.key_may_use(identity, "app")) == (True, False)
    assert made.fields_holding_keys(headers) == (name.lower().encode(),)
    clock.move(1000)
    assert (await error_of(made, headers)).reason is Reason.TOKEN_EXPIRED


async def test_a_gateway_key_goes_before_a_token_whatever_was_seen_before(authenticator):
    made, token = authenticator(keys=(GATEWAY_KEY,)), hs256()
    user = await made.identify(fields(token=token), ADDRESS, REQUIRED)
    both = fields(("x-api-key", KEY), token=token)
    machine = await made.identify(both, ADDRESS, REQUIRED)
    assert machine.kind is IdentityKind.MACHINE
    assert made.cached(both, ADDRESS, REQUIRED) is machine
    assert made.cached(fields(("x-api-key", "the upstream's"), token=token), ADDRESS, REQUIRED) is user
    assert made.cached(fields(token=token), ADDRESS, REQUIRED) is user


async def test_a_key_that_is_not_ours_is_refused_beside_a_good_token(authenticator):
    made, token = authenticator(keys=(GATEWAY_KEY,)), hs256()
    await made.identify(fields(token=token), ADDRESS, REQUIRED)
    assert (await error_of(made, fields(("x-api-key", "sk-slg-no"), token=token))).field == "x-api-key"


async def test_a_users_word_on_sluicegate_fields_is_not_heard(authenticator):
    headers = fields(token=hs256(), Sluicegate_Tenant="evil", Sluicegate_User="root", Sluicegate_Tier="enterprise")
    identity = await authenticator(keys=(GATEWAY_KEY,)).identify(headers, ADDRESS, REQUIRED)
    assert (identity.tenant, identity.user, identity.tier) == ("acme", "user-1", "pro")


async def test_a_key_is_taken_out_where_no_auth_is_asked_for_too(authenticator):
    made = authenticator(keys=(GATEWAY_KEY,))
    assert made.fields_holding_keys(fields(token=KEY)) == (b"authorization",)
    assert made.fields_holding_keys(fields(token=hs256())) == ()
    assert authenticator().fields_holding_keys(fields(token="sk-slg-of-another-gateway")) == (b"authorization",)


async def test_guessed_gateway_keys_are_attempts_too(authenticator):
    made = authenticator(keys=(GATEWAY_KEY,), attempts_per_minute=2)
    for number in range(2):
        assert (await error_of(made, fields(token=f"sk-slg-{number}"))).status == 401
    assert (await error_of(made, fields(token="sk-slg-9"))).status == 429


async def test_users_may_use_every_route(authenticator):
    made = authenticator(keys=(GATEWAY_KEY,))
    identity = await made.identify(fields(token=hs256()), ADDRESS, REQUIRED)
    assert made.key_may_use(identity, "app")
    assert made.key_may_use(made.anonymous, "app")


# --- the rest ----------------------------------------------------------------------------------------------------


async def test_the_fields_for_the_upstream_are_made_once(authenticator):
    made = authenticator()
    identity = await made.identify(fields(token=hs256()), ADDRESS, REQUIRED)
    told = made.forwarded_fields(identity)
    assert told == [(b"X-Tenant-ID", b"acme"), (b"X-User-ID", b"user-1"), (b"X-Tier", b"pro")]
    assert made.forwarded_fields(identity) is told


def test_a_policy_that_must_not_be_used_is_refused_at_load(authenticator):
    with pytest.raises(BadKey, match="HS256 needs at least 32"):
        authenticator(issuers=(issuer(secrets=("short",)),))
    with pytest.raises(BadKey, match="twice"):
        authenticator(issuers=(issuer(), issuer()))
    rule = ClaimRule(claims=((("user_metadata", "role"), "x"),))
    with pytest.raises(BadPolicy, match="users write"):
        authenticator(refuse=(rule,))


async def test_another_field_may_hold_the_token(authenticator):
    made = authenticator(token_from=(TokenSource(header="x-access-token"),))
    assert (await made.identify(fields(X_Access_Token=hs256()), ADDRESS, REQUIRED)).user == "user-1"
    assert (await error_of(made, fields(token=hs256()))).reason is Reason.TOKEN_MISSING


NAMES = st.sampled_from(
    ["Authorization", "Cookie", "X-Tenant-ID", "x-api-key", "x-goog-api-key", "Sluicegate-Tenant", "Sluicegate-User",
     "Sluicegate-Tier", "apikey"]
)  # fmt: skip
VALUES = st.text(max_size=30) | st.sampled_from(
    [f"Bearer {hs256()}", f"Bearer {KEY}", KEY, hs256(), f"sb-p-auth-token={hs256()}", "acme", "globex", "evil"]
)


@settings(derandomize=True, deadline=None, max_examples=500)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.sampled_from(AuthMode))
async def test_whatever_the_fields_hold_the_answer_is_sound_and_the_quick_way_gives_the_same(pairs, auth):
    """Only ours get in, only for what they may act for; and a second look never differs from the first."""
    clock = FakeClock()
    made = Authenticator(policy(keys=(GATEWAY_KEY,), **SUPABASE), clock, KeySets(clock), tiers=TIERS)
    warm = fields(token=hs256())
    await made.identify(warm, ADDRESS, REQUIRED)
    headers = fields(*pairs)
    quick = made.cached(headers, ADDRESS, auth)
    full: Identity | None = None
    try:
        full = await made.identify(headers, ADDRESS, auth)
    except GatewayError as error:
        if error.status not in (400, 401, 403):
            raise
    assert quick is None or quick is full
    again = made.cached(headers, ADDRESS, auth)
    assert again is full
    if full is None or full is made.anonymous:
        return
    assert auth is not NONE
    if full.kind is IdentityKind.USER:
        assert full.user == "user-1"
        assert full.tenant in ("acme", "globex")
    else:
        assert any(value in (KEY, f"Bearer {KEY}") for _, value in pairs)
    assert full.tier in TIERS
