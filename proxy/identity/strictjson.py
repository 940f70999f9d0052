"""JSON as a token may hold it: one value, in UTF-8, each member named once at every level (RFC 7515 §4, RFC 7519 §4).

Libraries take the last of two equal names, so that two readers of one token may see two different things: here it is an
error. Pure.
"""

import json
from typing import Any, Final, NoReturn


class NotStrict(ValueError):
    """The bytes are not JSON, or not JSON that all readers understand alike."""


class DuplicateMember(NotStrict):
    """An object names a member twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise DuplicateMember("a member is named twice")
    return made


def _no_constant(_name: str) -> NoReturn:
    raise NotStrict("NaN and Infinity are not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def loads_object(raw: bytes) -> dict[str, Any]:
    """The object that ``raw`` is. Raises: NotStrict, also for lone surrogates, which no other system could be told."""
    try:
        text = raw.decode("utf-8")  # never json.loads(bytes): that would guess UTF-16 and UTF-32 too
        value = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except NotStrict:
        raise
    except (ValueError, RecursionError) as error:
        raise NotStrict("not JSON") from error
    if not isinstance(value, dict):
        raise NotStrict("not an object")
    return value
