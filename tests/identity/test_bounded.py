"""What is remembered of clients' texts never grows beyond its bounds."""

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.identity.bounded import BoundedMap


class Sparing(BoundedMap[list[bool]]):
    """Spares a value once for each True that it holds."""

    __slots__ = ()

    def spares(self, value):
        return bool(value) and value.pop()


def test_the_oldest_goes_first():
    held: BoundedMap[int] = BoundedMap(2, 100)
    for number, text in enumerate("abc"):
        held.put(text, number)
    assert [held.get(text) for text in "abc"] == [None, 1, 2]


def test_what_is_spared_stays_for_another_round():
    held = Sparing(2, 100)
    held.put("a", [True])
    held.put("b", [])
    held.put("c", [])
    assert [text for text in "abc" if held.get(text) is not None] == ["a", "c"]
    held.put("d", [])
    held.put("e", [])
    assert [text for text in "acde" if held.get(text) is not None] == ["d", "e"]


def test_sparing_ends_even_if_all_want_it():
    held = Sparing(3, 100)
    for text in "abcdef":
        held.put(text, [True] * 1000)
    assert len(held) == 3


def test_characters_are_bounded_too():
    held: BoundedMap[int] = BoundedMap(1000, 10)
    held.put("x" * 6, 1)
    held.put("y" * 6, 2)
    assert (held.get("x" * 6), held.get("y" * 6)) == (None, 2)
    held.put("z" * 11, 3)
    assert len(held) == 0


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.text("ab", max_size=5), st.booleans()), max_size=60))
def test_bounds_hold_whatever_is_put_and_dropped(steps):
    held: BoundedMap[int] = BoundedMap(4, 12)
    for number, (text, put) in enumerate(steps):
        if put:
            held.put(text, number)
            assert held.get(text) == number
        else:
            held.drop(text)
            assert held.get(text) is None
        assert len(held) <= 4
        assert held._chars == sum(map(len, held._values)) <= 12
