"""What stored answers are found by, and what purges name them by. Pure.

Both are made of words that come from outside (tenants, users, hosts, targets, tags), so every field is prefixed with
its length: no choice of words makes two different lists of fields into the same bytes. A canonical key is these bytes
themselves; Redis' key is a digest of them. What a purge names is a number of 64 bits, hashed together with its
partition and its kind, so that a tenant's purge names nothing of another's.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple

from proxy.core.headers import RawHeaders
from proxy.policy.caching import CacheScope
from proxy.policy.patterns import normal_escape

MAX_APP_TAGS: Final = 64  # of an answer; one with more is named by every purge of a tag in its partition
MAX_PREFIXES: Final = 16  # segments that a prefix can have; a longer one is cut, and so names more

_REMEMBERED: Final = 200  # bytes: what is longer is computed each time

_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_LENGTH: Final = Struct("<I")
_THREE: Final = Struct("<III")
_NUMBER: Final = Struct("<Q")


class Partition(NamedTuple):
    """Within which a purge names things: a tenant's answers, those that are public, or all (``EVERYWHERE``)."""

    kind: bytes
    tenant: str = ""


PUBLIC: Final = Partition(b"public")
EVERYWHERE: Final = Partition(b"everywhere")


def of_tenant(tenant: str) -> Partition:
    return Partition(b"tenant", tenant)


def owner_prefix(scope: CacheScope, tenant: str | None, issuer: str, user: str | None, shelf: str) -> bytes:
    """What all canonical keys of one owner on one route begin with; worth remembering beside the identity. ``shelf`` is
    the route's (``shelf.shelf_of``).

    A user is the pair (issuer, user). Of a public answer nobody is the owner. Raises: ValueError where the scope wants
    a tenant or a user and there is none: such an answer must not be stored at all.
    """
    match scope:
        case CacheScope.PUBLIC:
            words = ("", "", "")
        case CacheScope.TENANT if tenant is not None:
            words = (tenant, "", "")
        case CacheScope.USER if tenant is not None and user is not None:
            words = (tenant, issuer, user)
        case _:
            raise ValueError(f"an answer of scope {scope.value} has no owner here")
    return _joined(map(_encoded, (scope.value, *words, shelf)))


def canonical_key(owner: bytes, scheme: str, host: str, target: str) -> bytes:
    """The key of one URL. ``owner`` is from ``owner_prefix``; ``host`` is in lower case, ``target`` normalised."""
    lengths = _THREE.pack(len(scheme), len(host), len(target))  # of the texts, which are encoded in one go
    return owner + lengths + (scheme + host + target).encode("utf-8", "surrogatepass")


def key_digest(key: bytes) -> bytes:
    """22 characters of URL-safe base64: what a canonical key is called in Redis."""
    return urlsafe_b64encode(blake2b(key, digest_size=16, person=b"sluicegate key").digest()).rstrip(b"=")


# --- what purges name --------------------------------------------------------------------------------------------


_ALL: Final = b"all"
_URL: Final = b"url"
_PREFIX: Final = b"prefix"
_TAG: Final = b"tag"
_MANY_TAGS: Final = b"many tags"
_CONTENT: Final = b"content"  # no partition's head: those begin with a length
_SHELF: Final = b"shelf"
_END: Final = 32 << 10  # bytes
ANY_HOST: Final = ""  # no request has it
_DEFAULT_PORTS: Final = frozenset({"80", "443"})


def purge_of_all(partition: Partition) -> tuple[int, ...]:
    """A tenant's answers, or all that are public, or EVERYWHERE."""
    return (_number(_head(partition), _ALL),)


def purge_of_url(partition: Partition, host: str, target: str) -> tuple[int, ...]:
    """One URL in any scheme, of all its variants and users; ``target`` normalised as for the key. ANY_HOST: on all."""
    return (_number(_head(partition), _URL, _place(host), _encoded(_unescaped(target))),)


def purge_of_prefix(partition: Partition, host: str, path: str) -> tuple[int, ...]:
    """A path and all below it, by whole segments: ``/api`` names ``/api?x`` and ``/api/b``, not ``/apis``."""
    return (_number(_head(partition), _PREFIX, _place(host), _prefixes(path)[-1]),)


def purge_of_tag(partition: Partition, tag: bytes) -> tuple[int, ...]:
    """What the app tagged so."""
    head = _head(partition)
    return _number(head, _TAG, b"", tag), _number(head, _MANY_TAGS)


def purge_of_content(key: bytes, vary: Iterable[tuple[str, str]], etag: bytes, body: bytes) -> int:
    """One variant of one URL of one owner, as long as it is this: by its entity tag, or else by its body. So workers
    tell one another that what they hold is not current any more, and name nothing that has come since.

    Of a large body without a tag only both ends and the length count.
    """
    words = [_encoded(word) for pair in vary for word in pair]
    ends = (b"", str(len(body)).encode(), body[:_END], body[-_END:])
    return _number(_CONTENT, key, _joined(words), _joined((etag,) if etag else ends))


def purge_of_shelf(shelf: str) -> int:
    """All that a route has stored under one set of terms."""
    return _number(_SHELF, _encoded(shelf))


def tags_of(partition: Partition, host: str, target: str, app_tags: Iterable[bytes]) -> tuple[int, ...]:
    """The digests of all that a purge could name this answer by, within its partition and once everywhere."""
    url, name = _encoded(_unescaped(target)), _place(host)
    prefixes, tags = _prefixes(target), dict.fromkeys(app_tags)
    found: list[int] = []
    for head in dict.fromkeys((_head(partition), _head(EVERYWHERE))):
        paths = _remembered if len(head) + len(name) + len(prefixes[-1]) <= _REMEMBERED else _number
        found.append(paths(head, _ALL))
        for where in (name, _encoded(ANY_HOST)):
            found.append(_number(head, _URL, where, url))
            found += [paths(head, _PREFIX, where, prefix) for prefix in prefixes]
        if len(tags) > MAX_APP_TAGS:
            found.append(_number(head, _MANY_TAGS))
        else:
            found += [_number(head, _TAG, b"", tag) for tag in tags]
    return tuple(found)


def app_tags(headers: RawHeaders) -> tuple[bytes, ...]:
    """The app's own tags: ``Cache-Tag``'s members are parted by commas, ``Surrogate-Key``'s by spaces.

    Compared byte for byte. Each once, in order.
    """
    found: dict[bytes, None] = {}
    for name, value in headers:
        match name.lower():
            case b"cache-tag":
                found.update(dict.fromkeys(part.strip(b" \t") for part in value.split(b",")))
            case b"surrogate-key":
                found.update(dict.fromkeys(value.split()))
    found.pop(b"", None)
    return tuple(found)


def _prefixes(target: str) -> list[bytes]:
    """``/``, ``/api``, ``/api/reports`` of ``/api/reports?x``. A final slash makes no other prefix."""
    path = _unescaped(target.partition("?")[0].partition("#")[0])
    # Without parameters, as routes are matched: /api;x/reports is below /api.
    steps = [name for step in path.split("/") if (name := step.partition(";")[0])][:MAX_PREFIXES]
    return [b"/", *(_encoded("/" + "/".join(steps[: count + 1])) for count in range(len(steps)))]


def _place(host: str) -> bytes:
    """With and without a scheme's own port a host is the same (RFC 3986 §6.2.3). That http's is not https' is nothing
    to a purge, which is of both."""
    name, _, port = host.rpartition(":")
    return _encoded(name if name and port in _DEFAULT_PORTS else host)


def _unescaped(target: str) -> str:
    """One writing for all that RFC 3986 §6.2.2 calls the same, so that none evades a purge of another."""
    return _ESCAPE.sub(normal_escape, target) if "%" in target else target


def _number(within: bytes, kind: bytes, host: bytes = b"", word: bytes = b"") -> int:
    """``within`` is a partition's head."""
    data = within + _THREE.pack(len(kind), len(host), len(word)) + kind + host + word
    (number,) = _NUMBER.unpack(blake2b(data, digest_size=8, person=b"sluicegate purge").digest())
    return int(number)


# What recurs in most answers of a tenant. Never much of what clients make up: see _REMEMBERED.
_remembered: Final = lru_cache(maxsize=8192)(_number)


def _head(partition: Partition) -> bytes:
    return _joined((partition.kind, _encoded(partition.tenant)))


def _encoded(word: str) -> bytes:
    return word.encode("utf-8", "surrogatepass")  # lone surrogates too: each text has bytes of its own


def _joined(words: Iterable[bytes]) -> bytes:
    pack = _LENGTH.pack
    return b"".join([part for word in words for part in (pack(len(word)), word)])
