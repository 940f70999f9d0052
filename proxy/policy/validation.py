"""From a document to the schema's objects: pydantic's findings in plain words, and what can be looked at further.

Every fault of a file is to be told at once. So what is wrong is cut out (one limit, one route, one section) and the
rest is validated again: the compiler can then check how the sound parts go together.
"""

import typing
from dataclasses import dataclass
from types import UnionType
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from proxy.policy.document import Document
from proxy.policy.problems import KeyPath, PolicyProblem, meant
from proxy.policy.spelling import SPELLING_ERROR, kind_of

# How deep an entry lies that can be left out by itself; any other fault costs its whole top-level section.
_ENTRY_DEPTH: Final[dict[KeyPath, int]] = {
    ("limits",): 2,
    ("upstreams",): 2,
    ("routes",): 2,
    ("tenants",): 2,
    ("identity", "issuers"): 3,
    ("identity", "keys"): 3,
}
# Without these nothing sensible can be said about the others.
_PIVOTAL: Final = frozenset(
    {(), ("version",), ("tiers",), ("identity",), ("defaults",), ("upstreams",), ("routes",), ("limits",)}
)


@dataclass(frozen=True, slots=True)
class Validated:
    """``value`` is what could be validated, None where too little was left; ``kept`` has the old positions in lists."""

    value: Any
    problems: tuple[PolicyProblem, ...]
    kept: dict[KeyPath, list[int]]


def validate(document: Document, kind: Any) -> Validated:
    """``document`` against a model or a type that holds models; top-level ``x-`` keys are left out."""
    adapter = TypeAdapter(kind)
    raw = document.value
    if isinstance(raw, dict):
        raw = {name: item for name, item in raw.items() if not name.startswith("x-")}
    found: dict[KeyPath, PolicyProblem] = {}  # the first at each place: what follows from it is not told again
    cuts: set[KeyPath] = set()
    for path in _nulls(raw, ()):
        found[path] = document.problem(path, "has no value; give it one or leave the key out")
        cuts.add(_cut(path))
    value = None
    try:
        value = adapter.validate_python(raw)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            path = document.known(details["loc"])
            found.setdefault(
                path if details["type"] != "missing" else details["loc"], _problem(document, kind, details)
            )
            cuts.add(_cut(details["loc"]))
    if not cuts:
        return Validated(value, (), {})
    problems = tuple(found.values())
    if cuts & _PIVOTAL:
        return Validated(None, problems, {})
    rest, kept = _without(raw, cuts)
    try:
        return Validated(adapter.validate_python(rest), problems, kept)
    except ValidationError:
        return Validated(None, problems, {})


def _nulls(value: Any, path: KeyPath) -> list[KeyPath]:
    if value is None:
        return [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [null for step, item in items for null in _nulls(item, (*path, step))]


def _cut(path: KeyPath) -> KeyPath:
    for parent, depth in _ENTRY_DEPTH.items():
        if path[: len(parent)] == parent and len(path) >= depth:
            return path[:depth]
    return path[:1]


def _without(raw: Any, cuts: set[KeyPath], path: KeyPath = ()) -> tuple[Any, dict[KeyPath, list[int]]]:
    kept: dict[KeyPath, list[int]] = {}
    if isinstance(raw, dict):
        out = {}
        for name, item in raw.items():
            if (*path, name) not in cuts:
                out[name], below = _without(item, cuts, (*path, name))
                kept |= below
        return out, kept
    if isinstance(raw, list):
        positions = [n for n in range(len(raw)) if (*path, n) not in cuts]
        if len(positions) < len(raw):
            kept[path] = positions
        return [raw[n] for n in positions], kept
    return raw, kept


def _problem(document: Document, kind: Any, details: ErrorDetails) -> PolicyProblem:
    path = details["loc"]
    match details["type"]:
        case "missing":
            return document.problem(path[:-1], f"the key {path[-1]!r} is missing")
        case "extra_forbidden":
            return document.problem(path, f"unknown key {path[-1]!r}{meant(str(path[-1]), keys_at(kind, path[:-1]))}")
        case "model_type" | "dict_type":
            return document.problem(path, f"must be a map, not {kind_of(details['input'])}")
        case "list_type":
            return document.problem(path, f"must be a list, not {kind_of(details['input'])}")
    context = details.get("ctx", {})
    if details["type"] == SPELLING_ERROR:
        source = document.written.get(document.known(path))
        message = f"{source!r} does not stand for {context['what']}" if source else context["message"]
        return document.problem(path, message)
    return document.problem(path, details["msg"])


def keys_at(kind: Any, path: KeyPath) -> list[str]:
    """The keys that the schema knows at ``path``; none where it takes any."""
    for step in path:
        model = bare_type(kind)
        if isinstance(model, type) and issubclass(model, BaseModel):
            fields = {info.alias or name: info for name, info in model.model_fields.items()}
            kind = fields[str(step)].annotation
        else:
            kind = typing.get_args(model)[-1]
    model = bare_type(kind)
    if isinstance(model, type) and issubclass(model, BaseModel):
        return [info.alias or name for name, info in model.model_fields.items()]
    return []


def bare_type(kind: Any) -> Any:
    """A type without its annotations and without None."""
    while True:
        origin = typing.get_origin(kind)
        if origin is typing.Annotated:
            kind = typing.get_args(kind)[0]
        elif origin in (UnionType, typing.Union):
            kind = next(option for option in typing.get_args(kind) if option is not type(None))
        else:
            return kind
