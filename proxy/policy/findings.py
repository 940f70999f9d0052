"""Where the compiler notes what is wrong and what is odd, with the lines of the document it looks at."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.policy.document import Document
from proxy.policy.names import name_flaw
from proxy.policy.problems import KeyPath, PolicyProblem
from proxy.policy.schema import Section


@dataclass(slots=True)
class Findings:
    """Errors and warnings about one document. ``kept``: the positions of list items before faulty ones were cut out."""

    document: Document
    kept: dict[KeyPath, list[int]]
    errors: list[PolicyProblem] = field(default_factory=list)
    warnings: list[PolicyProblem] = field(default_factory=list)

    def error(self, path: KeyPath, message: str) -> None:
        problem = self._problem(path, message)
        if problem not in self.errors:  # one line of the file may stand for several tiers
            self.errors.append(problem)

    def warn(self, path: KeyPath, message: str) -> None:
        self.warnings.append(self._problem(path, message))

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
        return [route["name"] for route in routes if isinstance(route, dict) and isinstance(route.get("name"), str)]

    def _problem(self, path: KeyPath, message: str) -> PolicyProblem:
        for parent, positions in self.kept.items():
            depth = len(parent)
            if len(path) > depth and path[:depth] == parent:
                position = path[depth]
                assert isinstance(position, int)
                path = (*parent, positions[position], *path[depth + 1 :])
        return self.document.problem(path, message)
