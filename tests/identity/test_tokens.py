"""The list **Tokens** of the conformance page: what verifies, and what must never."""

import hashlib
import hmac
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import OctKey

from proxy.identity.flaws import Flaw, TokenRefused
from proxy.identity.jwks import KeySets, KeysUnavailable
from proxy.identity.keys import BadKey
from proxy.identity.keyschedule import COOL_DOWN_MS
from proxy.identity.tokens import TokenVerifier, check_claims
from tests.identity.conftest import (
    ISSUER,
    SECRET,
    START_MS,
    FakeClock,
    base64url,
    claims,
    encode,
    hs256,
    issuer,
    published,
)

NOW = START_MS // 1000


@pytest.fixture
def verifier(clock, keysets):
    return lambda *issuers: TokenVerifier(issuers or (issuer(),), clock, keysets)


@pytest.fixture
def published_issuer(key_server, private_keys):
    """An issuer that publishes the RSA key ``r`` and the elliptic key ``e``."""
    key_server.keys = [published(private_keys["RS256"], kid="r"), published(private_keys["ES256"], kid="e")]
    return issuer(secrets=(), jwks_url=key_server.url)


async def flaw_of(verifier: TokenVerifier, token: str) -> Flaw:
    with pytest.raises(TokenRefused) as caught:
        await verifier.verify(token)
    return caught.value.flaw


# --- algorithms and keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed448"]
)
@pytest.mark.parametrize("with_kid", [True, False])
async def test_tokens_of_every_algorithm_verify(verifier, key_server, private_keys, algorithm, with_kid):
    jwk = published(private_keys[algorithm], kid="k")
    if not with_kid:
        del jwk["kid"]
    key_server.keys = [jwk]
    header = {"alg": algorithm} | ({"kid": "k"} if with_kid else {})
    token = encode(header, claims(), private_keys[algorithm], algorithm)
    found = await verifier(issuer(secrets=(), jwks_url=key_server.url)).verify(token)
    assert (found.claims, found.expires_ms) == (claims(), (NOW + 3600) * 1000)


@pytest.mark.parametrize(("algorithm", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
async def test_tokens_of_a_shared_secret_verify(verifier, algorithm, size):
    secret = "s" * size
    token = encode({"alg": algorithm}, claims(), OctKey.import_key(secret), algorithm)
    assert (await verifier(issuer(secrets=(secret,))).verify(token)).claims["sub"] == "user-1"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", " none", "none\\u0000"])
@pytest.mark.parametrize("signature", ["", "AAAA"])
async def test_alg_none_in_any_case_is_refused(verifier, published_issuer, name, signature):
    header = '{"alg":"NAME"}'.replace("NAME", name)
    token = f"{base64url(header.encode())}.{base64url(json.dumps(claims()).encode())}.{signature}"
    assert await flaw_of(verifier(), token) is Flaw.ALGORITHM_REFUSED
    assert await flaw_of(verifier(published_issuer), token) is Flaw.ALGORITHM_REFUSED


@pytest.mark.parametrize("form", ["pem", "pem stripped", "pkcs1 pem", "der", "jwk", "jwks"])
@pytest.mark.parametrize("kid", [None, "r"])
async def test_rs_to_hs_confusion_is_refused(verifier, published_issuer, key_server, private_keys, form, kid):
    """The issuer's public key as the HMAC secret, as PEM, DER or JWK."""
    private = private_keys["RS256"]
    pem = private.as_pem(private=False)
    secret = {
        "pem": pem,
        "pem stripped": pem.strip(),
        "pkcs1 pem": pem.replace(b" PUBLIC", b" RSA PUBLIC"),
        "der": private.as_der(private=False),
        "jwk": json.dumps(published(private, kid="r")).encode(),
        "jwks": json.dumps({"keys": key_server.keys}).encode(),
    }[form]
    header = {"alg": "HS256"} | ({"kid": kid} if kid else {})
    signing_input = f"{base64url(json.dumps(header).encode())}.{base64url(json.dumps(claims()).encode())}"
    forged = hmac.new(secret, signing_input.encode(), hashlib.sha256).digest()
    flaw = await flaw_of(verifier(published_issuer), f"{signing_input}.{base64url(forged)}")
    assert flaw in (Flaw.SIGNATURE_WRONG, Flaw.KEY_UNKNOWN)


async def test_the_algorithm_is_bound_to_the_key(verifier, key_server, private_keys):
    key_server.keys = [published(private_keys["RS256"], kid="r", alg="RS256")]
    allowed = issuer(secrets=(), jwks_url=key_server.url)
    private = private_keys["RS256"]
    await verifier(allowed).verify(encode({"alg": "RS256", "kid": "r"}, claims(), private, "RS256"))
    token = encode({"alg": "PS256", "kid": "r"}, claims(), private, "PS256")
    assert await flaw_of(verifier(allowed), token) is Flaw.SIGNATURE_WRONG


async def test_the_algorithm_is_bound_to_the_issuer(verifier, private_keys, key_server, published_issuer):
    only_es = issuer(secrets=(), jwks_url=key_server.url, algorithms=("ES256",))
    token = encode({"alg": "RS256", "kid": "r"}, claims(), private_keys["RS256"], "RS256")
    assert await flaw_of(verifier(only_es), token) is Flaw.ALGORITHM_REFUSED


@pytest.mark.parametrize("name", ["HS1", "ES256K", "RSA-OAEP", "hs256", "A128KW", "HS256 "])
async def test_other_algorithms_are_refused(verifier, name):
    assert await flaw_of(verifier(), hs256(alg=name)) is Flaw.ALGORITHM_REFUSED


async def test_a_signature_of_another_algorithm_of_the_same_key_is_wrong(verifier, published_issuer, private_keys):
    token = encode({"alg": "PS256", "kid": "r"}, claims(), private_keys["RS256"], "RS256")
    assert await flaw_of(verifier(published_issuer), token) is Flaw.SIGNATURE_WRONG


async def test_r_and_s_of_zero_are_refused(verifier, published_issuer, private_keys):
    token = encode({"alg": "ES256", "kid": "e"}, claims(), private_keys["ES256"], "ES256")
    head = token.rpartition(".")[0]
    assert await flaw_of(verifier(published_issuer), f"{head}.{base64url(bytes(64))}") is Flaw.SIGNATURE_WRONG


async def test_both_kinds_of_keys_work_while_an_issuer_migrates(verifier, key_server, private_keys, published_issuer):
    both = issuer(jwks_url=key_server.url)
    await verifier(both).verify(hs256(kid="the legacy secret has an id that is not published"))
    assert key_server.fetches <= 1
    await verifier(both).verify(encode({"alg": "ES256", "kid": "e"}, claims(), private_keys["ES256"], "ES256"))


@pytest.mark.parametrize(
    "kid",
    ["../../../../dev/null", "/proc/self/environ", "x' OR '1'='1", "e\u0000", "http://evil/keys", "", "E", "e ",
     "*", "${jndi:ldap://evil}"],
    ids=repr,
)  # fmt: skip
async def test_a_key_id_is_a_name_and_nothing_else(verifier, published_issuer, private_keys, kid):
    """Traversal, SQL, URLs: nothing is opened, asked or matched but the very id."""
    token = encode({"alg": "ES256", "kid": kid}, claims(), private_keys["ES256"], "ES256")
    assert await flaw_of(verifier(published_issuer), token) is Flaw.KEY_UNKNOWN


@pytest.mark.parametrize("kid", [1, None, True, ["e"], {"e": 1}, 1.5])
async def test_a_key_id_that_is_no_string_is_refused(verifier, published_issuer, private_keys, kid):
    token = encode({"alg": "ES256", "kid": kid}, claims(), private_keys["ES256"], "ES256")
    assert await flaw_of(verifier(published_issuer), token) is Flaw.KID_NOT_TEXT


async def test_a_token_does_not_bring_its_own_key(verifier, published_issuer, private_keys, key_server):
    """jku, x5u, jwk and x5c are ignored: the key that a token carries verifies nothing, and nothing is fetched."""
    evil = private_keys["ES384"]
    header = {"alg": "ES384", "jku": key_server.url + "?evil", "x5u": key_server.url, "x5c": ["MIIB"],
              "jwk": published(evil)}  # fmt: skip
    assert await flaw_of(verifier(published_issuer), encode(header, claims(), evil, "ES384")) is Flaw.KEY_UNKNOWN
    assert key_server.fetches == 1
    honest = encode({"alg": "ES256", "kid": "e", "x5c": ["MIIB"]}, claims(), private_keys["ES256"], "ES256")
    await verifier(published_issuer).verify(honest)


# --- the form ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", [{"crit": ["exp"]}, {"b64": False, "crit": ["b64"]}, {"zip": "DEF"}])
async def test_crit_b64_and_zip_are_refused_though_the_signature_is_right(verifier, extension):
    assert await flaw_of(verifier(), hs256(**extension)) is Flaw.EXTENSION_REFUSED


async def test_an_encrypted_token_is_refused(verifier):
    assert await flaw_of(verifier(), hs256() + ".AAAA.AAAA") is Flaw.ENCRYPTED


async def test_a_token_of_8_kib_verifies_and_one_above_does_not(verifier):
    limit = 8192
    size = limit - len(hs256(claims(pad="")))
    pad = size * 3 // 4
    while len(hs256(claims(pad="x" * pad))) > limit:
        pad -= 1
    await verifier().verify(hs256(claims(pad="x" * pad)))
    assert await flaw_of(verifier(), hs256(claims(pad="x" * (pad + 4)))) is Flaw.TOO_LONG


@pytest.mark.parametrize(
    "payload",
    ['{"iss":"%s","exp":%d,"aud":"authenticated","sub":"a","sub":"b"}', '{"exp":1,"iss":"%s","exp":%d}'],
)
async def test_duplicate_claims_are_refused_though_the_signature_is_right(verifier, payload):
    assert await flaw_of(verifier(), hs256(payload % (ISSUER, NOW + 60))) is Flaw.DUPLICATE_MEMBER


async def test_a_duplicate_alg_is_refused_though_the_signature_is_right(verifier):
    token = encode('{"alg":"none","alg":"HS256"}', claims(), OctKey.import_key(SECRET), "HS256")
    assert await flaw_of(verifier(), token) is Flaw.DUPLICATE_MEMBER


@pytest.mark.parametrize("part", [0, 1, 2])
async def test_a_change_anywhere_is_noticed(verifier, part):
    """Every single character of a token counts."""
    parts = hs256().split(".")
    for at in range(len(parts[part])):
        changed = list(parts)
        letter = "A" if parts[part][at] != "A" else "B"
        changed[part] = parts[part][:at] + letter + parts[part][at + 1 :]
        with pytest.raises(TokenRefused):
            await verifier().verify(".".join(changed))


# --- issuer and audience -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "iss",
    [None, "", ISSUER + "/", ISSUER[:-1], ISSUER.upper(), ISSUER + ".evil.example", " " + ISSUER, [ISSUER], 7,
     {"a": ISSUER}, "https://issuer.example"],
    ids=repr,
)  # fmt: skip
async def test_an_issuer_is_known_by_its_whole_name(verifier, iss):
    """No prefixes, no lists, no other case."""
    assert await flaw_of(verifier(), hs256(claims(iss=iss))) is Flaw.ISSUER_UNKNOWN


async def test_an_issuers_key_does_not_speak_for_another_issuer(verifier):
    other = issuer(issuer="https://other", secrets=("another-secret-of-more-than-32-bytes",))
    both = verifier(issuer(), other)
    await both.verify(hs256())
    assert await flaw_of(both, hs256(claims(iss="https://other"))) is Flaw.SIGNATURE_WRONG


def test_one_issuer_twice_is_refused_at_load(verifier):
    with pytest.raises(BadKey, match="is there twice"):
        verifier(issuer(), issuer(tenants=("acme",)))


@pytest.mark.parametrize("aud", ["authenticated", ["authenticated"], ["other", "authenticated"]], ids=repr)
async def test_an_audience_may_be_one_or_a_list(verifier, aud):
    await verifier().verify(hs256(claims(aud=aud)))


@pytest.mark.parametrize(
    "aud", [None, "", "authenticate", "authenticated2", [], ["other"], ["authenticated", 1], [["authenticated"]],
            {"authenticated": 1}, 7, True], ids=repr,
)  # fmt: skip
async def test_a_token_for_others_is_refused(verifier, aud):
    assert await flaw_of(verifier(), hs256(claims(aud=aud))) is Flaw.AUDIENCE_REFUSED


async def test_where_the_policy_names_no_audience_it_is_not_looked_at(verifier):
    await verifier(issuer(audiences=())).verify(hs256(claims(aud={"odd": True})))


# --- times -------------------------------------------------------------------------------------------------------


async def test_a_missing_exp_is_refused(verifier):
    assert await flaw_of(verifier(), hs256(claims(exp=None))) is Flaw.EXP_MISSING


BAD_TIMES = ["true", "false", "null", '"1800003600"', "NaN", "Infinity", "1e400", "-1e400", "-1", "253402300800",
             "1800003600000", "9" * 400, "9" * 5000, "[1800003600]", "{}", '""']  # fmt: skip


@pytest.mark.parametrize("value", BAD_TIMES, ids=lambda value: value[:16])
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
async def test_what_is_no_time_is_refused(verifier, name, value):
    """bool, NaN, infinite, huge, a string, milliseconds."""
    payload = json.dumps(claims(exp=NOW + 60, nbf=NOW, iat=NOW))
    at = {"exp": NOW + 60, "nbf": NOW, "iat": NOW}[name]
    flaw = await flaw_of(verifier(), hs256(payload.replace(f'"{name}": {at}', f'"{name}": {value}')))
    assert flaw in (Flaw(f"{name}_bad"), Flaw.NOT_JSON)


@pytest.mark.parametrize(
    ("leeway_s", "offset_ms", "good"),
    [(0, -1, True), (0, 0, False), (30, 0, True), (30, 29_999, True), (30, 30_000, False)],
)
async def test_exp_with_leeway(verifier, clock, leeway_s, offset_ms, good):
    """RFC 7519 §4.1.4: on or after exp it is refused."""
    token, checked = hs256(claims(exp=NOW + 100)), verifier(issuer(leeway_ms=leeway_s * 1000))
    clock.move(100_000 + offset_ms)
    if good:
        assert (await checked.verify(token)).until_ms == START_MS + 100_000 + leeway_s * 1000
    else:
        assert await flaw_of(checked, token) is Flaw.EXPIRED


@pytest.mark.parametrize(("name", "flaw"), [("nbf", Flaw.NOT_YET_VALID), ("iat", Flaw.ISSUED_IN_FUTURE)])
@pytest.mark.parametrize(
    ("leeway_s", "ahead_s", "good"), [(0, 0, True), (0, 1, False), (30, 30, True), (30, 31, False)]
)
async def test_nbf_and_iat_with_leeway(verifier, name, flaw, leeway_s, ahead_s, good):
    token, checked = hs256(claims(**{name: NOW + ahead_s})), verifier(issuer(leeway_ms=leeway_s * 1000))
    if good:
        await checked.verify(token)
    else:
        assert await flaw_of(checked, token) is flaw


async def test_fractions_of_a_second_count(verifier, clock):
    token = hs256(claims(exp=NOW + 0.5))
    clock.move(499)
    await verifier().verify(token)
    clock.move(1)
    assert await flaw_of(verifier(), token) is Flaw.EXPIRED


async def test_a_token_of_too_great_an_age_is_refused(verifier, clock):
    checked = verifier(issuer(max_age_ms=60_000, leeway_ms=1000))
    token = hs256(claims(iat=NOW))
    assert (await checked.verify(token)).until_ms == START_MS + 61_000
    clock.move(61_000)
    assert await flaw_of(checked, token) is Flaw.TOO_OLD
    assert await flaw_of(checked, hs256(claims(iat=None))) is Flaw.IAT_MISSING


async def test_a_time_that_does_not_fit_is_known_without_a_signature_or_a_key(verifier, key_server):
    """So a flood of expired tokens costs no signature and no fetch."""
    checked = verifier(issuer(secrets=(), jwks_url=key_server.url))
    assert await flaw_of(checked, hs256(claims(exp=NOW - 1))) is Flaw.EXPIRED
    assert key_server.fetches == 0


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.dictionaries(
        st.sampled_from(["exp", "nbf", "iat", "aud"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.text(max_size=3)),
    )
)
def test_any_claims_are_in_force_within_their_times_or_refused(hostile):
    made = claims(**{"nbf": None, **hostile})
    try:
        expires_ms, until_ms = check_claims(made, issuer(leeway_ms=5000), START_MS)
    except TokenRefused:
        return
    assert START_MS < until_ms == expires_ms + 5000


# --- key sets ----------------------------------------------------------------------------------------------------


async def test_an_unknown_key_hastens_one_fetch_in_a_cool_down(
    verifier, published_issuer, key_server, private_keys, clock
):
    checked = verifier(published_issuer)
    await checked.verify(encode({"alg": "ES256", "kid": "e"}, claims(), private_keys["ES256"], "ES256"))
    assert key_server.fetches == 1
    clock.move(COOL_DOWN_MS)
    for number in range(50):
        token = encode({"alg": "ES256", "kid": f"invented-{number}"}, claims(), private_keys["ES256"], "ES256")
        assert await flaw_of(checked, token) is Flaw.KEY_UNKNOWN
    assert key_server.fetches == 2


async def test_a_wrong_signature_of_a_known_key_hastens_no_fetch(
    verifier, published_issuer, key_server, private_keys, clock
):
    checked = verifier(published_issuer)
    token = encode({"alg": "ES256", "kid": "e"}, claims(), private_keys["ES256"], "ES256")
    await checked.verify(token)
    clock.move(COOL_DOWN_MS)
    assert await flaw_of(checked, token.rpartition(".")[0] + "." + base64url(bytes(64))) is Flaw.SIGNATURE_WRONG
    assert key_server.fetches == 1


async def test_a_rotated_key_is_found_at_its_first_token(verifier, published_issuer, key_server, private_keys, clock):
    checked = verifier(published_issuer)
    old = encode({"alg": "ES256", "kid": "e"}, claims(), private_keys["ES256"], "ES256")
    await checked.verify(old)
    clock.move(COOL_DOWN_MS)
    key_server.keys.append(published(private_keys["ES384"], kid="new"))
    new = encode({"alg": "ES384", "kid": "new"}, claims(), private_keys["ES384"], "ES384")
    assert (await checked.verify(new)).key.kid == "new"
    assert (await checked.verify(old)).key.kid == "e"


async def test_a_rotated_key_without_an_id_is_found_too(verifier, key_server, private_keys, clock):
    def bare(name):
        return {member: value for member, value in published(private_keys[name]).items() if member != "kid"}

    key_server.keys = [bare("RS256")]
    checked = verifier(issuer(secrets=(), jwks_url=key_server.url))
    await checked.verify(encode({"alg": "RS256"}, claims(), private_keys["RS256"], "RS256"))
    clock.move(COOL_DOWN_MS)
    key_server.keys = [bare("RS256"), bare("ES256")]
    await checked.verify(encode({"alg": "ES256", "kid": "any"}, claims(), private_keys["ES256"], "ES256"))


async def test_where_keys_cannot_be_had_nothing_is_said_of_the_token(verifier, key_server, private_keys):
    """It is no 401: the token may be good."""
    key_server.url = key_server.url.replace("127.0.0.1", "localhost")
    checked = verifier(issuer(secrets=(), jwks_url="http://127.0.0.1:1/keys"))
    with pytest.raises(KeysUnavailable):
        await checked.verify(encode({"alg": "ES256", "kid": "e"}, claims(), private_keys["ES256"], "ES256"))


async def test_tokens_of_known_keys_verify_while_the_server_is_down(
    verifier, published_issuer, key_server, private_keys, clock
):
    checked = verifier(published_issuer)
    token = encode({"alg": "ES256", "kid": "e"}, claims(exp=NOW + 7200), private_keys["ES256"], "ES256")
    await checked.verify(token)

    async def reset(request):
        request.transport.abort()

    key_server.answer = reset
    clock.move(3_600_000)
    await checked.verify(token)
    unknown = encode({"alg": "ES256", "kid": "new"}, claims(exp=NOW + 7200), private_keys["ES256"], "ES256")
    with pytest.raises(KeysUnavailable):
        await checked.verify(unknown)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.dictionaries(st.text(max_size=6), st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=6),
                    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
                    max_leaves=4), max_size=5),
)  # fmt: skip
async def test_any_header_without_our_signature_is_refused(header):
    clock = FakeClock()
    checked = TokenVerifier((issuer(),), clock, KeySets(clock))
    token = encode({"alg": "HS256"} | header, claims(), OctKey.import_key("not the secret, though it is long"), "HS256")
    with pytest.raises(TokenRefused):
        await checked.verify(token)
