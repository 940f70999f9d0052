"""Sentry's envelopes, made and read. Pure. Source: https://develop.sentry.dev/sdk/data-model/envelopes/.

A header line, then items, each a header line and a payload that is as long as the header says or ends with its line.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

MOST_ITEMS: Final = 100
_TAGGED: Final = frozenset({"event", "transaction", "replay_event", "feedback"})
_ATTRIBUTED: Final = frozenset({"span", "log", "trace_metric"})  # many in one payload, each with typed attributes


class EnvelopeError(ValueError):
    """It is none; the message says why, and quotes nothing."""


def envelope(kind: str, payload: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> bytes:
    """Of one item."""
    body = orjson.dumps(payload)
    return b"%b\n%b\n%b\n" % (
        orjson.dumps({"event_id": payload["event_id"], **(header or {})}),
        orjson.dumps({"type": kind, "length": len(body), "content_type": "application/json"}),
        body,
    )


def read_header(data: bytes) -> dict[str, Any]:
    """The envelope's own. Raises: EnvelopeError."""
    return _object(data.partition(b"\n")[0], "header")


def tagged(data: bytes, tags: Mapping[str, str]) -> bytes:
    """The same envelope with these tags on its events, in place of any of the same names. Raises: EnvelopeError."""
    head, _, rest = data.partition(b"\n")
    out = [head]
    for _ in range(MOST_ITEMS):
        rest = rest.lstrip(b"\n")
        if not rest:
            return b"\n".join(out) + b"\n"
        line, _, rest = rest.partition(b"\n")
        item = _object(line, "item's header")
        if not isinstance(item.get("type"), str):
            raise EnvelopeError("an item's type is no text")
        length = item.get("length")
        if length is None:
            payload, _, rest = rest.partition(b"\n")
        elif isinstance(length, int) and 0 <= length <= len(rest):
            payload, rest = rest[:length], rest[length:]
            if rest and not rest.startswith(b"\n"):
                raise EnvelopeError("an item is longer than it says")
        else:
            raise EnvelopeError("an item is shorter than it says")
        if tags:
            payload = _told_whose(item["type"], payload, tags)
        item["length"] = len(payload)
        out += (_written(item, "item's header"), payload)
    raise EnvelopeError(f"more than {MOST_ITEMS} items")


def _told_whose(kind: str, payload: bytes, tags: Mapping[str, str]) -> bytes:
    if kind in _TAGGED:
        told = _object(payload, "event")
        own = told.get("tags")
        told["tags"] = {**(own if isinstance(own, dict) else {}), **tags}
        return _written(told, "event")
    if kind in _ATTRIBUTED:
        told = _object(payload, "event")
        typed = {name: {"value": value, "type": "string"} for name, value in tags.items()}
        members = told.get("items")
        for one in members if isinstance(members, list) else ():
            if isinstance(one, dict):
                own = one.get("attributes")
                one["attributes"] = {**(own if isinstance(own, dict) else {}), **typed}
        return _written(told, "event")
    return payload


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise EnvelopeError(f"the {what} is no JSON") from None
    if not isinstance(found, dict):
        raise EnvelopeError(f"the {what} is no object")
    return found


def _written(value: Mapping[str, Any], what: str) -> bytes:
    """What was read may be nested deeper than what can be written."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise EnvelopeError(f"the {what} is nested too deeply") from None
