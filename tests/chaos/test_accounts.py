"""The judge of accounts finds what it is there to find. (``money_faults --prove`` shows it with whole gateways.)"""

import pytest

from proxy.core.usage import Charge
from proxy.ledger.reconcile import Difference
from tests.chaos.accounts import Row, judged

BILLED = {"call-1": 100, "call-2": 200, "call-3": 300}
EXACT = [Row("a", "call-1", 100, False, False, "settled"), Row("b", "call-2", 200, False, False, "settled")]
ORPHAN = Row("c", None, 900, True, True, "orphaned")
WHOLE = [*EXACT, ORPHAN]


def broken(rows: list[Row], calls: int = 3, differences: tuple[Difference, ...] = ()) -> list[str]:
    return [finding.promise for finding in judged(BILLED, calls, rows, differences) if not finding.kept]


def test_an_invoice_that_is_right_passes() -> None:
    assert broken(WHOLE) == []


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ([EXACT[0]._replace(cost_nanousd=101), EXACT[1], ORPHAN], "to the nano-dollar"),
        ([*WHOLE, EXACT[0]._replace(id="d")], "twice"),
        (EXACT, "has a row"),
        ([*EXACT, ORPHAN._replace(cost_nanousd=299)], "at least what was billed"),
    ],
)
def test_what_is_wrong_is_found(rows: list[Row], word: str) -> None:
    assert any(word in promise for promise in broken(rows))


def test_a_counter_that_is_off_is_found() -> None:
    off = Difference(Charge("all", "global", "2026-11-23"), settled=11, ledger=10, outbox=0, held=0, holds=0)
    assert any("agree" in promise for promise in broken(WHOLE, differences=(off,)))
