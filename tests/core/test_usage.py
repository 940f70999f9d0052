"""A usage record arrives as it was sent, and what is none is refused."""

from dataclasses import replace

import orjson
import pytest

from proxy.core.usage import Charge, RecordKind, Spender, TokenCharge, Tokens, UsageRecord, charged_when_taken

RECORD = UsageRecord(
    id="a1", rev=1, kind=RecordKind.USAGE, created_ms=1, settled_ms=2, request_id="r", route="ai", provider="openai",
    model="gpt-4o", endpoint="/v1/chat/completions", company_id="acme", tokens=Tokens(input=3, reasoning=1),
    cost_nanousd=2**53 - 1, estimated=True, charges=(Charge("global", "global", "2026-11-23", "{m0}b:x:1:2", 2),),
    token_limits=(TokenCharge("tokens", "tenant:acme", 60_000, 4),), notify=(("email", "u@acme.example"),),
)  # fmt: skip


def test_a_record_arrives_as_it_was_sent() -> None:
    """To the last nano-dollar: 2^53-1 is no float on the way."""
    arrived = UsageRecord.decode(RECORD.encode())
    assert arrived == RECORD
    assert (arrived.charges[0].counter, arrived.charges[0].ends_ms) == ("{m0}b:x:1:2", 2)


def test_an_older_gateways_record_has_nobody_to_notify() -> None:
    older = orjson.loads(RECORD.encode())
    del older["notify"], older["token_limits"]
    older["charges"] = [{"budget": "global", "scope": "global", "period": "2026-11-23"}]
    arrived = UsageRecord.decode(orjson.dumps(older))
    assert (arrived.notify, arrived.token_limits, arrived.charges[0].counter) == ((), (), "")


def test_a_charge_is_its_budget_scope_and_period() -> None:
    """A row of the ledger does not know the counter, and must find its sum all the same."""
    plain = Charge("global", "global", "2026-11-23")
    assert {plain: 1}[RECORD.charges[0]] == 1
    assert plain != Charge("global", "global", "2026-11-24")


def test_a_record_says_who_spent() -> None:
    assert replace(RECORD, subscription_tier="trial").spender == Spender(
        "trial", "acme", None, (("email", "u@acme.example"),)
    )


def test_a_newer_gateways_fields_are_left_out() -> None:
    """Two versions share an outbox while a deployment goes on."""
    newer = orjson.dumps(orjson.loads(RECORD.encode()) | {"colour": "blue"})
    assert UsageRecord.decode(newer) == RECORD


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'"x"', RECORD.encode()[:-5]])
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a usage record"):
        UsageRecord.decode(data)


def test_a_change_is_encoded_as_if_it_had_been_made() -> None:
    changes = {"status": 418, "charges": (Charge("b", "s", "p", "c", 5),), "tokens": Tokens(input=3), "estimated": True}
    assert RECORD.encode_with(**changes) == replace(RECORD, **changes).encode()
    with pytest.raises(TypeError, match="nobody"):
        RECORD.encode_with(nobody=1)


@pytest.mark.parametrize(("taken_ms", "period"), [(99, "today"), (100, "tomorrow")])
def test_a_holds_own_record_is_charged_to_the_periods_in_which_it_was_taken(taken_ms: int, period: str) -> None:
    """It is made before the store takes the hold, and midnight may come in between."""
    today, tomorrow = (Charge("b", "s", name, name, ends) for name, ends in (("today", 100), ("tomorrow", 200)))
    record = replace(RECORD, charges=(today,), after=(tomorrow,))
    charged = UsageRecord.decode(charged_when_taken(record.encode(), taken_ms))
    assert [(one.period, one.counter) for one in charged.charges] == [(period, period)]
    assert charged.after == ()
    assert charged_when_taken(RECORD.encode(), taken_ms) == RECORD.encode()
    assert charged_when_taken(b"", taken_ms) == b""
