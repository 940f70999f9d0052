"""From a document to the schema's objects: pydantic's findings in plain words, and what can be looked at further.

Every fault of a file is to be told at once. So a stand-in is put where something is wrong and the whole is validated
again: the compiler can then check how the parts go together, but for what rests on a stand-in.
"""

import typing
from dataclasses import dataclass
from types import UnionType
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from proxy.policy.document import Document, Missing
from proxy.policy.problems import KeyPath, PolicyError, PolicyProblem, meant, nearest
from proxy.policy.section import Section
from proxy.policy.spelling import SPELLING_ERROR, Shorthand, kind_of

_ROUNDS: Final = 20  # a section's stand-in may lack keys, whose stand-ins may: no policy is half as deep


@dataclass(frozen=True, slots=True)
class Validated:
    """``value`` is whole: where the file was wrong it has stand-ins, at the ``unknown`` places.

    ``unknown`` and ``partial`` are the document's, and what the schema added.
    """

    value: Any
    problems: tuple[PolicyProblem, ...]
    unknown: frozenset[KeyPath]
    partial: frozenset[KeyPath]


def validate(document: Document, kind: Any) -> Validated:
    """``document`` against a model or a type that holds models; top-level ``x-`` keys are left out.

    Raises: PolicyError where no stand-in helps.
    """
    adapter = TypeAdapter(kind)
    mender = _Mender(document, kind)
    for _ in range(_ROUNDS):
        try:
            value = adapter.validate_python(mender.raw)
        except ValidationError as error:
            mender.mend(error)
        else:
            problems = tuple(mender.found.values())
            return Validated(value, problems, frozenset(mender.unknown), document.partial)
    raise PolicyError([*document.problems, *mender.found.values()])


class _Mender:
    """Notes each fault and puts a stand-in where it was. ``found``: the first at each place, for others follow."""

    def __init__(self, document: Document, kind: Any) -> None:
        self.document = document
        self.kind = kind
        self.found: dict[KeyPath, PolicyProblem] = {}
        self.unknown = set(document.unknown)
        raw = document.value
        if isinstance(raw, dict):
            raw = {name: item for name, item in raw.items() if not name.startswith("x-")}
        self._holder = {"": _copied(raw)}
        for path in _nulls(raw, ()):
            self.found[path] = document.problem(path, "has no value; give it one or leave the key out")
            self.unknown.add(path)
            self._put(path, Missing())

    @property
    def raw(self) -> Any:
        return self._holder[""]

    def mend(self, error: ValidationError) -> None:
        before = frozenset(self.unknown)
        for details in error.errors(include_url=False):
            loc: KeyPath = details["loc"]
            missing, extra = details["type"] == "missing", details["type"] == "extra_forbidden"
            path = self.document.known(loc)
            follows = any(loc[:n] in before for n in range(len(loc) + (not extra)))
            if not follows and not (missing and path in self.document.partial):
                place = loc if missing else path
                self.found.setdefault(place, _problem(self.document, self.kind, details))
            self._stand_in(details, loc)

    def _stand_in(self, details: ErrorDetails, loc: KeyPath) -> None:
        place = self._reached(loc)
        match details["type"]:
            case "extra_forbidden":
                holder = self._at(place[:-1] if place == loc else place)
                holder.pop(loc[-1], None)
                near = nearest(str(loc[-1]), keys_at(self.kind, loc[:-1]))
                if near is not None and near not in holder:
                    self.unknown.add((*loc[:-1], near))
                return
            case "missing":
                self._at(place)[loc[-1]] = Missing()
                self.unknown.add(loc)
                return
            case "model_type" | "dict_type":
                self._put(place, {})
            case "list_type":
                self._put(place, [])
            case _:
                self._put(place, Missing())
        self.unknown.add(place)

    def _reached(self, loc: KeyPath) -> KeyPath:
        """The longest beginning of ``loc`` that is there; shorthands end sooner."""
        value = self.raw
        for n, step in enumerate(loc):
            steps = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
            if step not in steps:
                return loc[:n]
            value = value[step]
        return loc

    def _at(self, path: KeyPath) -> Any:
        value = self.raw
        for step in path:
            value = value[step]
        return value

    def _put(self, path: KeyPath, value: Any) -> None:
        holder: Any = self._holder
        for step in ("", *path)[:-1]:
            holder = holder[step]
        holder[("", *path)[-1]] = value


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


_SAYS_ENOUGH: Final = {("routes", "cache", "ttl")}  # keys of a list's members that mean something without a value


def _nulls(value: Any, path: KeyPath) -> list[KeyPath]:
    if value is None:
        return [] if len(path) == 4 and (path[0], *path[2:]) in _SAYS_ENOUGH else [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [null for step, item in items for null in _nulls(item, (*path, step))]


def _problem(document: Document, kind: Any, details: ErrorDetails) -> PolicyProblem:
    path = details["loc"]
    match details["type"]:
        case "missing":
            return document.problem(path[:-1], f"the key {path[-1]!r} is missing")
        case "extra_forbidden":
            return document.problem(path, f"unknown key {path[-1]!r}{meant(str(path[-1]), keys_at(kind, path[:-1]))}")
        case "model_type" | "dict_type":
            forms = "".join(f", {form}," for form in _short_forms(kind, path))
            return document.problem(path, f"must be a map{forms or ','} not {kind_of(details['input'])}")
        case "list_type":
            return document.problem(path, f"must be a list, not {kind_of(details['input'])}")
    context = details.get("ctx", {})
    if details["type"] == SPELLING_ERROR:
        source = document.written.get(document.known(path))
        message = f"{source!r} does not stand for {context['what']}" if source else context["message"]
        return document.problem(path, message)
    return document.problem(path, details["msg"])


def named_by_hand(kind: Any, step: str | int) -> bool:
    """Whether a key of this map is a name that whoever writes the file gives, and no word of the schema."""
    model = bare_type(kind)
    if isinstance(model, type) and issubclass(model, Section):
        return model.members is not None and str(step) not in model.model_fields
    return typing.get_origin(model) is dict


def keys_at(kind: Any, path: KeyPath) -> list[str]:
    """The keys that the schema knows at ``path``; none where it takes any."""
    for step in path:
        kind, _ = kind_below(kind, step)
    model = bare_type(kind)
    if isinstance(model, type) and issubclass(model, Section):
        return [info.alias or name for name, info in model.model_fields.items()]
    return []


def _short_forms(kind: Any, path: KeyPath) -> list[str]:
    """What may stand for a map or a list at ``path``, in words."""
    notes: list[Any] = []
    for step in path:
        kind, notes = kind_below(kind, step)
    return [note.what for note in notes if isinstance(note, Shorthand)]


def kind_below(kind: Any, step: str | int) -> tuple[Any, list[Any]]:
    """The type of a key or of a list's member, and its annotations; None where the schema knows none."""
    model = bare_type(kind)
    if not (isinstance(model, type) and issubclass(model, Section)):
        kind = next(reversed(typing.get_args(model)), None)
        return kind, _stripped(kind)[1]
    fields = {info.alias or name: info for name, info in model.model_fields.items()}
    info = fields.get(str(step))
    if info is None:
        return model.members, []
    return info.annotation, [*info.metadata, *_stripped(info.annotation)[1]]


def bare_type(kind: Any) -> Any:
    """A type without its annotations and without None."""
    return _stripped(kind)[0]


def _stripped(kind: Any) -> tuple[Any, list[Any]]:
    notes: list[Any] = []
    while True:
        origin = typing.get_origin(kind)
        if origin is typing.Annotated:
            kind, *more = typing.get_args(kind)
            notes += more
        elif origin in (UnionType, typing.Union):
            kind = next(option for option in typing.get_args(kind) if option is not type(None))
        else:
            return kind, notes
