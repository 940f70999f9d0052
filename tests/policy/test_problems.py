"""One line a problem, as a compiler would tell it."""

import pytest

from proxy.policy.problems import PolicyError, PolicyProblem, meant, shown


def test_a_problem_reads_as_file_line_path_message():
    """The form that ops and editors know."""
    problem = PolicyProblem("config.yaml", 41, "limits.per-user.rate.trial", "'60/1x': unknown unit 'x'")
    assert str(problem) == "config.yaml:41: limits.per-user.rate.trial: '60/1x': unknown unit 'x'"


def test_a_problem_of_the_whole_file_has_no_path_and_perhaps_no_line():
    """Nothing stands for what is not known."""
    assert str(PolicyProblem("a.yaml", 3, "", "is odd")) == "a.yaml:3: is odd"
    assert str(PolicyProblem("a.yaml", 0, "", "is odd")) == "a.yaml: is odd"


def test_an_error_tells_every_problem():
    """Its text is all of them, a line each."""
    problems = [PolicyProblem("a", n, "x", "bad") for n in (1, 2)]
    assert str(PolicyError(problems)) == "a:1: x: bad\na:2: x: bad"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("routes", 2, "match"), "routes[2].match"),
        (("routes", 0, "limits+", 1), "routes[0].limits+[1]"),
        (("tenants", "acme.com", "limits"), 'tenants."acme.com".limits'),
    ],
)
def test_a_path_is_shown_as_it_would_be_typed(path, text):
    """Keys with a dot are quoted, so that they don't read as two."""
    assert shown(path) == text


def test_the_nearest_word_is_offered_else_all_where_they_are_few():
    """A long list helps nobody."""
    assert meant("limit", ["limits", "listen"]) == "; did you mean 'limits'?"
    assert meant("zebra", ["b", "a"]) == "; one of a, b"
    assert meant("zebra", []) == "; there is none"
    assert meant("zebra", [str(n) for n in range(50)]) == ""
