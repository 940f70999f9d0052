"""A worker notices a store that has forgotten, and one that was rebuilt without it."""

from proxy.metering.epoch import Budgets, Standing
from proxy.metering.takes import ReplyFlag


def test_replies_in_any_order_move_what_is_known_only_forward() -> None:
    standing = Standing()
    for sequence in (5, 9, 7):
        standing.learn(0, (100.0, float(sequence), 3.0))
    assert (standing.epoch, standing.sequence, standing.backlog) == (100, 9, 3)
    assert standing.budgets is Budgets.OPEN


def test_a_closed_store_is_not_believed_about_its_sequence() -> None:
    """Else the next call would agree with a store that has lost what we have seen."""
    standing = Standing(100, 9)
    standing.learn(ReplyFlag.ROLLED_BACK | ReplyFlag.CLOSED, (100.0, 4.0, 0.0))
    assert (standing.epoch, standing.sequence, standing.budgets) == (100, 9, Budgets.CLOSED)
    assert standing.rolled_back == 1


def test_a_greater_epoch_is_adopted_only_when_all_is_posted_again() -> None:
    standing = Standing(100, 9)
    standing.learn(ReplyFlag.BEHIND, (200.0, 2.0, 0.0))
    assert (standing.epoch, standing.budgets, standing.offered) == (100, Budgets.BEHIND, 200)
    standing.adopt()
    assert (standing.epoch, standing.sequence, standing.budgets) == (200, 0, Budgets.OPEN)
    standing.learn(0, (100.0, 50.0, 0.0))
    assert (standing.epoch, standing.sequence) == (200, 0), "a late reply of the epoch before"
