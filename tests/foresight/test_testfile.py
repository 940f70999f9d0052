"""Where a file of tests is read from."""

from pathlib import Path

import pytest

from proxy.foresight.testfile import load, read
from proxy.policy.problems import PolicyError


def test_a_place_has_its_line() -> None:
    tests = read("tests:\n- name: a\n  path: /\n  expect:\n    route: x\n", "t.yaml")
    assert tests.line(("tests", 0, "expect", "route")) == 5
    assert tests.line(("tests", 0, "expect", "limits", "gone")) == 4


@pytest.mark.parametrize("text", ["[]", "3"])
def test_what_is_no_map_is_no_file_of_tests(text: str) -> None:
    with pytest.raises(PolicyError, match="a map with the key 'tests'"):
        read(text, "t.yaml")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(PolicyError, match="not UTF-8"):
        load(tmp_path / "bytes")


def test_dollars_and_braces_are_what_they_are() -> None:
    """Nothing of the environment is put in: the file means the same everywhere."""
    tests = read("tests: [{name: '${HOME}', path: /, expect: {route: x}}]", "t.yaml")
    assert tests.file.tests[0].name == "${HOME}"
