"""What of a text may leave the house: the words that stand in the code itself, and nothing that came with a request.

Pure. An exception's message mixes the programmer's words with data: a token, a body, a name. No pattern knows them all,
so the rule is turned round: a word goes on if it stands in the code that raised, or is one of the interpreter's own, or
is a short number; whatever else is there becomes one ``…``. What is known to be secret by its form is looked for once
more in the finished event (``sealed``), of which only known members are left.
"""

import re
from collections.abc import Callable, Collection, Mapping
from types import CodeType, TracebackType
from typing import Any, Final

from proxy.telemetry.private import scrubbed

HIDDEN: Final = "…"
MOST_WORDS: Final = 80
MOST_FRAMES: Final = 60
MOST_NUMBER: Final = 4  # digits
_EDGES: Final = "'(),.;:!?"  # of a word in a sentence; what stands in other brackets or quotes is data

# Of CPython's and the standard library's messages; none of it is anybody's.
_WORDS: Final = """
a an and any argument arguments as at attribute base be bool bytes bytes-like can cannot character codec column
connect connection convert could decode dict directory division does empty encode error event expected expecting
failed file float for from function got has have in index int integer invalid is it iterable iterator key keyword
line list literal local loop lost max maximum method missing mode module must name no NoneType None not null number
object of on only open operand operation or out pop positional position range recursion refused required reset
return running sequence set size start str string subscriptable such supported takes task than that the timed to
too too-many tuple type types unexpected unhashable unknown unpack unsupported value values variable was were with
without zero broken pipe by peer depth exceeded during comparison called exception ordinal delimiter property
deleted changed iteration callable many few more before referenced assignment associated free enclosing scope
memory exhausted Errno permission denied exists read-only system is-not while future cancelled closed transport
True False keyword-only given + - * / % & | < > <= >= == != and: []"""
_INTERPRETERS: Final = frozenset(_WORDS.split())


def words_in(text: str) -> set[str]:
    """Of a text of ours."""
    return {word.strip(_EDGES) for word in text.split()}


def words_of(code: CodeType) -> set[str]:
    """What a function's source says: the words of its texts, and its names."""
    found = {*code.co_names, *code.co_varnames, code.co_name}
    waiting: list[object] = list(code.co_consts)
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            found |= words_in(one)
        elif isinstance(one, tuple | frozenset):
            waiting += one
    return found


def known_words(trace: TracebackType | None) -> set[str]:
    """Of all functions that an exception has passed."""
    found = set(_INTERPRETERS)
    for _ in range(MOST_FRAMES):
        if trace is None:
            break
        found |= words_of(trace.tb_frame.f_code)
        trace = trace.tb_next
    return found


def plain(text: str, known: Collection[str]) -> str:
    """The text with only its known words left."""
    out: list[str] = []
    for word in text.split()[:MOST_WORDS]:
        core = word.strip(_EDGES)
        if core in known or not core or (core.isascii() and core.isdigit() and len(core) <= MOST_NUMBER):
            out.append(word)
        elif not out or out[-1] != HIDDEN:
            out.append(HIDDEN)
    return " ".join(out)


# --- the last look ---

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
                mechanism=_map(type=_id, handled=_same),
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
