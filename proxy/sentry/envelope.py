"""Sentry's envelopes, made and read. Pure. Source: https://develop.sentry.dev/sdk/data-model/envelopes/.

A header line, then items, each a header line and a payload that is as long as the header says or ends with its line.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

MOST_ITEMS: Final = 100
MOST_READ: Final = 2**20  # bytes of events in one envelope: Sentry takes no larger event, and reading costs 50 ms a MiB
OURS: Final = frozenset({"tenant", "tier"})  # names that a credential alone may fill

_EACH: Final = "*"  # of a list
_Path = tuple[str, ...]
_OF_TRACE: Final[tuple[_Path, ...]] = tuple(
    (contexts, "trace", held) for contexts in ("contexts", "sentry.interfaces.Contexts") for held in ("tags", "data")
)
_EVENT: Final[tuple[_Path, ...]] = (("tags",), *_OF_TRACE, ("spans", _EACH, "tags"), ("spans", _EACH, "data"))
_TYPED: Final[_Path] = ("items", _EACH, "attributes")  # many in one payload, each with typed attributes

# What the browser's SDK sends, and where in each something is said by which Sentry looks things up. Other kinds are
# left out: some of them become events without being read here.
_KINDS: Final[Mapping[str, tuple[_Path, ...]]] = {
    "event": _EVENT,
    "transaction": _EVENT,
    "replay_event": _EVENT,
    "feedback": _EVENT,
    "span": (_TYPED, ("tags",), ("data",), ("attributes",)),
    "log": (_TYPED,),
    "metric": (_TYPED,),
    "trace_metric": (_TYPED,),
    "profile": (("transaction_tags",),),
    "profile_chunk": (),
    "replay_recording": (),
    "session": (),
    "sessions": (),
    "client_report": (),
    "user_report": (),
    "attachment": (),
    "check_in": (),
    "raw_security": (),
}
_ATTACHED: Final = (None, "event.attachment", "event.view_hierarchy")  # others may be whole events


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
    """The same envelope with these tags on its events, and none of ``OURS`` that it brought. Raises: EnvelopeError."""
    head, _, rest = data.partition(b"\n")
    out, read = [head], 0
    for _ in range(MOST_ITEMS):
        rest = rest.lstrip(b"\n")
        if not rest:
            return b"\n".join(out) + b"\n"
        line, _, rest = rest.partition(b"\n")
        item = _object(line, "item's header")
        kind = item.get("type")
        if not isinstance(kind, str):
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
        paths = _KINDS.get(kind)
        if paths is None or (kind == "attachment" and item.get("attachment_type") not in _ATTACHED):
            continue
        if paths:
            read += len(payload)
            if read > MOST_READ:
                raise EnvelopeError("the events are larger than 1 MiB")
            payload = _told_whose(paths, payload, tags)
        item["length"] = len(payload)
        out += (_written(item, "item's header"), payload)
    raise EnvelopeError(f"more than {MOST_ITEMS} items")


def _told_whose(paths: tuple[_Path, ...], payload: bytes, tags: Mapping[str, str]) -> bytes:
    told = _object(payload, "event")
    for path in paths:
        for holder in _holders(told, path):
            if path[-1] in holder:
                holder[path[-1]] = _unclaimed(holder[path[-1]])
    if tags and paths is _EVENT:
        told["tags"] = {**_named(told.get("tags")), **tags}
    elif tags:
        typed = {name: {"value": value, "type": "string"} for name, value in tags.items()}
        for one in _holders(told, _TYPED):
            one["attributes"] = {**_named(one.get("attributes")), **typed}
    return _written(told, "event")


def _holders(told: dict[str, Any], path: _Path) -> Iterator[dict[str, Any]]:
    """The objects that a path's last step would be a member of."""
    nodes: list[Any] = [told]
    for step in path[:-1]:
        nodes = [inner for node in nodes for inner in _inner(node, step)]
    return (node for node in nodes if isinstance(node, dict))


def _inner(node: object, step: str) -> Iterable[Any]:
    if step == _EACH:
        return node if isinstance(node, list) else ()
    return (node[step],) if isinstance(node, dict) and step in node else ()


def _unclaimed(held: object) -> dict[str, Any]:
    """Without ``OURS``, which Sentry also finds with blanks around them."""
    return {name: value for name, value in _named(held).items() if name.strip().casefold() not in OURS}


def _named(held: object) -> dict[str, Any]:
    """An object, or a list of pairs, which Sentry takes as well."""
    if isinstance(held, list):
        return {str(one[0]): one[1] for one in held if isinstance(one, list) and len(one) == 2}
    return held if isinstance(held, dict) else {}


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
