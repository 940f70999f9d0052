"""What was stored is read back field by field; whatever is torn, foreign or another's is a miss."""

import dataclasses
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.cache import codec
from proxy.cache.codec import INLINE, apart, decode, encode
from proxy.cache.entry import Stored
from tests.cache.stored import NOW_MS, answer, answers
from tests.fuzz import examples

TEXT = b"all work and no play makes jack a dull boy\n" * 100


@given(answers)
@settings(max_examples=examples(150))
def test_what_is_decoded_is_what_was_encoded(stored: Stored) -> None:
    record, body = encode(stored)
    assert decode(record, stored.key, body) == stored
    assert apart(record) == len(body)
    assert bool(body) == (len(body) > INLINE)


@given(answers, st.data())
@settings(max_examples=examples(150))
def test_a_record_that_was_torn_or_changed_is_a_miss(stored: Stored, data: st.DataObject) -> None:
    record, body = encode(stored)
    at = data.draw(st.integers(0, len(record) - 1))
    flipped = bytearray(record)
    flipped[at] ^= data.draw(st.integers(1, 255))
    assert decode(bytes(flipped), stored.key, body) is None
    assert decode(record[:at], stored.key, body) is None
    assert decode(record + b"\0", stored.key, body) is None


@given(st.binary(max_size=300))
def test_foreign_bytes_are_a_miss(data: bytes) -> None:
    assert decode(data, b"key") is None
    assert not apart(data)


@given(st.binary(max_size=300), st.integers(0, 3), st.integers(0, 400), st.integers(0, 400))
@settings(max_examples=examples(200))
def test_foreign_bytes_with_the_right_sums_are_a_miss(rest: bytes, flags: int, whole: int, kept: int) -> None:
    """Whatever its lengths claim: as if another program wrote in our format."""
    _, _, _, _, *_ = head = codec._HEAD.unpack_from(encode(answer())[0])
    made = codec._HEAD.pack(head[0], head[1], 0, flags, whole, kept, zlib.crc32(rest[-kept:]))
    summed = zlib.crc32(rest, zlib.crc32(made[codec._SUMMED :]))
    record = codec._HEAD.pack(head[0], head[1], summed, flags, whole, kept, zlib.crc32(rest[-kept:])) + rest
    assert decode(record, b"key") is None
    assert decode(record, b"key", b"x" * kept) is None


def test_another_key_is_a_miss() -> None:
    """Two canonical keys with one digest."""
    record, _ = encode(answer(b"one"))
    assert decode(record, b"another") is None


def test_another_layout_is_a_miss() -> None:
    record, _ = encode(answer())
    assert decode(bytes([record[0] + 1]) + record[1:], b"key") is None
    assert decode(record[:1] + struct.pack("<I", 1) + record[5:], b"key") is None


def test_a_body_apart_that_is_not_its_own_is_a_miss() -> None:
    stored = answer(headers=[(b"Content-Encoding", b"br")], body=b"x" * (INLINE + 1))
    record, body = encode(stored)
    assert decode(record, b"key", body) == stored
    assert decode(record, b"key") is None
    assert decode(record, b"key", body[:-1]) is None
    assert decode(record, b"key", body[:-1] + b"y") is None


def test_without_its_body_all_else_can_be_read() -> None:
    stored = answer(headers=[(b"Content-Encoding", b"br")], body=b"x" * (INLINE + 1))
    record, _ = encode(stored)
    assert decode(record, b"key", None) == dataclasses.replace(stored, body=b"")


@pytest.mark.parametrize(
    ("headers", "body", "compressed"),
    [
        ([], TEXT, True),
        ([(b"Content-Type", b"application/json")], TEXT, True),
        ([(b"content-type", b"image/svg+xml")], TEXT, True),
        ([(b"Content-Type", b"image/png")], TEXT, False),
        ([(b"CONTENT-TYPE", b"Video/mp4")], TEXT, False),
        ([(b"Content-Type", b"application/zip")], TEXT, False),
        ([(b"Content-Encoding", b"gzip")], TEXT, False),
        ([], TEXT[:1023], False),
        ([], bytes((number * number * 31) >> 3 & 255 for number in range(2_000)), True),
    ],
)
def test_a_body_is_compressed_where_that_may_pay(
    headers: list[tuple[bytes, bytes]], body: bytes, compressed: bool
) -> None:
    stored = answer(headers=headers, body=body)
    record, _ = encode(stored)
    assert (body not in record) == compressed
    assert decode(record, b"key") == stored


def test_what_grows_or_hardly_shrinks_is_kept_as_it_is() -> None:
    body = zlib.compress(b"".join(struct.pack("<I", number * 2_654_435_761 & 0xFFFFFFFF) for number in range(4_000)))
    stored = answer(headers=[], body=body)
    record, _ = encode(stored)
    assert body in record
    assert decode(record, b"key") == stored


def test_every_field_is_kept_but_what_is_this_workers_own() -> None:
    """A field that is added to the contract is in the layout at once."""
    stored = answer(b"key", seen=1)
    stored.checked = 77
    record, _ = encode(stored)
    found = decode(record, b"key")
    assert found is not None
    assert found.checked == -1
    kept = {*codec._LAYOUT.stored, *codec._LAYOUT.varying, "terms", "body"}
    names = [each.name for each in dataclasses.fields(Stored)]
    assert kept == set(names[: names.index("checked")])


def test_field_names_are_kept_once() -> None:
    one, other = (decode(encode(answer())[0], b"key") for _ in range(2))
    assert one is not None
    assert other is not None
    assert all(mine[0] is theirs[0] for mine, theirs in zip(one.headers, other.headers, strict=True))


def test_a_small_answer_is_a_small_record() -> None:
    assert len(encode(answer(terms=dataclasses.replace(answer().terms, received_ms=NOW_MS)))[0]) < 400
