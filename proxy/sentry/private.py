"""The last look at an event: known members alone, and nothing in them that has the form of a secret. Pure.

What of an exception's message may be told at all is decided before (``telemetry.plain``).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.telemetry.private import scrubbed

Shape = Callable[[Any], Any]


def _text(value: Any) -> Any:
    return scrubbed(value)[:1024] if isinstance(value, str) else None


def _same(value: Any) -> Any:
    return value if isinstance(value, int | float | bool) or value is None else _id(value)


def _id(value: Any) -> Any:
    return value if isinstance(value, str) and re.fullmatch(r"[\w.:+@/<>{}* -]{0,200}", value) else None


def _map(**members: Shape) -> Shape:
    return lambda value: (
        {name: members[name](one) for name, one in value.items() if name in members}
        if isinstance(value, Mapping)
        else None
    )


def _list(member: Shape) -> Shape:
    return lambda value: [member(one) for one in value] if isinstance(value, list) else None


def _tags(value: Any) -> Any:
    return (
        {name: _text(one) for name, one in value.items() if isinstance(name, str)} if isinstance(value, dict) else None
    )


_FRAME: Final = _map(filename=_id, function=_id, module=_id, lineno=_same, in_app=_same)
_EVENT: Final = _map(
    event_id=_id,
    timestamp=_same,
    level=_id,
    platform=_id,
    logger=_id,
    environment=_id,
    release=_id,
    server_name=_id,
    transaction=_text,
    message=_text,
    fingerprint=_list(_text),
    tags=_tags,
    extra=_map(repeated=_same, status=_same),
    request=_map(method=_id, url=_text, query_string=_text),
    contexts=_map(trace=_map(trace_id=_id, span_id=_id, parent_span_id=_id, op=_id)),
    exception=_map(
        values=_list(
            _map(
                type=_id,
                value=_text,
                module=_id,
                mechanism=_map(
                    type=_id, handled=_same, exception_id=_same, parent_id=_same, source=_text, is_exception_group=_same
                ),
                stacktrace=_map(frames=_list(_FRAME)),
            )
        )
    ),
)


def sealed(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event as it may be written down: known members alone, without anything that has the form of a secret.

    No member holds a frame's variables, a header, a cookie or a body, whoever put it there.
    """
    found: dict[str, Any] = _EVENT(event)
    return found
