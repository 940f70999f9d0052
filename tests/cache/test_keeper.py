"""Bodies that pass are kept in memory that all of them have in common."""

from proxy.cache.keeper import NO_ROOM, STALLED_S, TOO_LARGE, Fills, Keeper


class Stand:
    """Fills of so many bytes, and keepers of which it hears why they have let go."""

    def __init__(self, most: int) -> None:
        self.now_s = 100.0
        self.fills = Fills(most, lambda: self.now_s)
        self.told: list[str] = []

    def keeper(self, most: int = 10) -> Keeper:
        return Keeper(most, self.fills, self.told.append)


def test_a_body_is_kept_as_it_passes_up_to_a_bound() -> None:
    stand = Stand(100)
    keeper = stand.keeper(5)
    assert [keeper.feed(b"abc"), keeper.feed(b"de"), keeper.end()] == [b"abc", b"de", b""]
    assert (keeper.body, stand.told, stand.fills.held) == (b"abcde", [], 5)
    assert [keeper.feed(b"f"), keeper.feed(b"g")] == [b"f", b"g"]
    assert (keeper.body, stand.told, stand.fills.held) == (None, [TOO_LARGE], 0)


def test_beyond_the_common_bound_bodies_pass_and_are_let_go() -> None:
    """Those that came before go on."""
    stand = Stand(12)
    first, second = stand.keeper(), stand.keeper()
    first.feed(b"12345678")
    assert second.feed(b"12345") == b"12345"
    assert (second.keeps, stand.told) == (False, [NO_ROOM])
    first.feed(b"9")
    assert (first.body, stand.fills.held) == (b"123456789", 9)
    first.ends()
    first.ends()
    assert (first.keeps, stand.fills.held) == (False, 0)


def test_one_alone_may_have_as_much_as_a_body_may_be() -> None:
    stand = Stand(1)
    keeper = stand.keeper(10)
    keeper.feed(b"1234567890")
    assert keeper.keeps
    other = stand.keeper(10)
    other.feed(b"1")
    assert not other.keeps


def test_what_is_known_to_come_is_reserved() -> None:
    stand = Stand(12)
    first, second = stand.keeper(), stand.keeper()
    assert first.reserve(8)
    assert not second.reserve(8)
    assert second.keeps  # it may still turn out to be shorter
    assert not second.reserve(11)
    first.feed(b"1234")
    assert stand.fills.held == 8
    first.feed(b"567890")
    assert (first.body, stand.fills.held) == (b"1234567890", 10)


def test_a_body_of_which_nothing_comes_makes_way() -> None:
    """The one that has waited longest first, and none that is under way."""
    stand = Stand(20)
    stalled, slow, active, new = (stand.keeper() for _ in range(4))
    for keeper in (stalled, slow, active):
        keeper.feed(b"12345")
        stand.now_s += STALLED_S / 4
    slow.feed(b"6")
    stand.now_s += STALLED_S / 2
    active.feed(b"6")
    new.feed(b"12345678")
    assert [keeper.keeps for keeper in (stalled, slow, active, new)] == [False, True, True, True]
    assert (stand.told, stand.fills.held) == ([NO_ROOM], 20)
    new.feed(b"9")
    assert [keeper.keeps for keeper in (slow, active, new)] == [True, True, False]
