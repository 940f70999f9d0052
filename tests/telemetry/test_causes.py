"""An exception tells of what caused it and of what it gathered, each once, and not without end."""

from itertools import pairwise

from proxy.telemetry.causes import MOST, Told, causes


def chained(*errors: Exception) -> Exception:
    for inner, outer in pairwise(errors):
        outer.__cause__ = inner
    return errors[-1]


def test_causes_follow_what_they_caused() -> None:
    first, second = ValueError(), KeyError()
    assert causes(chained(first, second)) == [Told(second), Told(first, 0, "__cause__")]


def test_what_it_was_raised_beside_counts_unless_it_is_suppressed() -> None:
    inner, outer = ValueError(), KeyError()
    outer.__context__ = inner
    assert causes(outer) == [Told(outer), Told(inner, 0, "__context__")]
    outer.__suppress_context__ = True
    assert causes(outer) == [Told(outer)]


def test_a_groups_members_are_told_with_their_causes() -> None:
    """The nearest first, so that a long chain of the first member hides no other member."""
    deep = chained(*(RuntimeError() for _ in range(MOST)))
    other = ZeroDivisionError()
    group = ExceptionGroup("several", [deep, ExceptionGroup("inner", [other])])
    found = causes(group)
    assert len(found) == MOST
    assert [(one.error, one.source) for one in found[:3]] == [
        (group, ""), (deep, "exceptions[0]"), (group.exceptions[1], "exceptions[1]"),
    ]  # fmt: skip
    (place,) = [n for n, one in enumerate(found) if one.error is other]
    assert found[place].parent == 2


def test_a_circle_ends() -> None:
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert [one.error for one in causes(first)] == [first, second]
