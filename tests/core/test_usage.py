"""A usage record arrives as it was sent, and what is none is refused."""

import orjson
import pytest

from proxy.core.usage import Charge, RecordKind, Tokens, UsageRecord

RECORD = UsageRecord(
    id="a1", rev=1, kind=RecordKind.USAGE, created_ms=1, settled_ms=2, request_id="r", route="ai", provider="openai",
    model="gpt-4o", endpoint="/v1/chat/completions", company_id="acme", tokens=Tokens(input=3, reasoning=1),
    cost_nanousd=2**53 - 1, estimated=True, charges=(Charge("global", "global", "2026-11-23"),),
)  # fmt: skip


def test_a_record_arrives_as_it_was_sent() -> None:
    """To the last nano-dollar: 2^53-1 is no float on the way."""
    assert UsageRecord.decode(RECORD.encode()) == RECORD


def test_a_newer_gateways_fields_are_left_out() -> None:
    """Two versions share an outbox while a deployment goes on."""
    newer = orjson.dumps(orjson.loads(RECORD.encode()) | {"colour": "blue"})
    assert UsageRecord.decode(newer) == RECORD


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'"x"', RECORD.encode()[:-5]])
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a usage record"):
        UsageRecord.decode(data)
