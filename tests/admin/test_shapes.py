"""What is told of money as programs read it."""

from proxy.admin.shapes import of_comparison
from proxy.core.usage import Charge
from proxy.ledger.reconcile import Difference


def test_a_difference_says_by_how_much_the_counter_says_too_much() -> None:
    one = Difference(Charge("b", "tenant:acme", "2026-11"), settled=12, ledger=7, outbox=2, held=1, holds=4)
    told = of_comparison([one], 3)
    assert (told["agree"], told["counters"]) == (False, 3)
    (shape,) = told["differences"]
    assert shape["settled_off_usd"] == "0.000000003"
    assert shape["held_off_usd"] == "-0.000000003"
    assert of_comparison([], 3)["agree"]
