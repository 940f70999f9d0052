"""Entries of the outbox and rows of the ledger: nothing is lost between them."""

from dataclasses import fields

import pytest

from proxy.core.usage import Charge, TokenCharge, Tokens, UsageRecord
from proxy.ledger.rows import State, arrival, to_record, to_row
from proxy.ledger.schema import usage
from tests.ledger.samples import RECORD, a_record, an_arrival, an_entry


def test_a_record_comes_back_from_its_row() -> None:
    """Every field of a record has its column, and every column that is not made has a field."""
    different = UsageRecord(
        **{
            name: f"{name}!" if isinstance(value, str) and name != "kind" else value
            for name, value in ((field.name, getattr(RECORD, field.name)) for field in fields(RECORD))
        }
    )
    assert to_record(to_row(different)) == different
    assert set(to_row(RECORD)) == {column.name for column in usage.columns} - {"cost_usd"}


def test_the_script_says_revision_and_state() -> None:
    """A gateway does not know that the reaper was quicker: its first revision is the second."""
    entry = an_entry(a_record(rev=1)) | {b"rev": b"2", b"state": b"corrected"}
    arrived = arrival("1-1", entry)
    assert arrived.record == a_record(rev=2)
    assert arrived.state is State.CORRECTED


@pytest.mark.parametrize("state", ["orphaned", "unsent"])
def test_what_the_reaper_settles_is_marked(state: str) -> None:
    assert an_arrival(RECORD, state=state).record == a_record(orphaned=True)


def test_an_entry_without_state_or_revision_is_its_record() -> None:
    arrived = arrival("1-1", {b"record": RECORD.encode()})
    assert (arrived.record, arrived.state, arrived.flaw) == (RECORD, State.SETTLED, "")


@pytest.mark.parametrize(
    "fields",
    [
        None,
        {},
        {b"record": b"{}"},
        an_entry(RECORD) | {b"rev": b"x"},
        an_entry(RECORD) | {b"state": b"sleeping"},
        an_entry(a_record(created_ms=-1)),
        an_entry(a_record(created_ms=10**15)),
        an_entry(a_record(created_ms="soon")),
        an_entry(a_record(cost_nanousd="5")),
        an_entry(a_record(cost_nanousd=5.5)),
        an_entry(a_record(user_id=7)),
        an_entry(a_record(tokens=Tokens(input="many"))),
        an_entry(a_record(charges=(Charge(1, "global", "2026-11"),))),
        an_entry(a_record(charges=(Charge("global", "global", "2026-11", "kéy", 5),))),
        an_entry(a_record(charges=(Charge("global", "global", "2026-11", 5, 5),))),
        an_entry(a_record(charges=(Charge("global", "global", "2026-11", "key", 10**15),))),
        an_entry(a_record(charges=(Charge("global", "global", "2026-11", "key", "soon"),))),
        an_entry(a_record(token_limits=(TokenCharge("tokens", "tenant:acme", 60_000, "many"),))),
        an_entry(a_record(token_limits=(TokenCharge("tokens", None, 60_000, 5),))),
        an_entry(a_record(notify=(("email", 7),))),
        an_entry(a_record(notify=(("email",),))),
    ],
)
def test_what_cannot_be_read_has_a_flaw(fields: dict[bytes, bytes] | None) -> None:
    arrived = arrival("1-1", fields)
    assert arrived.record is None
    assert arrived.flaw


def test_a_nul_does_not_keep_a_call_out_of_the_ledger() -> None:
    """PostgreSQL takes none in text, and the model's name is the client's word."""
    arrived = an_arrival(a_record(model="gpt\0-4o", charges=(Charge("b", "user:\0", "2026-11"),)))
    assert arrived.record is not None
    assert arrived.record.model == "gpt\ufffd-4o"
    assert arrived.record.charges[0].scope == "user:\ufffd"


def test_a_letter_is_known_by_its_entry_and_its_content() -> None:
    """Entries' numbers begin anew when Redis came back empty."""
    ids = {an_arrival(a_record(name), entry).letter_id for name in ("a", "b") for entry in ("1-1", "1-2")}
    assert len(ids) == 4
    assert an_arrival(RECORD).letter_id == an_arrival(RECORD).letter_id
