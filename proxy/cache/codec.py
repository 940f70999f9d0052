"""Stored answers as bytes, and back. Pure.

A record is a head, the numbers, and then everything else; the layout follows from the fields of ``Stored`` and
``Terms``, and the head names it, so that a gateway of another version finds nothing instead of nonsense. Whatever is
torn, foreign or of another key is None, never an exception.

A body is compressed where that pays. One of more than INLINE bytes then lives apart from its record, which has its
length and checksum: ``encode`` gives both, ``decode`` wants both.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import Field, fields
from enum import IntFlag
from itertools import takewhile
from operator import attrgetter
from struct import Struct
from typing import Any, Final, NamedTuple, get_type_hints

from proxy.cache.entry import Stored, Terms
from proxy.core.headers import RawHeaders

INLINE: Final = 16 << 10  # bytes of a body, as it is stored, that are kept in its record

_FORMAT: Final = 2  # to be raised when the meaning changes and no field does
_FIRST_NOT_KEPT: Final = "checked"  # of Stored: what begins here is a worker's own
_LEAST_COMPRESSED: Final = 1 << 10
_PAYS: Final = 0.9  # compressed to less than this part
_LEVEL: Final = 1
_PACKED_TYPES: Final = (b"image/", b"video/", b"audio/", b"font/woff")
_PACKED_WORDS: Final = (b"zip", b"compressed", b"zstd", b"brotli", b"7z", b"rar", b"pdf", b"octet-stream")
_UNPACKED: Final = (b"image/svg", b"image/bmp")

# format, layout, checksum of all that follows, flags, length of the body, stored length of it, its checksum
_HEAD: Final = Struct("<BIIBQQI")
_SUMMED: Final = 9  # from here on
_NAMES_INTERNED: Final = 4096
_LONGEST_INTERNED: Final = 64


class _Flag(IntFlag):
    COMPRESSED = 1
    APART = 2


# --- values of one type each -------------------------------------------------------------------------------------

_names: dict[bytes, bytes] = {}  # field names recur in every answer: each is kept once


def _interned(name: bytes) -> bytes:
    if len(_names) >= _NAMES_INTERNED or len(name) > _LONGEST_INTERNED:
        return _names.get(name, name)
    return _names.setdefault(name, name)


def _pieces(parts: list[bytes]) -> bytes:
    count = len(parts)
    return Struct(f"<I{count}I").pack(count, *map(len, parts)) + b"".join(parts)


def _cut(data: bytes) -> list[bytes]:
    count = int.from_bytes(data[:4], "little")
    lengths = Struct(f"<{count}I").unpack_from(data, 4)
    place, parts = 4 + 4 * count, []
    for length in lengths:
        parts.append(data[place : place + length])
        place += length
    return parts


def _dump_headers(headers: RawHeaders) -> bytes:
    return _pieces([word for pair in headers for word in pair])


def _load_headers(data: bytes) -> RawHeaders:
    parts = _cut(data)
    return list(zip(map(_interned, parts[::2]), parts[1::2], strict=True))


def _dump_pairs(pairs: tuple[tuple[str, str], ...]) -> bytes:
    return _pieces([_dump_text(word) for pair in pairs for word in pair])


def _load_pairs(data: bytes) -> tuple[tuple[str, str], ...]:
    words = list(map(_load_text, _cut(data)))
    return tuple(zip(words[::2], words[1::2], strict=True))


def _dump_numbers(numbers: tuple[int, ...]) -> bytes:
    return Struct(f"<{len(numbers)}Q").pack(*numbers)


def _load_numbers(data: bytes) -> tuple[int, ...]:
    return Struct(f"<{len(data) // 8}Q").unpack(data)


def _dump_range(found: tuple[int, int, int] | None) -> bytes:
    return b"" if found is None else _RANGE.pack(*found)


def _load_range(data: bytes) -> tuple[int, ...] | None:
    return _RANGE.unpack(data) if data else None


def _dump_text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _load_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _same(data: bytes) -> bytes:
    return data


_RANGE: Final = Struct("<qqq")
_NUMBERS: Final[dict[Any, str]] = {int: "q", bool: "?"}
_VARIABLE: Final[dict[Any, tuple[Callable[[Any], bytes], Callable[[bytes], Any]]]] = {
    bytes: (_same, _same),
    str: (_dump_text, _load_text),
    RawHeaders: (_dump_headers, _load_headers),
    tuple[tuple[str, str], ...]: (_dump_pairs, _load_pairs),
    tuple[int, ...]: (_dump_numbers, _load_numbers),
    tuple[int, int, int] | None: (_dump_range, _load_range),
}


# --- the layout --------------------------------------------------------------------------------------------------


class _Layout(NamedTuple):
    """Where each field is. A field of a type that is not in the tables ends the import: it must be given a place."""

    numbers: Struct  # all numbers of ``Stored``, then those of ``Terms``, then the lengths of what varies
    stored: tuple[str, ...]
    terms: tuple[str, ...]
    varying: tuple[str, ...]
    dump: tuple[Callable[[Any], bytes], ...]
    load: tuple[Callable[[bytes], Any], ...]
    digest: int


def _layout() -> _Layout:
    def kept(of: type) -> list[tuple[str, Any]]:
        types = get_type_hints(of)
        named: tuple[Field[Any], ...] = fields(of)
        return [(each.name, types[each.name]) for each in takewhile(lambda each: each.name != _FIRST_NOT_KEPT, named)]

    stored, terms = kept(Stored), kept(Terms)
    outer = [(name, kind) for name, kind in stored if kind is not Terms and name != "body"]
    numbers = [(name, kind) for name, kind in outer if kind in _NUMBERS]
    varying = [(name, kind) for name, kind in outer if kind not in _NUMBERS]
    form = "<" + "".join(_NUMBERS[kind] for _, kind in numbers + terms) + "I" * len(varying)
    said = repr([form, *((name, str(kind)) for name, kind in stored + terms)])
    return _Layout(
        Struct(form),
        tuple(name for name, _ in numbers),
        tuple(name for name, _ in terms),
        tuple(name for name, _ in varying),
        tuple(_VARIABLE[kind][0] for _, kind in varying),
        tuple(_VARIABLE[kind][1] for _, kind in varying),
        zlib.crc32(said.encode()),
    )


_LAYOUT: Final = _layout()
_STORED_NUMBERS: Final = attrgetter(*_LAYOUT.stored)
_TERMS_NUMBERS: Final = attrgetter(*_LAYOUT.terms)
_VARYING: Final = attrgetter(*_LAYOUT.varying)


# --- records -----------------------------------------------------------------------------------------------------


def encode(stored: Stored) -> tuple[bytes, bytes]:
    """Its record, and its body where that lives apart, else b"". Takes 10 ms a MiB of body that is compressed."""
    body = _compressed(stored)
    flags = _Flag(0) if body is None else _Flag.COMPRESSED
    kept = stored.body if body is None else body
    parts = [dump(value) for dump, value in zip(_LAYOUT.dump, _VARYING(stored), strict=True)]
    numbers = *_STORED_NUMBERS(stored), *_TERMS_NUMBERS(stored.terms), *map(len, parts)
    apart = kept if len(kept) > INLINE else b""
    if apart:
        flags |= _Flag.APART
    else:
        parts.append(kept)
    rest = _LAYOUT.numbers.pack(*numbers) + b"".join(parts)
    sums = len(stored.body), len(kept), zlib.crc32(kept)
    head = _HEAD.pack(_FORMAT, _LAYOUT.digest, 0, flags, *sums)
    summed = zlib.crc32(rest, zlib.crc32(head[_SUMMED:]))
    return _HEAD.pack(_FORMAT, _LAYOUT.digest, summed, flags, *sums) + rest, apart


def apart(record: bytes) -> int | None:
    """How many bytes of body live apart from this record; None: it can't be read."""
    if len(record) < _HEAD.size:
        return None
    form, layout, summed, flags, _, length, _ = _HEAD.unpack_from(record)
    if form != _FORMAT or layout != _LAYOUT.digest or summed != zlib.crc32(memoryview(record)[_SUMMED:]):
        return None
    return int(length) if flags & _Flag.APART else 0


def body_length(record: bytes) -> int:
    """Bytes of the body as the app sent it, of a record that can be read."""
    return int(_HEAD.unpack_from(record)[4])


def decode(record: bytes, key: bytes, body: bytes | None = b"") -> Stored | None:
    """What was encoded, if it was for this canonical key; ``body`` is that which lives apart, None to do without."""
    length = apart(record)
    if length is None or (body is not None and length != len(body)):
        return None
    *_, flags, whole, kept, checksum = _HEAD.unpack_from(record)
    try:
        values = _LAYOUT.numbers.unpack_from(record, _HEAD.size)
        place, varying = _HEAD.size + _LAYOUT.numbers.size, []
        first = len(values) - len(_LAYOUT.load)
        for load, size in zip(_LAYOUT.load, values[first:], strict=True):
            varying.append(load(record[place : place + size]))
            place += size
        found = None if body is None else body or record[place:]
        if found is not None:
            if len(found) != kept or zlib.crc32(found) != checksum:
                return None
            found = _expanded(found, whole) if flags & _Flag.COMPRESSED else found
    except (ValueError, struct.error, zlib.error):  # the checksum holds: written by what is not our encode
        return None
    split = len(_LAYOUT.stored)
    named = dict(zip(_LAYOUT.stored, values[:split], strict=True))
    named.update(zip(_LAYOUT.varying, varying, strict=True))
    if named["key"] != key or (found is not None and len(found) != whole):
        return None
    terms = Terms(**dict(zip(_LAYOUT.terms, values[split:first], strict=True)))
    return Stored(terms=terms, body=found or b"", **named)


def _compressed(stored: Stored) -> bytes | None:
    if len(stored.body) < _LEAST_COMPRESSED or not _compressible(stored.headers):
        return None
    packed = zlib.compress(stored.body, _LEVEL)
    return packed if len(packed) < _PAYS * len(stored.body) else None


def _compressible(headers: RawHeaders) -> bool:
    for name, value in headers:
        match name.lower():
            case b"content-encoding":
                return False
            case b"content-type":
                kind = value.lower().lstrip()
                if kind.startswith(_UNPACKED):
                    continue
                if kind.startswith(_PACKED_TYPES) or any(word in kind for word in _PACKED_WORDS):
                    return False
    return True


def _expanded(packed: bytes, length: int) -> bytes:
    """At most ``length`` + 1 bytes, so that nothing grows beyond what was said. Raises: zlib.error, ValueError."""
    stream = zlib.decompressobj()
    found = stream.decompress(packed, length + 1)
    if not stream.eof and not (len(found) == length and not stream.unconsumed_tail):
        raise ValueError
    return found
