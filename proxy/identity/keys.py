"""Keys that verify tokens: which may be used, and for which algorithms (RFC 7517, RFC 7518, RFC 8037, RFC 9864).

A key knows the algorithms that it may verify, from its own type; a token's ``alg`` only picks among them. So an RSA key
never verifies an HMAC, whatever the token says (RFC 8725 §3.1). Pure.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwa import JWS_ALGORITHMS, JWSAlgModel
from joserfc.jwk import JWKRegistry
from joserfc.jwk import Key as Material

from proxy.identity import strictjson
from proxy.identity.jose import decode_base64url

MIN_RSA_BITS: Final = 2048  # RFC 7518 §3.3
MAX_KEYS: Final = 100  # in one set

_MODELS: Final[dict[str, JWSAlgModel]] = {model.name: model for model in JWS_ALGORITHMS}

# (key type, curve) → the algorithms that such a key can verify.
_FITTING: Final[dict[tuple[str, str | None], tuple[str, ...]]] = {
    ("oct", None): ("HS256", "HS384", "HS512"),
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA", "Ed25519"),
    ("OKP", "Ed448"): ("EdDSA", "Ed448"),
}
ALGORITHMS: Final = frozenset(name for names in _FITTING.values() for name in names)

# RFC 7518 §3.2: an HMAC key is at least as long as the hash.
HMAC_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}

# The public members of each key type; whatever else a JWK holds (a private part, x5c) is not imported.
_MEMBERS: Final = {"oct": ("k",), "RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_ASYMMETRIC_MARKS: Final = ("-----BEGIN ", "---- BEGIN ", "ssh-rsa ", "ssh-ed25519 ", "ecdsa-sha2-")


class BadKey(ValueError):
    """A key or a set of keys that must not be used; the message says why and never shows the key."""


@dataclass(slots=True, eq=False)
class Key:
    """One key. ``trusted`` turns False once, when its issuer drops it: tokens that it verified end with it."""

    kid: str | None
    algorithms: frozenset[str]
    print: str  # the same for the same material, id and algorithms
    material: Material
    trusted: bool = True

    def verifies(self, algorithm: str, signing_input: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's. An algorithm that is not the key's own never verifies."""
        if algorithm not in self.algorithms:
            return False
        try:
            return _MODELS[algorithm].verify(signing_input, signature, self.material)
        except (JoseError, ValueError, OverflowError):  # a signature of a shape that the library will not even try
            return False


def import_secret(secret: str, allowed: Collection[str] = ()) -> Key:
    """A shared HMAC secret, taken as its UTF-8 bytes.

    ``allowed``: the issuer's algorithms; empty for those whose hash is no longer than the secret. Raises: BadKey.
    """
    raw = secret.encode()
    if any(mark in secret for mark in _ASYMMETRIC_MARKS):
        raise BadKey("a public or private key cannot be a shared secret")
    if secret.lstrip().startswith("{") and '"kty"' in secret:
        raise BadKey("a JWK cannot be a shared secret; put it into a jwks file")
    wanted = [name for name in HMAC_BYTES if name in allowed] if allowed else ["HS256"]
    if not wanted:
        raise BadKey("there is a secret, but none of HS256, HS384, HS512 is among the algorithms")
    for name in wanted:
        if len(raw) < HMAC_BYTES[name]:
            raise BadKey(f"the secret has {len(raw)} bytes; {name} needs at least {HMAC_BYTES[name]} (RFC 7518 §3.2)")
    fitting = wanted if allowed else [name for name, size in HMAC_BYTES.items() if len(raw) >= size]
    try:
        material = JWKRegistry.import_key(raw, "oct")
    except (JoseError, ValueError, UnsupportedAlgorithm) as error:
        raise BadKey("a public key cannot be a shared secret") from error
    return _made(None, fitting, material, raw)


def import_jwks(raw: bytes, *, allowed: Collection[str] = (), symmetric: bool, strict: bool = False) -> tuple[Key, ...]:
    """The usable keys of a JWK set (RFC 7517 §5).

    Keys of unknown types, for encryption, or not of the ``allowed`` algorithms are left out, and so are symmetric keys
    unless ``symmetric``: a secret that is published is none. A weak or broken key is left out too, or with ``strict``
    an error. Raises: BadKey for what is no set, has over 100 keys, or uses a key id twice.
    """
    try:
        document = strictjson.loads_object(raw)
    except strictjson.NotStrict as error:
        raise BadKey(f"the key set is unreadable: {error}") from error
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise BadKey('the key set has no list "keys"')
    if len(entries) > MAX_KEYS:
        raise BadKey(f"the key set has more than {MAX_KEYS} keys")
    keys: list[Key] = []
    for position, entry in enumerate(entries):
        try:
            key = _import_jwk(entry, allowed, symmetric)
        except BadKey as error:
            if strict:
                raise BadKey(f"key {position}: {error}") from error
            continue
        if key is not None:
            keys.append(key)
    _refuse_doubled_ids(keys)
    return tuple(keys)


def _refuse_doubled_ids(keys: Iterable[Key]) -> None:
    """Of two usable keys of one id nobody could say which is meant (RFC 7517 §4.5).

    A key that is left out may share its id with another: the section allows it for equivalents of other types.
    """
    seen: set[str] = set()
    for key in keys:
        if key.kid is None:
            continue
        if key.kid in seen:
            raise BadKey(f"the key set uses the key id {key.kid[:64]!r} twice")
        seen.add(key.kid)


def _import_jwk(entry: Any, allowed: Collection[str], symmetric: bool) -> Key | None:
    """The key, or None where it is not meant for verifying tokens here. Raises: BadKey where it is, but must not."""
    if not isinstance(entry, dict):
        raise BadKey("it is not an object")
    kty, kid = entry.get("kty"), entry.get("kid")
    if not isinstance(kty, str) or kty not in _MEMBERS or (kty == "oct" and not symmetric):
        return None
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    curve = entry.get("crv") if kty in ("EC", "OKP") else None
    fitting = _FITTING.get((kty, curve), ()) if curve is None or isinstance(curve, str) else ()
    if "alg" in entry:
        fitting = tuple(name for name in fitting if name == entry["alg"])
    if allowed:
        fitting = tuple(name for name in fitting if name in allowed)
    if not fitting:
        return None
    if "kid" in entry and not isinstance(kid, str):
        raise BadKey("its kid is not a string")
    members = {name: value for name in _MEMBERS[kty] if isinstance(value := entry.get(name), str)}
    if len(members) != len(_MEMBERS[kty]):
        raise BadKey(f"a {kty} key needs the strings {', '.join(_MEMBERS[kty])}")
    try:
        if kty == "RSA":
            _check_modulus(decode_base64url(members["n"].encode()))
        if kty == "oct":
            size = len(decode_base64url(members["k"].encode()))
            fitting = tuple(name for name in fitting if size >= HMAC_BYTES[name])
            if not fitting:
                raise BadKey(f"the secret has {size} bytes, fewer than its hash (RFC 7518 §3.2)")
        material = JWKRegistry.import_key({"kty": kty, **members})
    except BadKey:
        raise
    except (JoseError, ValueError, UnsupportedAlgorithm) as error:
        raise BadKey(f"it is not a valid {kty} key") from error
    return _made(kid, fitting, material, json.dumps(members, sort_keys=True).encode())


def _check_modulus(raw: bytes) -> None:
    bits = int.from_bytes(raw).bit_length()
    if bits < MIN_RSA_BITS:
        raise BadKey(f"the RSA key has {bits} bits, fewer than {MIN_RSA_BITS}")


def _made(kid: str | None, fitting: Iterable[str], material: Material, raw: bytes) -> Key:
    algorithms = frozenset(fitting)
    described = json.dumps([kid, sorted(algorithms), material.key_type]).encode()
    return Key(kid, algorithms, hashlib.sha256(described + b"\n" + raw).hexdigest(), material)
