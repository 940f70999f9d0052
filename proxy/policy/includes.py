"""Which files a policy is made of: the one that is named, those that it includes, the overlays that are put over it.

An included file includes none itself, and an overlay neither: one look at the policy's own ``include`` tells every file
and its order. Wildcards (``*``, ``?``, ``[…]``) stand in a file's name and never in a folder's, and skip names that
begin with a dot (a ConfigMap's own, editors' copies). Pure: reading files and folders is passed in.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from proxy.policy.document import Document, Surroundings, survey_document
from proxy.policy.joining import Joint
from proxy.policy.problems import KeyPath, PolicyError, PolicyProblem

MAX_FILES: Final = 10_000  # included, such as one for each tenant: each is looked at every second

_INCLUDE: Final = "include"
_WILD: Final = frozenset("*?[")

Listing = Callable[[Path], Iterable[str]]
"""The names in a glob's folder. Raises: OSError."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """All files as one document, and what is odd about which files they are."""

    document: Document
    warnings: tuple[PolicyProblem, ...] = ()


def is_glob(name: str) -> bool:
    return not _WILD.isdisjoint(name)


def matching(glob: Path, names: Iterable[str]) -> list[str]:
    """Of the names in the glob's folder those that it matches, sorted."""
    return sorted(name for name in names if not name.startswith(".") and fnmatchcase(name, glob.name))


def assemble(
    main: Document, around: Surroundings, listing: Listing, kind: Any, overlays: Sequence[Path] = ()
) -> Assembled:
    """The whole policy of ``main``, whose folder is that of ``around``. ``kind``: the schema's type for it.

    Raises: PolicyError where a file cannot be read or is no map: nothing certain can be said about the rest.
    """
    if not isinstance(main.value, dict):
        return Assembled(main)
    reading = _Reading(main, around, listing)
    included = reading.included()
    over = [reading.overlay(path) for path in overlays]
    if reading.unreadable:
        raise PolicyError([*main.problems, *reading.problems, *reading.unreadable])
    warnings = tuple(reading.warnings)
    if not included and not over:
        return Assembled(replace(main, problems=(*main.problems, *reading.problems)), warnings)
    joint = Joint(main, kind)
    joint.problems += reading.problems
    for document in included:
        joint.add(_plain(document, joint, "an included file includes none itself: the policy's own file names all"))
    for document in over:
        joint.put_over(_plain(document, joint, "an overlay includes no files: each is given with --overlay"))
    return Assembled(joint.document(), warnings)


def read_text(path: Path, name: str, read: Callable[[Path], str]) -> str:
    """Raises: PolicyError where the file, called ``name``, cannot be read."""
    try:
        return read(path)
    except OSError as error:
        raise PolicyError([PolicyProblem(name, 0, "", f"cannot be read: {error.strerror}")]) from error
    except ValueError as error:
        raise PolicyError([PolicyProblem(name, 0, "", "is not UTF-8 text")]) from error


def _plain(document: Document, joint: Joint, why_not: str) -> Document:
    """Without its own ``include``."""
    if _INCLUDE not in document.value:
        return document
    joint.problems.append(document.problem((_INCLUDE,), why_not))
    return replace(document, value={key: item for key, item in document.value.items() if key != _INCLUDE})


class _Reading:
    """Finds and reads the files. ``unreadable`` are the faults that leave nothing to be judged."""

    def __init__(self, main: Document, around: Surroundings, listing: Listing) -> None:
        self._main = main
        self._around = around
        self._listing = listing
        self.problems: list[PolicyProblem] = []
        self.unreadable: list[PolicyProblem] = []
        self.warnings: list[PolicyProblem] = []

    def included(self) -> list[Document]:
        """In order; a file that several patterns name is where the first has it."""
        named: dict[str, KeyPath] = {}
        for at, pattern in _patterns(self._main):
            for name in self._names(at, pattern):
                named.setdefault(name, at)
            if len(named) > MAX_FILES:
                self.unreadable.append(self._main.problem(at, f"more than {MAX_FILES} files are included"))
                return []
        found = [self._one(at, name) for name, at in named.items()]
        return [document for document in found if document is not None]

    def overlay(self, path: Path) -> Document:
        """An empty one where it cannot be read. Looked for from the working directory, as a shell's words are."""
        full, name = path.absolute(), str(path)
        try:
            return self._document(full, name, read_text(full, name, self._around.read))
        except PolicyError as error:
            self.unreadable += error.problems
            return Document(name, {}, {(): 0})

    def _names(self, at: KeyPath, pattern: str) -> list[str]:
        """The files of a pattern, from the policy's folder on."""
        path = Path(pattern)
        if not is_glob(pattern):
            return [str(path)]
        if is_glob(str(path.parent)):
            self.problems.append(self._main.problem(at, "wildcards stand in a file's name, not in a folder's"))
            return []
        try:
            found = matching(path, self._listing(self._around.base / path))
        except OSError as error:
            message = f"the folder {str(path.parent)!r} cannot be read: {error.strerror}"
            self.unreadable.append(self._main.problem(at, message))
            return []
        if not found:
            self.warnings.append(self._main.problem(at, f"no file matches {pattern!r}"))
        return [str(path.parent / one) for one in found]

    def _one(self, at: KeyPath, name: str) -> Document | None:
        full = self._around.base / name
        if full == self._around.base / Path(self._main.file).name:
            self.problems.append(self._main.problem(at, f"{name!r} is this file itself"))
            return None
        try:
            text = read_text(full, name, self._around.read)
        except PolicyError as error:
            (problem,) = error.problems
            self.unreadable.append(self._main.problem(at, f"the file {name!r} {problem.message}"))
            return None
        try:
            return self._document(full, str(Path(self._main.file).parent / name), text)
        except PolicyError as error:
            self.unreadable += error.problems
            return None

    def _document(self, full: Path, name: str, text: str) -> Document:
        """Raises: PolicyError where it is not YAML, or no map."""
        document = survey_document(text, name, replace(self._around, base=full.parent))
        if not isinstance(document.value, dict):
            raise PolicyError([*document.problems, document.problem((), "a part of a policy is a map of keys")])
        return document


def _patterns(main: Document) -> list[tuple[KeyPath, str]]:
    """What ``include`` names, and where; what is no text is the schema's to tell."""
    value = main.value.get(_INCLUDE)
    items = (
        [((_INCLUDE, n), item) for n, item in enumerate(value)] if isinstance(value, list) else [((_INCLUDE,), value)]
    )
    return [(at, item) for at, item in items if isinstance(item, str) and item and at not in main.unknown]
