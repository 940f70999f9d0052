"""The level of stored answers that all workers of all gateways share: one hash a URL in Redis.

``sc:{digest}`` holds a record for each variant and the mark of what is not stored; its index says until when each is
kept, and the key lives as long as the last of them. A large body is in pieces in keys of its own, which carry the
digest of its record, so that no record ever finds another's body. They are written first and read last.

Whatever fails is a miss: nothing here raises, and an outage costs microseconds (``link.py``).
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from math import isfinite
from struct import Struct
from typing import Final

from proxy.cache.codec import apart, body_length, decode, encode
from proxy.cache.digests import key_digest
from proxy.cache.entry import Stored
from proxy.cache.link import AWAY, Absent, Link
from proxy.cache.reuse import FIRST_SERVER_ERROR
from proxy.cache.room import Room
from proxy.store.scripts import load

PIECE: Final = 256 << 10  # bytes
MAX_VARIANTS: Final = 8  # of one URL
MAX_BODY: Final = 64 << 20  # bytes as stored; what claims more is foreign

_ANSWERS: Final = b"sc:{%b}"
_PIECE_KEY: Final = b"sb:{%b}:%b:%d"
_INDEX: Final = b"i"
_MARK: Final = bytes(8)
_ENTRY: Final = Struct("<8sd")
_KEY_BYTES: Final = 512  # names, expiries, places in tables
_ON_THE_LOOP: Final = 64 << 10  # larger bodies are compressed and summed in a thread


@dataclass(frozen=True, slots=True)
class Found:
    """What is kept of a URL. ``not_stored_until_ms``: its answers were not to be stored (epoch ms, by Redis' clock)."""

    variants: tuple[Stored, ...]  # newest first
    not_stored_until_ms: int = 0
    not_stored_why: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """One variant as ops look at it: ``stored`` is without its body, which has so many bytes."""

    stored: Stored
    body_bytes: int
    kept_until_ms: int  # by Redis' clock


@dataclass(frozen=True, slots=True)
class Listing:
    """As ``Found``."""

    variants: tuple[Listed, ...] = ()
    not_stored_until_ms: int = 0
    not_stored_why: str = ""


class Shared:
    """Of one event loop. ``bytes_read`` and ``bytes_written`` are of records and bodies."""

    def __init__(self, link: Link, room: Room) -> None:
        self.bytes_read = 0
        self.bytes_written = 0
        self._link = link
        self._room = room
        self._put = load("cache_put")
        self._look = load("cache_look")

    async def get(self, key: bytes, wanted: Callable[[Stored], bool] | None = None) -> Found | None:
        """What there is for a canonical key; None: nothing, or no answer in time.

        Of large answers only those are read that are ``wanted``, judged without their bodies; others are left out.
        """
        digest = key_digest(key)
        reply = await self._link.call("HGETALL", _ANSWERS % digest)
        return await self._found(digest, key, {} if reply is AWAY else reply, wanted)

    async def look(
        self, key: bytes, lease: bytes, token: bytes, lease_ms: int, wanted: Callable[[Stored], bool] | None = None
    ) -> tuple[Found | None, bool | None]:
        """As ``get``, and at the same moment whether this token now has the lease of that name (``leases.lease_name``);
        None: nobody knows."""
        digest = key_digest(key)
        reply = await self._link.run(self._look, (_ANSWERS % digest, lease), token, lease_ms)
        if reply is AWAY:
            return None, None
        leased, flat = reply
        return await self._found(digest, key, dict(zip(flat[::2], flat[1::2], strict=True)), wanted), leased == 1

    async def _found(
        self, digest: bytes, key: bytes, reply: dict[bytes, bytes], wanted: Callable[[Stored], bool] | None
    ) -> Found | None:
        if not reply:
            return None
        variants, until_ms = [], 0
        for name, expiry in _index_of(reply):
            if name == _MARK:
                until_ms = expiry
            elif (record := reply.get(name)) is not None:
                stored = await self._whole(digest, key, record, wanted)
                if stored is not None:
                    variants.append(stored)
        return Found(tuple(reversed(variants)), until_ms, _why(reply, until_ms)) if variants or until_ms else None

    async def listed(self, key: bytes) -> Listing | Absent:
        """What there is for a canonical key, without any body: for ops. AWAY: no answer."""
        reply = await self._link.call("HGETALL", _ANSWERS % key_digest(key))
        if isinstance(reply, Absent):
            return reply
        variants, until_ms = [], 0
        for name, expiry in _index_of(reply):
            record = reply.get(name)
            if name == _MARK:
                until_ms = expiry
            elif record is not None and (stored := decode(record, key, None)) is not None:
                variants.append(Listed(stored, body_length(record), expiry))
        return Listing(tuple(reversed(variants)), until_ms, _why(reply, until_ms))

    async def put(self, key: bytes, stored: Stored, ttl_ms: int) -> bool:
        """Keeps a variant for so long, in place of the one with the same ``vary``. False: it was not kept.

        A server's error is not kept while any answer is, nor a part of a body while the whole is.
        """
        if not self._room.left or not self._link.open or ttl_ms <= 0 or len(stored.body) > MAX_BODY:
            return False  # before it is made small, which takes longer than to ask
        large = len(stored.body) > _ON_THE_LOOP
        record, body = await asyncio.to_thread(encode, stored) if large else encode(stored)
        if not await self._room.take(_held(len(record), len(body))):
            return False
        digest = key_digest(key)
        for number, at in enumerate(range(0, len(body), PIECE)):
            name = _PIECE_KEY % (digest, _record_digest(record), number)
            # A little longer than the record, so that it is never the first to go.
            if await self._link.call("SET", name, body[at : at + PIECE], "PX", ttl_ms + 1_000) is AWAY:
                return False
        kept = await self._keep(digest, _variant(stored), record, ttl_ms, _before(stored))
        if kept:
            self.bytes_written += len(record) + len(body)
        return kept

    async def mark(self, key: bytes, ttl_ms: int, why: str = "") -> bool:
        """Tells all that answers of this key are not stored, so that nobody waits for another's fetch; and ops, why."""
        return await self._room.take(_held(len(why), 0)) and await self._keep(
            key_digest(key), _MARK, why.encode(), ttl_ms
        )

    async def discard(self, key: bytes) -> bool:
        """Lets go of all that is kept of a key; bodies end by themselves."""
        return await self._link.call("DEL", _ANSWERS % key_digest(key)) is not AWAY

    async def _keep(self, digest: bytes, name: bytes, record: bytes, ttl_ms: int, before: bytes = b"") -> bool:
        keys = (_ANSWERS % digest,)
        kept: bool = await self._link.run(self._put, keys, name, record, ttl_ms, MAX_VARIANTS, before) == 1
        return kept

    async def _whole(
        self, digest: bytes, key: bytes, record: bytes, wanted: Callable[[Stored], bool] | None
    ) -> Stored | None:
        self.bytes_read += len(record)
        length = apart(record)
        if length is None or length > MAX_BODY:
            return None
        if not length:
            return decode(record, key)
        if wanted is not None:
            without = decode(record, key, None)
            if without is None or not wanted(without):
                return None
        pieces = []
        for number in range(-(-length // PIECE)):
            piece = await self._link.call("GET", _PIECE_KEY % (digest, _record_digest(record), number))
            if piece is AWAY or piece is None:
                return None
            pieces.append(piece)
        body = b"".join(pieces)
        self.bytes_read += len(body)
        if length > _ON_THE_LOOP:
            return await asyncio.to_thread(decode, record, key, body)
        return decode(record, key, body)


def _held(record: int, body: int) -> int:
    """Bytes that Redis holds at most for so many: its allocator rounds up by a quarter, and each key has its own."""
    return (record + body) * 5 // 4 + _KEY_BYTES * (1 + -(-body // PIECE))


def _index_of(reply: Mapping[bytes, bytes]) -> list[tuple[bytes, int]]:
    """Names and their expiry (epoch ms), oldest first."""
    index = reply.get(_INDEX, b"")
    entries = _ENTRY.iter_unpack(index[: len(index) // _ENTRY.size * _ENTRY.size])
    return [(name, int(expiry)) for name, expiry in entries if isfinite(expiry)]


def _why(reply: Mapping[bytes, bytes], until_ms: int) -> str:
    return reply.get(_MARK, b"").decode("utf-8", "replace") if until_ms else ""


def _before(stored: Stored) -> bytes:
    """The variant that goes before this one, as long as it is there; none: empty."""
    return _variant(stored, whole=True) if stored.range is not None or stored.status >= FIRST_SERVER_ERROR else b""


def _variant(stored: Stored, *, whole: bool = False) -> bytes:
    """8 bytes, of the selecting fields, and whether it is a part; never all zero, which is the mark's.

    ``whole``: that of the whole body.
    """
    words = [word.encode("utf-8", "surrogatepass") for pair in stored.vary for word in pair]
    data = b"".join(len(word).to_bytes(4, "little") + word for word in words)
    return blake2b(data, digest_size=7, person=b"sluicegate vary").digest() + (
        b"v" if whole or stored.range is None else b"p"
    )


def _record_digest(record: bytes) -> bytes:
    return blake2b(record, digest_size=8, person=b"sluicegate body").hexdigest().encode()
