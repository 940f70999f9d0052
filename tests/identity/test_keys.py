"""Which keys may verify what."""

import hashlib
import hmac
import json

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from proxy.identity.keys import ALGORITHMS, MAX_KEYS, BadKey, import_jwks, import_secret
from tests.identity.conftest import MODELS, SECRET, base64url, published


def jwks(*keys: object) -> bytes:
    return json.dumps({"keys": keys}).encode()


def weak_rsa() -> dict[str, str]:
    """A public key of 1024 bits, made without ever importing one."""
    return {"kty": "RSA", "kid": "weak", "e": "AQAB", "n": base64url(((1 << 1024) - 105).to_bytes(128))}


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS - {"HS256", "HS384", "HS512"}))
def test_every_published_algorithm_verifies_its_own_signatures_only(private_keys, algorithm):
    private = private_keys[algorithm]
    (key,) = import_jwks(jwks(published(private, kid="k")), symmetric=False)
    signature = MODELS[algorithm].sign(b"signed", private)
    assert key.verifies(algorithm, b"signed", signature)
    assert not key.verifies(algorithm, b"other", signature)
    assert not key.verifies(algorithm, b"signed", b"")
    assert not key.verifies(algorithm, b"signed", signature[:-1])
    for other in ALGORITHMS - {algorithm, "EdDSA", "Ed25519", "Ed448"}:
        assert not key.verifies(other, b"signed", signature)


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512"])
def test_a_signature_of_zeros_is_never_valid(private_keys, algorithm):
    """r = s = 0 verified for every message in some libraries (CVE-2022-21449)."""
    (key,) = import_jwks(jwks(published(private_keys[algorithm])), symmetric=False)
    size = {"ES256": 32, "ES384": 48, "ES512": 66}[algorithm]
    assert not key.verifies(algorithm, b"signed", bytes(2 * size))
    assert not key.verifies(algorithm, b"signed", bytes(size) + bytes([1] * size))
    assert not key.verifies(algorithm, b"signed", b"\xff" * (2 * size))


@pytest.mark.parametrize("form", ["pem", "der", "jwk", "modulus"])
def test_a_public_key_never_verifies_an_hmac(private_keys, form):
    """RS → HS confusion: what is published is no secret, in whatever form it is hashed."""
    private = private_keys["RS256"]
    jwk = published(private, kid="k")
    (key,) = import_jwks(jwks(jwk), symmetric=False)
    secret = {
        "pem": private.as_pem(private=False),
        "der": private.as_der(private=False),
        "jwk": json.dumps(jwk).encode(),
        "modulus": jwk["n"].encode(),
    }[form]
    for algorithm, digest in (("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)):
        forged = hmac.new(secret, b"signed", digest).digest()
        assert not key.verifies(algorithm, b"signed", forged)


def test_a_key_that_names_its_algorithm_verifies_no_other(private_keys):
    (key,) = import_jwks(jwks(published(private_keys["RS256"], alg="RS256")), symmetric=False)
    assert key.algorithms == {"RS256"}


def test_the_issuers_algorithms_bound_those_of_its_keys(private_keys):
    both = jwks(published(private_keys["RS256"], kid="r"), published(private_keys["ES256"], kid="e"))
    (key,) = import_jwks(both, allowed=("ES256", "ES384"), symmetric=False)
    assert (key.kid, key.algorithms) == ("e", {"ES256"})


def test_only_the_public_part_of_a_key_is_imported(private_keys):
    (key,) = import_jwks(jwks(private_keys["ES256"].as_dict(private=True)), symmetric=False)
    assert not key.material.is_private


def test_keys_that_are_not_for_verifying_here_are_left_out(private_keys):
    good = published(private_keys["ES256"], kid="good")
    found = import_jwks(
        jwks(
            published(private_keys["RS256"], kid="enc", use="enc"),
            published(private_keys["RS256"], kid="ops", key_ops=["encrypt"]),
            published(private_keys["RS256"], kid="strange ops", key_ops="verify"),
            published(private_keys["RS256"], kid="alg", alg="RSA-OAEP"),
            published(OKPKey.generate_key("X25519"), kid="exchange"),
            {"kty": "AKP", "kid": "tomorrow", "alg": "ML-DSA-44", "pub": "x"},
            {"kty": ["RSA"], "kid": "no type"},
            {"kty": "EC", "crv": {"x": 1}, "kid": "no curve"},
            {"kty": "EC", "crv": "P-256", "kid": "no point", "x": "AAAA", "y": "AAAA"},
            {"kty": "RSA", "kid": "no numbers"},
            weak_rsa(),
            "text",
            good,
        ),
        symmetric=False,
    )
    assert [key.kid for key in found] == ["good"]


def test_a_shared_secret_that_is_published_is_none():
    """Whoever can read the key set could sign."""
    secret = {"kty": "oct", "kid": "s", "k": base64url(SECRET.encode())}
    assert import_jwks(jwks(secret), symmetric=False) == ()
    (key,) = import_jwks(jwks(secret), symmetric=True)
    assert key.algorithms == {"HS256"}  # 45 bytes are too few for HS384


def test_an_empty_set_is_a_set():
    """An issuer that withdraws every key means it."""
    assert import_jwks(b'{"keys": []}', symmetric=False) == ()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"<html>", "unreadable"),
        (b"[]", "unreadable"),
        (b'{"keys": {}}', 'no list "keys"'),
        (b'{"error": "x"}', 'no list "keys"'),
        (b'{"keys": [], "keys": []}', "named twice"),
        (jwks(*([{"kty": "AKP"}] * (MAX_KEYS + 1))), "more than 100"),
    ],
    ids=["html", "list", "object", "none", "twice", "many"],
)
def test_what_is_no_key_set_is_refused(raw, message):
    with pytest.raises(BadKey, match=message):
        import_jwks(raw, symmetric=False)


def test_a_doubled_key_id_refuses_the_set_and_is_named(private_keys):
    keys = [published(private_keys[name], kid="same") for name in ("RS256", "ES256")]
    with pytest.raises(BadKey, match="the key id 'same' twice"):
        import_jwks(jwks(*keys), symmetric=False)


def test_a_key_of_an_unknown_type_may_share_an_id_with_its_equivalent(private_keys):
    """RFC 7517 §4.5: an issuer that moves to other algorithms may publish both so."""
    raw = jwks(published(private_keys["ES256"], kid="k"), {"kty": "AKP", "kid": "k", "alg": "ML-DSA-44"})
    assert len(import_jwks(raw, symmetric=False)) == 1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (weak_rsa(), "key 0: the RSA key has 1024 bits, fewer than 2048"),
        ({"kty": "oct", "k": base64url(b"short")}, "key 0: the secret has 5 bytes"),
        ({"kty": "oct", "k": "not/base64url"}, "key 0: it is not a valid oct key"),
        ({"kty": "EC", "crv": "P-256", "x": 1, "y": 2}, "key 0: a EC key needs the strings crv, x, y"),
        ({"kty": "oct", "kid": 5, "k": base64url(SECRET.encode())}, "key 0: its kid is not a string"),
        (17, "key 0: it is not an object"),
    ],
)
def test_a_key_that_must_not_be_used_is_refused_at_load(entry, message):
    with pytest.raises(BadKey, match=message):
        import_jwks(jwks(entry), symmetric=True, strict=True)


@pytest.mark.parametrize("size", [2040, 2047])
def test_an_rsa_key_just_under_the_size_is_refused(size):
    modulus = base64url(((1 << size) - 1).to_bytes(256))
    with pytest.raises(BadKey, match=f"has {size} bits"):
        import_jwks(jwks({"kty": "RSA", "e": "AQAB", "n": modulus}), symmetric=False, strict=True)


@pytest.mark.parametrize(
    ("secret", "allowed", "message"),
    [
        ("x" * 31, (), "31 bytes; HS256 needs at least 32"),
        ("", (), "0 bytes"),
        ("x" * 47, ("HS384",), "HS384 needs at least 48"),
        ("x" * 63, ("HS256", "HS512"), "HS512 needs at least 64"),
        ("x" * 64, ("RS256",), "none of HS256, HS384, HS512"),
        ('{"kty": "oct", "k": "' + "A" * 60 + '"}', (), "a JWK cannot be a shared secret"),
    ],
)
def test_a_secret_that_must_not_be_used_is_refused_and_not_shown(secret, allowed, message):
    with pytest.raises(BadKey, match=message) as caught:
        import_secret(secret, allowed)
    assert not secret or secret not in str(caught.value)


@pytest.mark.parametrize("key", ["RS256", "ES256", "Ed25519"])
@pytest.mark.parametrize("private", [False, True])
def test_a_pem_is_no_shared_secret(private_keys, key, private):
    with pytest.raises(BadKey, match="cannot be a shared secret"):
        import_secret(private_keys[key].as_pem(private=private).decode())


@pytest.mark.parametrize(("size", "algorithms"), [(32, 1), (47, 1), (48, 2), (63, 2), (64, 3)])
def test_a_secret_fits_the_hashes_that_are_no_longer_than_it(size, algorithms):
    key = import_secret("x" * size)
    assert key.algorithms == set(["HS256", "HS384", "HS512"][:algorithms])


def test_the_same_key_has_the_same_print_and_another_has_not(private_keys):
    jwk = published(private_keys["ES256"], kid="k")
    (one,), (same,) = (import_jwks(jwks(jwk | {"x5t": mark}), symmetric=False) for mark in ("a", "b"))
    (renamed,) = import_jwks(jwks(jwk | {"kid": "other"}), symmetric=False)
    (other,) = import_jwks(jwks(published(ECKey.generate_key("P-256"), kid="k")), symmetric=False)
    assert one.print == same.print
    assert len({one.print, renamed.print, other.print}) == 3


def test_generated_keys_of_the_library_are_what_these_tests_think():
    """The tests' own ground: these are keys of the types that the table names."""
    assert (OctKey.key_type, RSAKey.key_type, ECKey.key_type, OKPKey.key_type) == ("oct", "RSA", "EC", "OKP")
