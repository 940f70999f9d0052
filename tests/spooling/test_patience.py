"""Who is away is asked less and less; what he cannot digest is put off by itself, and given up in the end."""

from proxy.spooling.patience import FIRST_PAUSE_S, LAST_PAUSE_S, LAST_PUT_OFF_S, MOST_STRIKES, Patience
from proxy.spooling.spool import Waiting
from tests.spooling.test_spool import Kind

BAD, GOOD = Waiting("browser-1", Kind.BROWSER, 1), Waiting("browser-2", Kind.BROWSER, 1)


def fails(patience: Patience[Kind], one: Waiting[Kind], now_s: float) -> bool:
    """Whether it is tried again."""
    patience.failed(one.kind, now_s)
    return patience.put_off(one, now_s)


def test_a_kind_of_which_nothing_is_taken_pauses_longer_and_longer_and_no_other_does() -> None:
    patience, now_s, pauses = Patience(Kind), 100.0, []
    assert not patience.failed(Kind.BROWSER, now_s)
    assert patience.may(Kind.BROWSER, now_s)
    assert patience.places(Kind.BROWSER, 8) == 1
    for _ in range(8):
        assert patience.failed(Kind.BROWSER, now_s)
        before_s = now_s
        while not patience.may(Kind.BROWSER, now_s):
            now_s += 0.25
        pauses.append(now_s - before_s)
    assert pauses == [FIRST_PAUSE_S, 1.0, 2.0, 4.0, 8.0, LAST_PAUSE_S, LAST_PAUSE_S, LAST_PAUSE_S]
    assert patience.may(Kind.ERROR, 100.0)
    assert patience.places(Kind.ERROR, 8) == 8


def test_what_fails_together_lengthens_the_pause_once() -> None:
    patience = Patience(Kind)
    for _ in range(9):
        patience.failed(Kind.ERROR, 7.0)
    assert patience.may(Kind.ERROR, 7.0 + FIRST_PAUSE_S)


def test_one_that_is_taken_ends_the_pauses_of_its_kind() -> None:
    patience = Patience(Kind)
    for now_s in (1.0, 2.0, 9.0):
        patience.failed(Kind.ERROR, now_s)
    patience.took(Kind.ERROR)
    assert patience.places(Kind.ERROR, 8) == 8
    assert not patience.failed(Kind.ERROR, 20.0)


def test_a_file_that_fails_alone_is_put_off_by_itself_and_goes_after_others() -> None:
    patience = Patience(Kind)
    assert fails(patience, BAD, 0.0)
    assert (patience.may_file(BAD, 0.1), patience.may_file(GOOD, 0.1)) == (False, True)
    assert not patience.doubts(BAD)  # it may be that all fail
    patience.took(Kind.BROWSER)
    assert fails(patience, BAD, 1.0)
    assert (patience.doubts(BAD), patience.doubts(GOOD)) == (True, False)
    assert not patience.may_file(BAD, 1.0 + 1.9 * FIRST_PAUSE_S)
    assert patience.may_file(BAD, 1.0 + 2 * FIRST_PAUSE_S)


def test_it_is_given_up_after_a_bounded_number_of_tries_while_others_got_through() -> None:
    """Which kind these others are of does not matter."""
    patience, now_s, tries = Patience(Kind), 0.0, 1
    while fails(patience, BAD, now_s):
        tries += 1
        patience.took(Kind.ERROR)
        while not patience.may_file(BAD, now_s):
            now_s += 0.5
    assert tries == MOST_STRIKES + 1
    assert 3600 < now_s < MOST_STRIKES * LAST_PUT_OFF_S


def test_an_outage_gives_up_nothing_however_long_it_lasts() -> None:
    patience = Patience(Kind)
    patience.took(Kind.ERROR)
    for day in range(1, 1000):
        assert fails(patience, BAD, day * 86_400.0)
        assert not patience.doubts(BAD)


def test_he_may_ask_to_wait_with_one_kind_or_with_all() -> None:
    patience = Patience(Kind)
    patience.wait(Kind.TRACE, 60.0, 0.0)
    patience.wait(Kind.TRACE, 1.0, 0.0)
    assert (patience.may(Kind.TRACE, 59.0), patience.may(Kind.ERROR, 0.0)) == (False, True)
    patience.wait(None, 10.0, 0.0)
    assert (patience.may(Kind.ERROR, 9.0), patience.may(Kind.ERROR, 10.0)) == (False, True)


def test_what_has_gone_is_forgotten() -> None:
    patience = Patience(Kind)
    fails(patience, BAD, 0.0)
    patience.forget(Kind.BROWSER, {BAD.name})
    assert not patience.may_file(BAD, 0.0)
    patience.forget(Kind.BROWSER, set())
    assert patience.may_file(BAD, 0.0)
