"""The keys of a file of tests, and what the types cannot say."""

import pytest

from proxy.foresight.testfile import read
from proxy.policy.problems import PolicyError


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tests: []", "1: tests: has no test: nothing would be held to anything"),
        ("tests: [{name: a, path: /, batch: 251, expect: {route: x}}]", "tests[0].batch"),
        ("tests: [{name: a, path: /, expect: {}}]", "1: tests[0].expect: expects nothing"),
        ("tests: [{name: a, expect: {route: x}}]", "1: tests[0]: the key 'path' is missing"),
        ("tests: [{name: a, path: x, expect: {route: x}}]", "'x' is not a path, with its query"),
        (
            "tests:\n- {name: a, path: /, expekt: {}}",
            "2: tests[0].expekt: unknown key 'expekt'; did you mean 'expect'?",
        ),
        ("tests: [{name: a, path: /, expect: {retry_after: 5}}]", "a unit is missing"),
        ("tests: [{name: a, path: /, expect: {decision: refusd}}]", "did you mean 'refused'?"),
        ("tests: [{name: a, path: /, nobody: true, claims: {}, expect: {route: x}}]", "has more than one caller"),
        ("tests: [{name: a, path: /, spent: {user: $1}, expect: {route: x}}]", "say what this call comes to: call"),
        (
            "tests:\n- {name: a, path: /, expect: {route: x}}\n- {name: a, path: /, expect: {route: x}}",
            "3: tests[1].name: tests[0] has this name, too",
        ),
    ],
)
def test_a_wrong_file_is_told_with_its_line_and_what_would_be_right(text: str, problem: str) -> None:
    with pytest.raises(PolicyError) as told:
        read(text, "t.yaml")
    assert problem in str(told.value)


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(PolicyError) as told:
        read("tests:\n- {name: a, path: /, expect: {status: 5}}\n- {name: b, path: x, expect: {tier: a}}", "t.yaml")
    assert [problem.line for problem in told.value.problems] == [2, 3]


def test_limits_are_named_or_described() -> None:
    tests = read(
        "tests: [{name: a, path: /, expect: {limits: [x]}}, {name: b, path: /, expect: {limits: {x: {left: 3}}}}]", "t"
    )
    first, second = (test.expect.limits for test in tests.file.tests)
    assert first is not None
    assert second is not None
    assert first["x"].left is None
    assert second["x"].left == 3
