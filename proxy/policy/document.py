"""YAML to plain values that remember the line of each path, with variables put in.

Keys are text as it is written (a tenant may be called ``no`` or ``007``); values follow YAML 1.1 as SafeLoader reads
it, but for base-60 numbers: ``10:30`` is text here. A key given twice is an error; anchors and ``<<`` work.

Variables: ``${VAR}`` must be set, ``${VAR:-default}`` falls back where it is unset or empty, ``${file:/path}`` is a
file's text without its final newline, ``$${`` is a literal ``${``. A value that holds one is always text, so that a
secret made of digits stays what it is. Pure: the environment and the reading of files are passed in.
"""

import datetime
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from proxy.policy.problems import KeyPath, PolicyError, PolicyProblem, shown

Scalar = str | int | float | bool | datetime.date | None

MAX_NODES: Final = 200_000  # once aliases are expanded: no policy comes near, a bomb of aliases does

_TAG: Final = "tag:yaml.org,2002:"
_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_VARIABLE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


class Missing(str):
    """Stands for a variable that is not set, where that is allowed: 64 hexadecimal digits of the variable's name.

    Long enough for every secret, well-formed as a digest, and different for different variables.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a file's variables are resolved with. ``read`` returns a file's text and raises OSError or ValueError.

    ``literal`` leaves variables as they are written, for files that are to be written again. ``suppose`` hears the name
    of each variable that is not set and falls back to nothing, which may switch a section off; it is taken as missing
    then, as one that must be set.
    """

    env: Mapping[str, str]
    base: Path  # relative file names start here
    read: Callable[[Path], str]
    allow_missing: bool = False
    literal: bool = False
    suppose: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value is written. ``line`` counts from 1; 0 where there is none. ``path`` is its path in that file."""

    file: str
    folder: Path  # relative file names that the value may hold start here
    line: int
    path: KeyPath

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML file, or several as one. ``written`` has the source text of every value that variables were put into."""

    file: str
    value: Any
    lines: Mapping[KeyPath, int]
    written: Mapping[KeyPath, str] = field(default_factory=dict)
    problems: tuple[PolicyProblem, ...] = ()
    unknown: frozenset[KeyPath] = frozenset()  # places whose value is a stand-in
    partial: frozenset[KeyPath] = frozenset()  # places that have more than could be read, or another value
    folder: Path = Path()
    origins: Mapping[KeyPath, Origin] = field(default_factory=dict)  # of every place, once there are several files
    files: tuple[str, ...] = ()  # their names then, in the order that they were read

    def known(self, path: KeyPath) -> KeyPath:
        """The longest beginning of ``path`` that the file has."""
        while path and path not in self.lines:
            path = path[:-1]
        return path

    def problem(self, path: KeyPath, message: str) -> PolicyProblem:
        """A problem at ``path``, or at what encloses it where the file does not have it.

        A value that variables were put into is shown as it is written: it may be a secret.
        """
        path = self.known(path)
        if path in self.written and (value := self.at(path)):
            message = message.replace(repr(str(value)), repr(self.written[path]))
        origin = self.origin(path)
        return PolicyProblem(origin.file, origin.line, shown(origin.path), message)

    def origin(self, path: KeyPath) -> Origin:
        """Where the value at ``path`` is written, or what encloses it where the document does not have it."""
        path = self.known(path)
        return self.origins.get(path) or Origin(self.file, self.folder, self.lines.get(path, 0), path)

    def in_order(self, problems: Iterable[PolicyProblem]) -> list[PolicyProblem]:
        """By file, as they were read, and by line."""
        rank = {file: number for number, file in enumerate(self.files)}
        return sorted(problems, key=lambda problem: (rank.get(problem.file, 0), problem.line))

    def at(self, path: KeyPath) -> Any:
        """The value at a path that the file has."""
        value = self.value
        for step in path:
            value = value[step]
        return value


def read_document(text: str, file: str, around: Surroundings) -> Document:
    """An empty file is an empty map. Raises: PolicyError, with every fault of syntax that can be told at once."""
    document = survey_document(text, file, around)
    if document.problems:
        raise PolicyError(document.problems)
    return document


def survey_document(text: str, file: str, around: Surroundings) -> Document:
    """As ``read_document``, but faults that leave the rest readable are in the document's ``problems``.

    Raises: PolicyError where it is not YAML, or too much of it.
    """
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise PolicyError([_syntax_problem(file, text, error)]) from error
    except yaml.YAMLError as error:
        raise PolicyError([PolicyProblem(file, 0, "", f"not YAML: {str(error).splitlines()[0]}")]) from error
    if root is None:
        return Document(file, {}, {(): 1}, folder=around.base)
    builder = _Builder(file, around)
    value = builder.value(root, (), root.start_mark.line + 1)
    return Document(
        file,
        value,
        builder.lines,
        builder.written,
        tuple(sorted(builder.problems, key=lambda problem: problem.line)),
        frozenset(builder.unknown),
        frozenset(builder.partial),
        around.base,
    )


def unwritten_document(value: Any, file: str) -> Document:
    """A document that no file has: every path is known, without a line."""
    lines: dict[KeyPath, int] = {}

    def walk(item: Any, path: KeyPath) -> None:
        lines[path] = 0
        steps = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
        for step, below in steps:
            walk(below, (*path, step))

    walk(value, ())
    return Document(file, value, lines)


def _syntax_problem(file: str, text: str, error: yaml.MarkedYAMLError) -> PolicyProblem:
    mark = error.problem_mark or error.context_mark
    line = mark.line if mark else -1
    lines = text.splitlines()
    hint = ""
    if 0 <= line < len(lines) and "${" in lines[line]:
        hint = ' (inside {…} and […] a variable needs quotes: "${NAME}")'
    parts = [part for part in (error.context, error.problem) if part]
    return PolicyProblem(file, line + 1, "", f"not YAML: {', '.join(parts)}{hint}")


class _Builder:
    def __init__(self, file: str, around: Surroundings) -> None:
        self.file = file
        self.around = around
        self.lines: dict[KeyPath, int] = {}
        self.written: dict[KeyPath, str] = {}
        self.problems: list[PolicyProblem] = []
        self.unknown: set[KeyPath] = set()
        self.partial: set[KeyPath] = set()
        self._open: list[Node] = []  # the collections that enclose the present node: an alias to one of them is a loop
        self._construct = SafeConstructor()

    def problem(self, line: int, path: KeyPath, message: str) -> None:
        found = PolicyProblem(self.file, line, shown(path), message)
        if found not in self.problems:
            self.problems.append(found)

    def stand_in(self, line: int, path: KeyPath, message: str) -> Missing:
        """Notes what is wrong, and stands for the value that cannot be known."""
        self.problem(line, path, message)
        self.unknown.add(path)
        return Missing()

    def value(self, node: Node, path: KeyPath, line: int) -> Any:
        if len(self.lines) >= MAX_NODES:
            self.problem(line, path, f"more than {MAX_NODES} values once aliases are expanded")
            raise PolicyError(self.problems)
        self.lines[path] = line
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if any(node is outer for outer in self._open):
            return self.stand_in(line, path, "an alias refers to what encloses it")
        self._open.append(node)
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, path)
            if isinstance(node, SequenceNode):
                return [self.value(item, (*path, n), item.start_mark.line + 1) for n, item in enumerate(node.value)]
        finally:
            self._open.pop()
        raise TypeError(type(node).__name__)  # pragma: no cover - YAML has three kinds of node

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, (key, item) in self._entries(node, path).items():
            # A collection is where its key is; a scalar may stand further down, and there it is to be mended.
            line = (item if isinstance(item, ScalarNode) else key).start_mark.line + 1
            out[name] = self.value(item, (*path, name), line)
        return out

    def _entries(self, node: MappingNode, path: KeyPath) -> dict[str, tuple[ScalarNode, Node]]:
        """The keys of a mapping in order; those it has itself come before those that ``<<`` brings."""
        own: dict[str, tuple[ScalarNode, Node]] = {}
        merged: list[MappingNode] = []
        for key, item in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                self.partial.add(path)
                self.problem(line, path, "a key must be text, not a list or a map")
            elif key.value in own or (key.tag == f"{_TAG}merge" and merged):
                first = f"; first on line {own[key.value][0].start_mark.line + 1}" if key.value in own else ""
                self.problem(line, (*path, key.value), f"this key is given twice{first}")
                if key.value in own:
                    own[key.value] = (own[key.value][0], self._joined(own[key.value][1], item, (*path, key.value)))
                else:
                    self.partial.add(path)
            elif key.tag == f"{_TAG}merge":
                merged = self._merged(item, path)
            elif "${" in key.value:
                self.partial.add(path)
                self.problem(line, path, f"variables are not put into keys: {key.value!r}")
            else:
                own[key.value] = (key, item)
        for other in merged:
            if any(other is outer for outer in self._open):
                self.partial.add(path)
                self.problem(other.start_mark.line + 1, path, "an alias refers to what encloses it")
                continue
            self._open.append(other)
            for name, entry in self._entries(other, path).items():
                own.setdefault(name, entry)
            self._open.pop()
        return own

    def _joined(self, first: Node, second: Node, path: KeyPath) -> Node:
        """What stands for the two values of a doubled key: of two maps the entries of both, else the first."""
        if not (isinstance(first, MappingNode) and isinstance(second, MappingNode)):
            self.partial.add(path)
            return first
        names = {key.value for key, _ in first.value if isinstance(key, ScalarNode)}
        more = []
        for key, item in second.value:
            if isinstance(key, ScalarNode) and key.value in names:
                self.partial.add((*path, key.value))
            else:
                more.append((key, item))
        return MappingNode(first.tag, [*first.value, *more], first.start_mark, first.end_mark)

    def _merged(self, item: Node, path: KeyPath) -> list[MappingNode]:
        items = item.value if isinstance(item, SequenceNode) else [item]
        maps = [one for one in items if isinstance(one, MappingNode)]
        if len(maps) != len(items):
            self.partial.add(path)
            self.problem(item.start_mark.line + 1, path, "'<<' takes a map or a list of maps")
        return maps

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Scalar:
        tag = node.tag.removeprefix(_TAG)
        text: str = node.value
        if tag in ("str", "value", "merge"):
            return self._substituted(node, path) if "${" in text and not self.around.literal else text
        if tag in ("int", "float") and ":" in text:
            return text
        construct: dict[str, Callable[[ScalarNode], Scalar]] = {
            "null": self._construct.construct_yaml_null,
            "bool": self._construct.construct_yaml_bool,
            "int": self._construct.construct_yaml_int,
            "float": self._construct.construct_yaml_float,
            "timestamp": self._construct.construct_yaml_timestamp,
        }
        line = node.start_mark.line + 1
        if tag not in construct:
            return self.stand_in(line, path, f"the YAML tag {node.tag!r} is not known here")
        try:
            return construct[tag](node)
        except ValueError:
            return self.stand_in(line, path, f"{text!r} is not a {tag}")

    # --- variables -----------------------------------------------------------------------------------------------

    def _substituted(self, node: ScalarNode, path: KeyPath) -> str:
        line = node.start_mark.line + 1

        def replacement(found: re.Match[str]) -> str:
            if found[0] == "$${":
                return "${"
            if found[1] is None:
                return self.stand_in(line, path, "'${' is not closed; write '$${' for a literal one")
            try:
                return self._resolved(found[1])
            except LookupError as error:
                if not self.around.allow_missing:
                    self.problem(line, path, str(error.args[0]))
                self.unknown.add(path)
                return hashlib.sha256(found[1].removesuffix(":-").encode()).hexdigest()
            except ValueError as error:
                return self.stand_in(line, path, str(error))

        text = _REFERENCE.sub(replacement, node.value)
        if any(found[1] is not None for found in _REFERENCE.finditer(node.value)):
            self.written[path] = node.value
        return Missing(text) if path in self.unknown else text

    def _resolved(self, reference: str) -> str:
        """Raises: LookupError where it is not there, ValueError where it is not understood."""
        if reference.startswith("file:"):
            return self._file(reference.removeprefix("file:"))
        found = _VARIABLE.fullmatch(reference)
        if found is None:
            raise ValueError(
                f"'${{{reference}}}' is not understood; write ${{NAME}}, ${{NAME:-default}} or ${{file:/path}}"
            )
        name, default = found.groups()
        value = self.around.env.get(name)
        if default is not None and not (value or default) and self.around.suppose is not None:
            self.around.suppose(name)
            raise LookupError(f"the variable {name!r} is not set")
        if default is not None:
            return value or default
        if value is None:
            raise LookupError(f"the variable {name!r} is not set")
        return value

    def _file(self, name: str) -> str:
        if not name:
            raise ValueError("'${file:}' names no file")
        try:
            return self.around.read(self.around.base / name).removesuffix("\n").removesuffix("\r")
        except OSError as error:
            raise LookupError(f"the file {name!r} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"the file {name!r} is not UTF-8 text") from error
