"""What an authenticator remembers, for how long, and how many failures it bears from one address."""

from aiohttp import web

from proxy.core.errors import Reason
from proxy.identity.attempts import AttemptMeter
from proxy.identity.authenticator import RECHECK_MS, REFUSED_MS, Authenticator
from proxy.identity.keyschedule import COOL_DOWN_MS, STALE_MS
from proxy.policy.model import AuthMode
from tests.identity.conftest import (
    ADDRESS,
    START_MS,
    TIERS,
    claims,
    encode,
    error_of,
    fields,
    hs256,
    issuer,
    policy,
    published,
    settled,
)

NOW = START_MS // 1000
REQUIRED, OPTIONAL = AuthMode.REQUIRED, AuthMode.OPTIONAL


# --- what is remembered, and for how long ------------------------------------------------------------------------


async def test_a_token_is_remembered_until_it_is_refused(authenticator, clock):
    made = authenticator(issuers=(issuer(leeway_ms=5000),))
    headers = fields(token=hs256(claims(exp=NOW + 100)))
    identity = await made.identify(headers, ADDRESS, REQUIRED)
    clock.move(104_999)
    assert made.cached(headers, ADDRESS, REQUIRED) is identity
    clock.move(1)
    assert (await error_of(made, headers)).reason is Reason.TOKEN_EXPIRED
    assert len(made._tokens) == 0


async def test_a_remembered_token_ends_with_its_key(authenticator, key_server, private_keys, clock):
    """It is in force, its signature is right, but the issuer has withdrawn the key."""
    key_server.keys = [published(private_keys["ES256"], kid="e"), published(private_keys["RS256"], kid="r")]
    made = authenticator(issuers=(issuer(jwks_url=key_server.url),))
    by = {
        name: fields(token=encode({"alg": name, "kid": kid}, claims(), private_keys[name], name))
        for name, kid in (("ES256", "e"), ("RS256", "r"))
    }
    identities = {name: await made.identify(headers, ADDRESS, REQUIRED) for name, headers in by.items()}
    key_server.keys = key_server.keys[1:]
    clock.move(COOL_DOWN_MS)
    unknown = fields(token=encode({"alg": "ES384", "kid": "x"}, claims(), private_keys["ES384"], "ES384"))
    assert (await error_of(made, unknown)).status == 401  # whoever asks hastens the fetch
    assert made.cached(by["ES256"], ADDRESS, REQUIRED) is None
    assert (await error_of(made, by["ES256"])).reason is Reason.TOKEN_INVALID
    assert await made.identify(by["RS256"], ADDRESS, REQUIRED) is identities["RS256"]


async def test_remembered_tokens_alone_see_to_it_that_keys_are_fetched_anew(
    authenticator, keysets, key_server, private_keys, clock
):
    """With hits only, a withdrawn key is still noticed: every entry is looked after now and then."""
    key_server.keys = [published(private_keys["ES256"], kid="e")]
    published_by = issuer(jwks_url=key_server.url)
    made = authenticator(issuers=(published_by,))
    headers = fields(token=encode({"alg": "ES256", "kid": "e"}, claims(), private_keys["ES256"], "ES256"))
    identity = await made.identify(headers, ADDRESS, REQUIRED)
    clock.move(RECHECK_MS)
    assert made.cached(headers, ADDRESS, REQUIRED) is None
    assert await made.identify(headers, ADDRESS, REQUIRED) is identity
    assert made.cached(headers, ADDRESS, REQUIRED) is identity
    clock.move(600_000)
    key_server.keys = []
    assert await made.identify(headers, ADDRESS, REQUIRED) is identity
    await settled(keysets.of(published_by).sources[0])
    assert made.cached(headers, ADDRESS, REQUIRED) is None
    assert (await error_of(made, headers)).reason is Reason.TOKEN_INVALID


async def test_an_outage_of_the_key_server_ends_remembered_tokens_after_a_day(
    authenticator, key_server, private_keys, clock
):
    key_server.keys = [published(private_keys["ES256"], kid="e")]
    made = authenticator(issuers=(issuer(jwks_url=key_server.url),))
    token = encode({"alg": "ES256", "kid": "e"}, claims(exp=NOW + 10**6), private_keys["ES256"], "ES256")
    identity = await made.identify(fields(token=token), ADDRESS, REQUIRED)

    async def failing(_request):
        return web.Response(status=500)

    key_server.answer = failing
    clock.move(STALE_MS)
    assert await made.identify(fields(token=token), ADDRESS, REQUIRED) is identity
    clock.move(600_000)
    error = await error_of(made, fields(token=token))
    assert (error.reason, error.status) == (Reason.KEYS_UNAVAILABLE, 503)


async def test_keys_that_cannot_be_had_are_a_503_that_says_when(authenticator, key_server, private_keys, clock):
    async def failing(_request):
        return web.Response(status=500)

    key_server.answer = failing
    made = authenticator(issuers=(issuer(secrets=(), jwks_url=key_server.url),), attempts_per_minute=3)
    headers = fields(token=encode({"alg": "ES256", "kid": "e"}, claims(), private_keys["ES256"], "ES256"))
    for _ in range(10):  # none of these is held against the address, and none is remembered against the token
        error = await error_of(made, headers, OPTIONAL)
        assert (error.reason, error.status) == (Reason.KEYS_UNAVAILABLE, 503)
        assert error.retry_after_ms is not None
        assert error.retry_after_ms >= 1000
    key_server.answer, key_server.keys = None, [published(private_keys["ES256"], kid="e")]
    clock.move(COOL_DOWN_MS)
    assert (await made.identify(headers, ADDRESS, REQUIRED)).user == "user-1"


async def test_a_bad_token_is_remembered_briefly(authenticator, verifications, clock):
    made, headers = authenticator(), fields(token=hs256(secret="another secret, more than 32 bytes long"))
    for _ in range(100):
        assert (await error_of(made, headers)).reason is Reason.TOKEN_INVALID
    assert len(verifications) == 1
    clock.move(REFUSED_MS)
    await error_of(made, headers)
    assert len(verifications) == 2


async def test_what_time_or_a_new_key_can_mend_is_not_remembered_as_bad(authenticator, clock):
    made, headers = authenticator(), fields(token=hs256(claims(nbf=NOW + 2)))
    assert (await error_of(made, headers)).field == "nbf"
    clock.move(2000)
    assert (await made.identify(headers, ADDRESS, REQUIRED)).user == "user-1"


async def test_respelled_tokens_do_not_pass_the_memory_of_the_good_one(authenticator):
    """Malleability: padding, last bits, white space."""
    made, token = authenticator(), hs256()
    await made.identify(fields(token=token), ADDRESS, REQUIRED)
    for text in (token + "=", token[:-1] + chr(ord(token[-1]) + 1), token + " x", token.replace(".", ". ", 1)):
        assert (await error_of(made, fields(token=text))).reason is Reason.TOKEN_INVALID
    assert len(made._tokens) == 1


async def test_remembered_tokens_are_bounded_and_those_in_use_stay(authenticator, clock):
    made = authenticator(max_tokens=10)
    used = fields(token=hs256(claims(sub="often")))
    identity = await made.identify(used, ADDRESS, REQUIRED)
    for number in range(100):
        await made.identify(fields(token=hs256(claims(sub=f"u{number}"))), ADDRESS, REQUIRED)
        assert made.cached(used, ADDRESS, REQUIRED) is identity
    assert len(made._tokens) == 10


async def test_bad_tokens_are_remembered_within_a_bound(authenticator, monkeypatch):
    monkeypatch.setattr("proxy.identity.authenticator.MAX_REFUSED", 10)
    made = authenticator(attempts_per_minute=0)
    for number in range(100):
        await error_of(made, fields(token=f"bad-{number}"))
    assert len(made._refused) <= 20


# --- attempts ----------------------------------------------------------------------------------------------------


async def test_an_address_has_only_so_many_failures(authenticator, clock):
    made = authenticator(attempts_per_minute=5)
    for number in range(5):
        assert (await error_of(made, fields(token=f"bad-{number}"))).status == 401
    error = await error_of(made, fields(token="bad-5"))
    assert (error.reason, error.status, error.retry_after_ms) == (Reason.QUOTA_EXCEEDED, 429, 12_000)
    assert (await error_of(made, fields(token="bad-0"))).status == 401  # known: it costs nothing
    assert (await error_of(made, fields(token="bad-6"), address="192.0.2.8")).status == 401
    clock.move(12_000)
    assert (await error_of(made, fields(token="bad-7"))).status == 401


async def test_what_was_seen_before_needs_no_attempt(authenticator):
    made, headers = authenticator(attempts_per_minute=1), fields(token=hs256())
    identity = await made.identify(headers, ADDRESS, REQUIRED)
    await error_of(made, fields(token="bad"))
    assert (await error_of(made, fields(token=hs256(claims(sub="new"))))).status == 429
    assert made.cached(headers, ADDRESS, REQUIRED) is identity
    assert await made.identify(headers, ADDRESS, REQUIRED) is identity


async def test_an_office_of_many_users_is_never_held_up(authenticator):
    made = authenticator(attempts_per_minute=2)
    for number in range(50):
        await made.identify(fields(token=hs256(claims(sub=f"u{number}"))), ADDRESS, REQUIRED)


async def test_one_customers_ipv6_addresses_are_one(authenticator):
    made = authenticator(attempts_per_minute=2)
    for number in range(2):
        assert (await error_of(made, fields(token=f"bad-{number}"), address=f"2001:db8:1:2::{number}")).status == 401
    assert (await error_of(made, fields(token="bad-9"), address="2001:db8:1:2:ffff::9")).status == 429
    assert (await error_of(made, fields(token="bad-9"), address="2001:db8:1:3::9")).status == 401


async def test_the_attempts_are_counted_across_policies(clock, keysets):
    attempts = AttemptMeter(per_minute=1)
    one, two = (Authenticator(policy(), clock, keysets, tiers=TIERS, attempts=attempts) for _ in range(2))
    assert (await error_of(one, fields(token="bad"))).status == 401
    assert (await error_of(two, fields(token="worse"))).status == 429
