"""The file of gateway keys: making a key, and adding, rotating, ending and revoking entries in the file's text.

Each change takes the whole text and gives the whole new one; writing it, at one stroke, is the caller's. Only digests
are in it: a key is shown once, when it is made. Pure, but for the random bytes of a new key.
"""

import datetime
import hashlib
import secrets
from pathlib import Path
from typing import Any, Final

import yaml

from proxy.policy import schema
from proxy.policy.document import Surroundings, read_document
from proxy.policy.names import name_flaw
from proxy.policy.problems import PolicyError
from proxy.policy.validation import validate

KEY_PREFIX: Final = "sk-slg-"  # secret scanners can be taught to find it

_HEAD: Final = "# Written by `sluicegate keys`. Digests only: a key is shown once, when it is made.\n"
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BYTES: Final = 32
_LENGTH: Final = 43  # 62**43 > 256**32


class KeysFileError(Exception):
    """The change cannot be made: the name is taken, unknown, or no name, or its key is revoked."""


def new_key() -> str:
    """32 random bytes in letters and digits, so that a double click takes the whole key."""
    number, digits = int.from_bytes(secrets.token_bytes(_BYTES)), ""
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        digits += _DIGITS[digit]
    return KEY_PREFIX + digits


def digest_of(key: str) -> str:
    """What is kept of a key: its SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()


def entries(text: str, file_name: str = "keys file") -> dict[str, schema.GatewayKey]:
    """The file's keys by name, revoked ones too. Raises: PolicyError."""
    return _parsed(text, file_name)[1]


def created(
    text: str,
    name: str,
    digest: str,
    *,
    tenant: str | None = None,
    user: str | None = None,
    tier: str | None = None,
    may_act_for: list[str] | None = None,
    routes: list[str] | None = None,
    feature: str | None = None,
    cost_centre: str | None = None,
    expires_ms: int | None = None,
) -> str:
    """The text with one key more. ``may_act_for`` ``["*"]`` is any tenant.

    Raises: KeysFileError where the name is taken or is none, PolicyError where the text or the new entry is not sound.
    """
    raw, _ = _parsed(text)
    flaw = name_flaw(name)
    if flaw is not None:
        raise KeysFileError(flaw)
    if name in raw:
        raise KeysFileError(f"there is a key {name!r} already; rotate it, or take another name")
    entry: dict[str, Any] = {"sha256": [_hash(digest, expires_ms)]}
    optional = {"tenant": tenant, "user": user, "tier": tier, "routes": routes}
    optional |= {"feature": feature, "cost_centre": cost_centre}
    entry |= {key: value for key, value in optional.items() if value is not None}
    if may_act_for is not None:
        entry["may_act_for"] = "any" if may_act_for == ["*"] else may_act_for
    return _written({**raw, name: entry})


def rotated(text: str, name: str, digest: str, *, overlap_until_ms: int, now_ms: int) -> str:
    """The text with a new digest for a key; its others end at ``overlap_until_ms`` at the latest, ended ones go.

    Raises: KeysFileError, PolicyError.
    """
    raw, keys = _parsed(text)
    live = [one for one in _active(keys, name).sha256 if one.expires is None or one.expires > now_ms]
    old = [_hash(one.hash, min(one.expires or overlap_until_ms, overlap_until_ms)) for one in live]
    return _written(raw | {name: raw[name] | {"sha256": [*old, _hash(digest, None)]}})


def ended(text: str, name: str, *, at_ms: int) -> str:
    """The text with every digest of a key ending at ``at_ms`` at the latest. Raises: KeysFileError, PolicyError."""
    raw, keys = _parsed(text)
    hashes = [_hash(one.hash, min(one.expires or at_ms, at_ms)) for one in _active(keys, name).sha256]
    return _written(raw | {name: raw[name] | {"sha256": hashes}})


def revoked(text: str, name: str) -> str:
    """The text with a key that opens nothing any more; its entry stays as a record.

    Raises: KeysFileError, PolicyError.
    """
    raw, keys = _parsed(text)
    _active(keys, name)
    return _written(raw | {name: raw[name] | {"revoked": True}})


def _parsed(text: str, file_name: str = "keys file") -> tuple[dict[str, Any], dict[str, schema.GatewayKey]]:
    """The entries as written and as validated. Variables stay as they are."""
    document = read_document(text, file_name, Surroundings({}, Path(), Path.read_text, literal=True))
    validated = validate(document, schema.KeysFile)
    if validated.problems:
        raise PolicyError(validated.problems)
    return document.value, validated.value


def _active(keys: dict[str, schema.GatewayKey], name: str) -> schema.GatewayKey:
    if name not in keys:
        raise KeysFileError(f"there is no key {name!r}")
    if keys[name].revoked:
        raise KeysFileError(f"the key {name!r} is revoked; create another")
    return keys[name]


def _hash(digest: str, expires_ms: int | None) -> dict[str, str]:
    if expires_ms is None:
        return {"hash": digest}
    end = datetime.datetime.fromtimestamp(expires_ms // 1000, datetime.UTC)
    return {"hash": digest, "expires": f"{end:%Y-%m-%dT%H:%M:%SZ}"}


def _written(raw: dict[str, Any]) -> str:
    text = _HEAD + yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, width=120)
    _parsed(text)
    return text
