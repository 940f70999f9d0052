"""Whether an answer belongs to the tenant that it is for, as it says itself (``assert_tenant``). Pure, never raises."""

import zlib
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, Final

import orjson

from proxy.core.headers import RawHeaders, get_all
from proxy.policy.caching import AssertTenant

_ZLIB: Final = frozenset({b"gzip", b"x-gzip", b"deflate"})
_EITHER: Final = 47  # windows of 2^15 bytes; zlib looks whether it is gzip's head or its own


class Belongs(Enum):
    """What an answer says of its tenant."""

    TO_IT = "to it"
    UNPROVEN = "unproven"  # it does not say, or cannot be read: it is passed on, and not stored
    TO_ANOTHER = "to another"


def by_fields(assertion: AssertTenant, headers: RawHeaders, tenant: str) -> Belongs:
    """By the field that names it: each of its values has to be the tenant."""
    assert assertion.header is not None
    values = get_all(headers, assertion.header.encode())
    if not values:
        return Belongs.UNPROVEN
    named = tenant.encode("utf-8", "surrogatepass")
    return Belongs.TO_IT if all(value.strip(b" \t") == named for value in values) else Belongs.TO_ANOTHER


def by_body(assertion: AssertTenant, body: bytes, tenant: str) -> Belongs:
    """By what stands at the path in a JSON body: through lists, in every member that has it.

    A null names nobody: beside others' names it changes nothing of what they say against the answer, but with one in
    it not all of the answer is proven.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Belongs.UNPROVEN
    named = list(_values(document, assertion.json))
    if not all(value is None or _is(value, tenant) for value in named):
        return Belongs.TO_ANOTHER
    return Belongs.UNPROVEN if not named or None in named else Belongs.TO_IT


def uncoded(body: bytes, codings: Sequence[bytes], most: int) -> bytes | None:
    """Without its content coding, which nobody has asked for. ``codings`` in lower case.

    None: it is not whole, in a coding that is not known here, or larger than ``most`` bytes.
    """
    if not codings or codings == [b"identity"]:
        return body
    if len(codings) > 1 or codings[0] not in _ZLIB:
        return None
    inflating = zlib.decompressobj(_EITHER)
    try:
        plain = inflating.decompress(body, most + 1)
    except zlib.error:
        return None
    whole = inflating.eof and not inflating.unused_data and len(plain) <= most
    return plain if whole else None


def _values(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if isinstance(value, list):
        for member in value:
            yield from _values(member, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _values(value[path[0]], path[1:])


def _is(value: Any, tenant: str) -> bool:
    """Tenants that are numbers in the body are text in a token."""
    return value == tenant if isinstance(value, str) else not isinstance(value, bool) and str(value) == tenant
