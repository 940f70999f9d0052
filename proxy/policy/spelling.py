"""How a leaf of the policy is written: its parsing, the words for a wrong one, its face in schema and reference.

A ``Spelling`` is put into ``Annotated``: ``header_timeout: Annotated[int, duration("1s", "5m")]``. It parses what YAML
gives (text, number, bool, date) and, since variables always give text, also the same thing as text.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from proxy.core.units import UnitError, format_duration, parse_count, parse_duration_ms, parse_size
from proxy.policy.document import Missing
from proxy.policy.problems import meant

SPELLING_ERROR: Final = "spelling"  # the type of pydantic error that carries a message of ours
VARIABLE: Final = r"\$\{"  # wherever a value is checked by pattern, an editor must let a variable pass

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Spelling:
    """``parse`` raises ValueError (UnitError too) whose message is shown as it is: it must not quote a secret.

    ``what`` completes "…is not"; ``example`` is a spelling that is right, and stands in for a variable that is missing.
    """

    what: str
    parse: Callable[[Any], Any]
    example: Any
    json: Json = field(default_factory=dict)

    def validate(self, raw: object) -> Any:
        try:
            return self.parse(raw)
        except ValueError as error:
            if isinstance(raw, Missing):
                return self.parse(self.example)
            context = {"message": str(error), "what": self.what}
            raise PydanticCustomError(SPELLING_ERROR, "{message}", context) from error

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(self.json)


@dataclass(frozen=True, slots=True, eq=False)
class Shorthand:
    """A shorter way to write a collection: ``expand`` makes the long one of it, and leaves anything else alone."""

    expand: Callable[[Any], Any]
    shorter: Callable[[Json], Json]  # the short form's JSON Schema, from the long one's
    what: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        long = handler(schema)
        return {"anyOf": [dict(self.shorter(long)), long]}


def kind_of(raw: object) -> str:
    """What YAML read, in words."""
    kinds: dict[type, str] = {
        bool: "true or false",
        int: "a number",
        float: "a decimal number",
        list: "a list",
        dict: "a map",
    }
    if raw is None:
        return "nothing"
    return kinds.get(type(raw), "text" if isinstance(raw, str) else "a date")


def as_text(raw: object, what: str) -> str:
    """Raises: ValueError where YAML read something else than text."""
    if isinstance(raw, str):
        return str(raw)
    quotes = "" if raw is None or isinstance(raw, list | dict) else "; put it in quotes"
    raise ValueError(f"must be {what}, not {kind_of(raw)}{quotes}")


def as_number_text(raw: object, what: str) -> str:
    """Text, or a number as text. Raises: ValueError."""
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise ValueError(f"must be {what}, not {kind_of(raw)}")
    return str(raw)


def pattern_json(pattern: str) -> Json:
    """JSON Schema of text that fully matches ``pattern``, or holds a variable."""
    return {"type": "string", "pattern": f"^(?:{pattern})$|{VARIABLE}"}


def written(
    what: str, pattern: str, example: str, read: Callable[[str], Any] = str, json: str | None = None
) -> Spelling:
    """Text that fully matches a regular expression, and what ``read`` makes of it. The message quotes the text."""
    regex = re.compile(pattern)

    def parse(raw: object) -> Any:
        text = as_text(raw, what)
        if not regex.fullmatch(text):
            raise ValueError(f"{text!r} is not {what}")
        return read(text)

    return Spelling(what, parse, example, pattern_json(json or pattern))


def text(what: str = "text") -> Spelling:
    """Any text that is not empty and holds no control character."""
    return written(what, r"[^\x00-\x1f\x7f]+", "text")


def count(low: int, high: int, what: str = "a whole number", names: Mapping[str, int] | None = None) -> Spelling:
    """A whole number from ``low`` to ``high``, ``2_000_000`` too; ``names`` are words that stand for numbers."""
    words = names or {}
    bounds = f"from {low} to {high}" if low < high else str(low)
    described = f"{what} {bounds}" + "".join(f", or {word}" for word in words)

    def parse(raw: object) -> int:
        spelled = as_number_text(raw, described)
        if spelled in words:
            return words[spelled]
        try:
            value = parse_count(spelled)
        except UnitError:
            raise ValueError(f"{spelled!r} is not {described}") from None
        if not low <= value <= high:
            raise ValueError(f"{spelled} is not {described}")
        return value

    json = [{"type": "integer", "minimum": low, "maximum": high}, pattern_json("|".join(["[0-9][0-9_]*", *words]))]
    return Spelling(described, parse, low, {"anyOf": json})


def duration(low: str, high: str) -> Spelling:
    """Milliseconds, from ``low`` to ``high`` as they are written."""
    low_ms, high_ms = parse_duration_ms(low), parse_duration_ms(high)
    what = f"a duration from {low} to {high}"

    def parse(raw: object) -> int:
        spelled = as_number_text(raw, what)
        value = parse_duration_ms(spelled)
        if not low_ms <= value <= high_ms:
            raise ValueError(f"{spelled!r} is not {what}")
        return value

    return Spelling(what, parse, format_duration(low_ms), pattern_json(r"[0-9][0-9_]*(\.[0-9]+)? *(ms|s|m|h|d)"))


def size(low: str, high: str) -> Spelling:
    """Bytes, from ``low`` to ``high`` as they are written."""
    low_bytes, high_bytes = parse_size(low), parse_size(high)
    what = f"a size from {low} to {high}"

    def parse(raw: object) -> int:
        spelled = as_number_text(raw, what)
        value = parse_size(spelled)
        if not low_bytes <= value <= high_bytes:
            raise ValueError(f"{spelled!r} is not {what}")
        return value

    return Spelling(what, parse, low, pattern_json(r"[0-9][0-9_]*(\.[0-9]+)? *(B|[KMG]i?B)"))


def choice(options: type[Enum] | Mapping[str, Any]) -> Spelling:
    """One of a closed set of words. YAML reads ``off`` and ``on`` as bools: here they are words again."""
    values = {str(item.value): item for item in options} if isinstance(options, type) else dict(options)
    bools = {name: value for name, value in (("off", False), ("on", True)) if name in values}
    what = f"one of {', '.join(values)}"

    def parse(raw: object) -> Any:
        word = {True: "on", False: "off"}[raw] if isinstance(raw, bool) else as_text(raw, what)
        if word not in values:
            raise ValueError(f"{word!r} is not known{meant(word, values)}")
        return values[word]

    json = [{"enum": [*values, *bools.values()]}, {"type": "string", "pattern": VARIABLE}]
    return Spelling(what, parse, next(iter(values)), {"anyOf": json})


def flag() -> Spelling:
    """true or false."""

    def parse(raw: object) -> bool:
        words = {"true": True, "false": False, "on": True, "off": False, "yes": True, "no": False}
        value = raw if isinstance(raw, bool) else words.get(str(raw).lower()) if isinstance(raw, str) else None
        if value is None:
            raise ValueError(f"must be true or false, not {kind_of(raw)}")
        return value

    return Spelling(
        "true or false", parse, False, {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": VARIABLE}]}
    )


def one_or_many() -> Shorthand:
    """A list's single member may stand for the list."""

    def expand(raw: object) -> object:
        return raw if isinstance(raw, list) or raw is None else [raw]

    return Shorthand(expand, lambda long: long["items"], "or one of them alone")


def off_for(value: object, what: str = "or off") -> Shorthand:
    """``off`` stands for ``value``."""

    def expand(raw: object) -> object:
        return value if raw is False or raw == "off" else raw

    return Shorthand(expand, lambda _: {"enum": ["off", False]}, what)


def word_for(word: str, value: object) -> Shorthand:
    """A word that stands for ``value``."""

    def expand(raw: object) -> object:
        return value if raw == word else raw

    return Shorthand(expand, lambda _: {"const": word}, f"or {word}")


def single(key: str, what: str) -> Shorthand:
    """Anything but a map stands for a map of this one key."""

    def expand(raw: object) -> object:
        return raw if isinstance(raw, dict) or raw is None else {key: raw}

    def shorter(long: Json) -> Json:
        return dict(long.get("additionalProperties") or {"type": ["string", "number"]})

    return Shorthand(expand, shorter, what)
