"""What of a text may be told to others: the words that stand in the code itself, and nothing that came with a request.

Pure. An exception's message mixes the programmer's words with data: a token, a body, a name. No pattern knows them all,
so the rule is turned round: a word goes on if it stands in the code that raised, or is one of the interpreter's own;
a number only if it is short, alone, and behind a word that announces one. Whatever else is there becomes one ``…``. Log
lines and Sentry's events are told the same.
"""

import errno
import logging
import re
from collections.abc import Collection
from types import CodeType, TracebackType
from typing import Final

from proxy.telemetry.private import scrubbed

HIDDEN: Final = "…"
MOST_WORDS: Final = 80
MOST_FRAMES: Final = 60
MOST_NUMBER: Final = 3  # digits: a PIN, a year of birth and the parts of a card's number have four
MOST_NUMBERS: Final = 4  # in one text
_BRACKETS: Final = "(),.;:!?"  # and stops: the edges of a word in a sentence; what stands in others is data
_EDGES: Final = _BRACKETS + "'"  # of a name; a number in quotes is data

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
True False but byte can't char least most No keyword-only given + - * / % & | < > <= >= == != and: []"""
_NUMBERED: Final = """
base but char column expected got index least line most position status takes"""  # behind which a number stands
_INTERPRETERS: Final = frozenset(_WORDS.split())
_ANNOUNCING: Final = frozenset(_NUMBERED.split())
_OURS: Final = "sluicegate"
_LOOPS: Final = "asyncio"  # its messages are constant, ours among them, up to what was called, and with what
_CALLED: Final = re.compile(r"""[(<\[{'"].*""")


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
    """The text with only its known words left, and numbers as in ``line 1 column 5 (char 4)``."""
    out: list[str] = []
    words = text.split()[:MOST_WORDS]
    numbers, before = 0, ""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        core = word.strip(_EDGES)
        number = before in _ANNOUNCING and numbers < MOST_NUMBERS and _is_number(word) and not _has_digit(after)
        numbers += number
        if number or (core in known and not core.isdigit()) or not core:
            out.append(word)
        elif not out or out[-1] != HIDDEN:
            out.append(HIDDEN)
        before = core
    return " ".join(out)


def _is_number(word: str) -> bool:
    digits = word.strip(_BRACKETS)
    return digits.isascii() and digits.isdigit() and len(digits) <= MOST_NUMBER


def _has_digit(word: str) -> bool:
    return any(letter.isdigit() for letter in word)


def told(error: BaseException) -> str:
    """What an exception says, as far as the code's own words say it; of an error of the system its name."""
    try:
        said = plain(str(error), known_words(error.__traceback__))
    except Exception:  # noqa: BLE001 - a library's broken __str__ must not take the line or the event with it
        said = ""
    name = errno.errorcode.get(error.errno or 0, "") if isinstance(error, OSError) else ""
    return scrubbed(f"{name}: {said}" if name and said else name or said)


def is_ours(record: logging.LogRecord) -> bool:
    """Whether the record's own words are constant, and what is put into them may be logged."""
    return record.name.partition(".")[0] == _OURS


def told_record(record: logging.LogRecord) -> str:
    """A log record's message. Our own say only what they may; of others' first line there are the constant words."""
    if is_ours(record):
        return record.getMessage()
    line = record.getMessage().partition("\n")[0]
    if record.name.partition(".")[0] == _LOOPS:
        return scrubbed(_CALLED.sub(HIDDEN, line))
    return scrubbed(plain(line, known_words(None) | (words_in(str(record.msg)) if record.args else set())))
