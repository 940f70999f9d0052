"""Where the compiler notes what is wrong and what is odd, with the lines of the document it looks at."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from proxy.policy.document import Document
from proxy.policy.names import name_flaw
from proxy.policy.problems import KeyPath, PolicyProblem, meant
from proxy.policy.section import Section


@dataclass(slots=True)
class Findings:
    """Errors and warnings about one document: none about places that are not known, nor about what rests on them."""

    document: Document
    unknown: frozenset[KeyPath] = frozenset()  # see ``validation.Validated``
    partial: frozenset[KeyPath] = frozenset()
    errors: list[PolicyProblem] = field(default_factory=list)
    warnings: list[PolicyProblem] = field(default_factory=list)

    def error(self, path: KeyPath, message: str, *rests_on: KeyPath) -> None:
        """``rests_on``: the other places without which the error would not be one."""
        if not self.sure(path) or not all(map(self.wholly_sure, rests_on)):
            return
        problem = self.document.problem(path, message)
        if problem not in self.errors:  # one line of the file may stand for several tiers
            self.errors.append(problem)

    def warn(self, path: KeyPath, message: str) -> None:
        if self.sure(path):
            self.warnings.append(self.document.problem(path, message))

    def elsewhere(self, path: KeyPath, first: KeyPath) -> str:
        """The end of a message about what is given twice: where it was first, if that is another file."""
        origin = self.document.origin(first)
        return f"; first in {origin}" if origin.file != self.document.origin(path).file else ""

    def sure(self, path: KeyPath) -> bool:
        """Whether the value there, or of a map its keys, is what the file says."""
        known = self.document.known(path)
        return known not in self.partial and not any(path[:n] in self.unknown for n in range(len(path) + 1))

    def wholly_sure(self, path: KeyPath) -> bool:
        """The same, of everything within, too."""
        known = self.document.known(path)
        if known != path and isinstance(self.document.at(known), dict):
            return self.sure(path)  # the key is not there: what stands beside it is not within
        return self.sure(path) and not any(
            place[: len(known)] == known for doubts in (self.unknown, self.partial) for place in doubts
        )

    def check_reference(self, path: KeyPath, kind: str, name: str, section: str, *, but: Collection[str] = ()) -> None:
        """Notes a name that a top-level map does not have; keys in ``but`` are no names."""
        known = [one for one in self.names(section) if one not in but]
        if name not in known and self.sure((section,)):
            self.error(path, f"unknown {kind} {name!r}{meant(name, known)}")

    def check_name(self, path: KeyPath, name: str) -> None:
        """Notes a name that cannot be one."""
        flaw = name_flaw(name)
        if flaw is not None:
            self.error(path, flaw)

    def check_filled(self, path: KeyPath, section: Section, meanings: Mapping[str, str]) -> None:
        """Notes lists that are written and empty, though without them ``meanings`` holds: that is said by leaving out.

        A template that fills in nothing must not open what it was to narrow.
        """
        for key, meaning in meanings.items():
            if key in section.model_fields_set and not getattr(section, key):
                self.error((*path, key), f"is an empty list; leave the key out for {meaning}")

    def names(self, *path: str) -> list[str]:
        """The keys of a map as the file has it, faulty entries too: what refers to one of them is not wrong itself."""
        value = self.document.value
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        return list(value) if isinstance(value, dict) else []

    def route_names(self) -> list[str]:
        """The names of all routes as the file has them, faulty ones too."""
        routes = self.document.value.get("routes", [])
        routes = routes if isinstance(routes, list) else []
        return [route["name"] for route in routes if isinstance(route, dict) and isinstance(route.get("name"), str)]
