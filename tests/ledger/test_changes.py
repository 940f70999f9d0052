"""Which rows a batch writes and how far it moves the sums: the highest revision stands, each nano-dollar once."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.usage import Charge, RecordKind, UsageRecord
from proxy.ledger.changes import Stored, Sums, add, changes
from proxy.ledger.rows import State, to_record
from tests.ledger.samples import NOW_MS, a_record

CHARGES = (Charge("global", "global", "2026-11-18"), Charge("user", "user:u-1", "2026-11-18"))
RECORDS = st.builds(
    lambda name, rev, cost, charged: a_record(
        name, rev=rev, cost_nanousd=cost, charges=CHARGES[:charged], created_ms=NOW_MS + rev
    ),
    st.sampled_from("abc"),
    st.integers(1, 3),
    st.integers(-5, 2**60),
    st.integers(0, 2),
)


def after(batches: list[list[UsageRecord]]) -> tuple[dict[str, UsageRecord], Sums]:
    """A ledger that took these batches."""
    rows: dict[str, UsageRecord] = {}
    sums: Sums = {}
    for batch in batches:
        stored = {name: Stored(row.rev, row.created_ms, row.cost_nanousd, row.charges) for name, row in rows.items()}
        change = changes([(record, State.SETTLED) for record in batch], stored)
        rows |= {row["id"]: to_record(row) for row in change.rows}
        assert len(change.rows) + change.stale == len(batch)
        for charge, moved in change.sums.items():
            add(sums, [charge], moved)
    return rows, sums


@settings(derandomize=True, deadline=None)
@given(st.lists(st.lists(RECORDS, max_size=6), max_size=4))
def test_sums_are_what_the_rows_that_stand_add_up_to(batches: list[list[UsageRecord]]) -> None:
    rows, sums = after(batches)
    expected: Sums = {}
    for row in rows.values():
        add(expected, row.charges, row.cost_nanousd)
    assert {charge: total for charge, total in sums.items() if total} == {k: v for k, v in expected.items() if v}
    highest = {}
    for record in (record for batch in batches for record in batch):
        highest[record.id] = max(highest.get(record.id, 0), record.rev)
    assert {name: row.rev for name, row in rows.items()} == highest


@settings(derandomize=True, deadline=None)
@given(st.lists(st.lists(RECORDS, max_size=6), max_size=4))
def test_a_batch_that_comes_again_changes_nothing(batches: list[list[UsageRecord]]) -> None:
    assert after([*batches, *batches]) == after(batches)


def test_a_revision_keeps_the_instant_of_the_row_that_stands() -> None:
    """On PostgreSQL another month would be another row, and the call would be paid twice."""
    stored = {"a1": Stored(1, NOW_MS, 5, CHARGES)}
    change = changes([(a_record(rev=2, created_ms=NOW_MS + 40_000_000, cost_nanousd=3), State.CORRECTED)], stored)
    assert change.rows[0]["created_at"] == NOW_MS
    assert change.rows[0]["state"] == "corrected"
    assert change.sums[CHARGES[1]] == -5


def test_who_settled_last_is_who_is_named() -> None:
    """Whatever the order in which they arrive; and the charge is told as that one knows it."""
    knows = tuple(Charge(one.budget, one.scope, one.period, "key", 9) for one in CHARGES)
    records = [
        a_record("z", settled_ms=NOW_MS + 1, user_id="early", charges=CHARGES),
        a_record("a", settled_ms=NOW_MS + 2, user_id="late", charges=knows),
        a_record("m", settled_ms=NOW_MS + 3, user_id=None, kind=RecordKind.ADJUSTMENT, charges=knows[:1]),
    ]
    for names in ("azm", "zam", "mza"):
        named = changes([(replace(r, id=n), State.SETTLED) for r, n in zip(records, names, strict=True)], {}).named
        assert {(one.charge.counter, one.spender.user) for one in named.values()} == {("key", "late")}
