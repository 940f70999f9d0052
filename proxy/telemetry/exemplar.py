"""A traced request that stands for those of its bucket, as it lies in memory that two processes share. Pure.

One side writes over it while the other may read: so a record carries a checksum of itself, and half of one is none.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Final

_BODY: Final = struct.Struct("<16sdd")
_CHECK: Final = struct.Struct("<I4x")
SIZE: Final = _BODY.size + _CHECK.size  # bytes of a record


@dataclass(frozen=True, slots=True)
class Exemplar:
    """``trace_id``: 32 hexadecimal digits; ``at_s``: seconds since 1970."""

    trace_id: str
    value: float
    at_s: float


def packed(exemplar: Exemplar) -> bytes:
    body = _BODY.pack(bytes.fromhex(exemplar.trace_id), exemplar.value, exemplar.at_s)
    return body + _CHECK.pack(zlib.crc32(body))


def unpacked(record: bytes) -> Exemplar | None:
    """None: nothing was written, or not the whole of it. Of what was never written the checksum is wrong, too."""
    body = record[: _BODY.size]
    if _CHECK.unpack_from(record, _BODY.size)[0] != zlib.crc32(body):
        return None
    trace_id, value, at_s = _BODY.unpack(body)
    return Exemplar(trace_id.hex(), value, at_s)
