"""A file of policy tests, read: every fault at once with its line, or the tests. Pure but for ``load``."""

import os
from dataclasses import dataclass
from pathlib import Path

from proxy.foresight.testwords import TestFile, check_words
from proxy.policy.document import Document, Surroundings, survey_document
from proxy.policy.problems import KeyPath, PolicyError, PolicyProblem
from proxy.policy.validation import validate


@dataclass(frozen=True, slots=True)
class TestDocument:
    """The tests, and the file's lines."""

    __test__ = False  # no class of tests, for pytest

    file: TestFile
    document: Document

    def line(self, path: KeyPath) -> int:
        """Where a place is in the file, or what encloses it."""
        return self.document.lines.get(self.document.known(path), 0)


def load(path: Path) -> TestDocument:
    """Raises: PolicyError, also where the file cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PolicyError([PolicyProblem(str(path), 0, "", f"cannot be read: {error.strerror}")]) from error
    except ValueError as error:
        raise PolicyError([PolicyProblem(str(path), 0, "", "is not UTF-8 text")]) from error
    return read(text, str(path))


def read(text: str, name: str) -> TestDocument:
    """Raises: PolicyError."""
    # Tests are the same for everybody, so nothing of the environment is put in.
    around = Surroundings({}, Path(os.curdir), Path.read_text, literal=True)
    document = survey_document(text, name, around)
    if not isinstance(document.value, dict):
        raise PolicyError([*document.problems, document.problem((), "a file of tests is a map with the key 'tests'")])
    validated = validate(document, TestFile)
    file: TestFile = validated.value
    problems = [*document.problems, *validated.problems]
    if not problems:
        problems = check_words(file, document.problem)
    if problems:
        raise PolicyError(sorted(problems, key=lambda problem: problem.line))
    return TestDocument(file, document)
