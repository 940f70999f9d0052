"""Records, rows and outbox entries as the settling script writes them."""

from dataclasses import dataclass, replace
from typing import Any

from proxy.core.usage import Charge, RecordKind, TokenCharge, Tokens, UsageRecord
from proxy.ledger.rows import Arrival, arrival, to_row

NOW_MS = 1_795_000_000_000  # 2026-11-18
RECORD = UsageRecord(
    id="a1", rev=1, kind=RecordKind.USAGE, created_ms=NOW_MS + 7, settled_ms=NOW_MS + 1_207, request_id="r-1",
    route="ai-openai", provider="openai", model="gpt-4o-mini", endpoint="/v1/chat/completions", company_id="acme",
    user_id="u-1", subscription_tier="enterprise", issuer="https://id.example", provider_request_id="req_1",
    feature="summary", tokens=Tokens(input=1200, output=300, cached_read=512, reasoning=10), cost_nanousd=398_400,
    held_nanousd=4_000_000, price_version="2026-11-01", status=200, latency_ms=1200,
    charges=(Charge("global", "global", "2026-11-18"), Charge("tenant", "tenant:acme", "2026-11")),
    token_limits=(TokenCharge("tokens", "tenant:acme", 60_000, 2_012),),
)  # fmt: skip


def a_record(name: str = "a1", **changes: Any) -> UsageRecord:
    return replace(RECORD, id=name, **changes)


def a_row(record: UsageRecord) -> dict[str, Any]:
    return to_row(record)


def an_entry(record: UsageRecord, state: str = "settled") -> dict[bytes, bytes]:
    """The fields of an outbox entry."""
    rev = b"%d" % record.rev
    return {b"id": record.id.encode(), b"rev": rev, b"state": state.encode(), b"record": record.encode()}


def an_arrival(record: UsageRecord, entry: str = "1-1", state: str = "settled") -> Arrival:
    return arrival(entry, an_entry(record, state))


@dataclass(frozen=True)
class AFiring:
    id: str = "alert-1"
    meter: str = "tenant tenant:acme"
    period: str = "2026-11"
    capacity: int = 200 * 10**9
    threshold: int = 80
    payload: str = '{"type":"cost_alert"}'
    posts: tuple[tuple[str, str], ...] = (("ops", ""),)


def a_firing(name: str = "alert-1", **changes: Any) -> AFiring:
    return replace(AFiring(id=name), **changes)
