"""An entry of the outbox as a row of ``ai_usage``, and a row as the record that it was. Pure.

An entry says three things: the record, as the gateway sent it, and its revision and state, as the settling script
decided them. Where they differ the script is right: only it knows whether an end was the first.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from operator import attrgetter
from types import NoneType
from typing import Any, Final

from proxy.core.usage import Charge, RecordKind, Spender, Spent, TokenCharge, Tokens, UsageRecord

_MOST_MS: Final = 7_258_118_400_000  # the year 2200: what lies beyond is a mistake, and would make a partition


def _fields_of(kind: object) -> Callable[[UsageRecord], tuple[object, ...]]:
    """All at once of a record's fields of one type, those of its tokens among them: one call a record."""
    names = [field.name for field in fields(UsageRecord) if field.type == kind]
    if kind is int:
        names += [f"tokens.{field.name}" for field in fields(Tokens)]
    return attrgetter(*names)


_numbers: Final = _fields_of(int)
_words: Final = _fields_of(str)
_words_or_none: Final = _fields_of(str | None)
_flags: Final = _fields_of(bool)


class State(StrEnum):
    """How the attempt ended, in the settling script's words."""

    SETTLED = "settled"
    RELEASED = "released"
    ORPHANED = "orphaned"
    UNSENT = "unsent"  # orphaned, and nobody ever said that it had been sent
    CORRECTED = "corrected"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One entry of the outbox. ``record`` is None for what is none, and ``flaw`` says why."""

    entry: str
    data: bytes
    record: UsageRecord | None
    state: State = State.SETTLED
    flaw: str = ""

    @property
    def letter_id(self) -> str:
        """The same for the same content in the same entry, and for no other."""
        return f"{self.entry}:{hashlib.sha256(self.data).hexdigest()[:16]}"


def arrival(entry: str, fields: Mapping[bytes, bytes] | None) -> Arrival:
    """Never raises: what cannot be read has a flaw."""
    fields = fields or {}
    data = fields.get(b"record", b"")
    try:
        record = _read(data, fields.get(b"rev"))
        state = State(fields.get(b"state", b"settled").decode())
    except ValueError as error:
        return Arrival(entry, data, None, flaw=str(error))
    if state in (State.ORPHANED, State.UNSENT):
        record = replace(record, orphaned=True)
    return Arrival(entry, data, record, state)


def _read(data: bytes, rev: bytes | None) -> UsageRecord:
    # PostgreSQL takes no NUL in text, and a client may write one into its model's name. What was spent must count.
    record = UsageRecord.decode(data.replace(b"\\u0000", b"\\ufffd"))
    # JSON is of any type, and SQLite would take it: an amount that is a word must not get as far as a sum.
    if not set(map(type, _numbers(record))) <= {int}:
        raise ValueError("a number is none")
    if not set(map(type, _words(record))) <= {str} or not set(map(type, _words_or_none(record))) <= {str, NoneType}:
        raise ValueError("a word is none")
    if not set(map(type, _flags(record))) <= {bool}:
        raise ValueError("a flag is none")
    if not all(map(_is_charge, record.charges)):
        raise ValueError("a charge is none")
    if not all(map(_is_token_charge, record.token_limits)):
        raise ValueError("a limit of tokens is none")
    if not {type(word) for pair in record.notify for word in pair} <= {str}:
        raise ValueError("who is to be notified is no word")
    if not 0 <= record.created_ms < _MOST_MS:
        raise ValueError("created_ms is no instant")
    return record if rev is None or int(rev) == record.rev else replace(record, rev=int(rev))


def _is_charge(charge: Charge) -> bool:
    words = {type(charge.budget), type(charge.scope), type(charge.period), type(charge.counter)}
    if words != {str} or type(charge.ends_ms) is not int:
        return False
    return charge.counter.isascii() and 0 <= charge.ends_ms < _MOST_MS


def _is_token_charge(charge: TokenCharge) -> bool:
    types = (type(charge.limit), type(charge.scope), type(charge.window_ms), type(charge.tokens))
    return types == (str, str, int, int)


def to_row(record: UsageRecord, state: State = State.SETTLED) -> dict[str, Any]:
    """Columns of ``schema.usage`` but for the one that is made; who is to be notified has none."""
    tokens = record.tokens
    return {
        "id": record.id,
        "rev": record.rev,
        "kind": str(record.kind),
        "state": str(state),
        "created_at": record.created_ms,
        "settled_at": record.settled_ms,
        "request_id": record.request_id,
        "provider_request_id": record.provider_request_id,
        "route": record.route,
        "provider": record.provider,
        "model": record.model,
        "endpoint": record.endpoint,
        "company_id": record.company_id,
        "user_id": record.user_id,
        "subscription_tier": record.subscription_tier,
        "issuer": record.issuer,
        "credential": record.credential,
        "feature": record.feature,
        "cost_centre": record.cost_centre,
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "cached_read_tokens": tokens.cached_read,
        "cache_write_tokens": tokens.cache_write,
        "reasoning_tokens": tokens.reasoning,
        "audio_input_tokens": tokens.audio_input,
        "audio_output_tokens": tokens.audio_output,
        "images": tokens.images,
        "cost_nanousd": record.cost_nanousd,
        "held_nanousd": record.held_nanousd,
        "saved_nanousd": record.saved_nanousd,
        "price_version": record.price_version,
        "status": record.status,
        "latency_ms": record.latency_ms,
        "estimated": record.estimated,
        "orphaned": record.orphaned,
        "overrun": record.overrun,
        "charges": [[charge.budget, charge.scope, charge.period] for charge in record.charges],
        "token_limits": [[one.limit, one.scope, one.window_ms, one.tokens] for one in record.token_limits],
    }


def to_record(row: Mapping[str, Any]) -> UsageRecord:
    """The inverse of ``to_row``, from a whole row; its charges have forgotten their counters."""
    return UsageRecord(
        id=row["id"],
        rev=row["rev"],
        kind=RecordKind(row["kind"]),
        created_ms=row["created_at"],
        settled_ms=row["settled_at"],
        request_id=row["request_id"],
        provider_request_id=row["provider_request_id"],
        route=row["route"],
        provider=row["provider"],
        model=row["model"],
        endpoint=row["endpoint"],
        company_id=row["company_id"],
        user_id=row["user_id"],
        subscription_tier=row["subscription_tier"],
        issuer=row["issuer"],
        credential=row["credential"],
        feature=row["feature"],
        cost_centre=row["cost_centre"],
        tokens=Tokens(
            input=row["input_tokens"],
            output=row["output_tokens"],
            cached_read=row["cached_read_tokens"],
            cache_write=row["cache_write_tokens"],
            reasoning=row["reasoning_tokens"],
            audio_input=row["audio_input_tokens"],
            audio_output=row["audio_output_tokens"],
            images=row["images"],
        ),
        cost_nanousd=row["cost_nanousd"],
        held_nanousd=row["held_nanousd"],
        saved_nanousd=row["saved_nanousd"],
        price_version=row["price_version"],
        status=row["status"],
        latency_ms=row["latency_ms"],
        estimated=row["estimated"],
        orphaned=row["orphaned"],
        overrun=row["overrun"],
        charges=tuple(Charge(*charge) for charge in row["charges"]),
        token_limits=tuple(TokenCharge(*one) for one in row["token_limits"]),
    )


def to_sum(charge: Charge, nanousd: int, changed_ms: int, spender: Spender | None) -> dict[str, Any]:
    """Columns of ``schema.budget_sums``."""
    return {
        "budget": charge.budget,
        "scope": charge.scope,
        "period": charge.period,
        "cost_nanousd": nanousd,
        "changed_at": changed_ms,
        "counter": charge.counter or None,
        "ends_at": charge.ends_ms or None,
        "spender": spender and [spender.tier, spender.tenant, spender.user, spender.notify],
    }


def to_spent(row: Any) -> Spent:
    """The inverse of ``to_sum``, from a row of SQLAlchemy's, but for when it changed."""
    charge = Charge(row.budget, row.scope, row.period, row.counter or "", row.ends_at or 0)
    tier, tenant, user, notify = row.spender or ("", None, None, ())
    return Spent(charge, row.cost_nanousd, Spender(tier, tenant, user, tuple(map(tuple, notify))))
