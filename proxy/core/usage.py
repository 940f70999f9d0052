"""One upstream attempt as finance sees it: the value that travels from settlement through the outbox into the ledger.

A record is immutable; a correction is the same id with a higher revision. Money is nano-dollars, time epoch
milliseconds, ids are text. The names of the first user's ``ai_usage`` table are kept where it has a column.
"""

from dataclasses import dataclass, field, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any

import orjson


class RecordKind(StrEnum):
    USAGE = "usage"
    ADJUSTMENT = "adjustment"  # a row of its own: a credit, an invoice's difference


@dataclass(frozen=True, slots=True)
class Tokens:
    """What was used. Input excludes what the provider's cache gave or took; output includes reasoning."""

    input: int = 0
    output: int = 0
    cached_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    images: int = 0


@dataclass(frozen=True, slots=True)
class Charge:
    """One budget that the record was charged to, in the period in which its hold was taken.

    Two are the same if budget, scope and period are; the rest says what a rebuild needs, and a row of the ledger does
    not keep it. ``counter`` is the store's key of what was settled (ASCII), ``ends_ms`` when the period ends; "" and 0
    where nobody knows.
    """

    budget: str
    scope: str  # as ops read it: tenant:acme
    period: str  # 2026-11-23, 2026-W47, 2026-11; with its time zone unless that is UTC
    counter: str = field(default="", compare=False)
    ends_ms: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class TokenCharge:
    """One limit of tokens that the record was charged to, and how many. Its window trails: it has no period to name."""

    limit: str
    scope: str  # as ops read it: tenant:acme
    window_ms: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Spender:
    """Who moved a budget last: what alerts need to know of them. ``notify``: see ``UsageRecord``."""

    tier: str = ""
    tenant: str | None = None
    user: str | None = None
    notify: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Spent:
    """What the ledger has of one budget's period. ``charge`` knows its counter and its end, if anybody does."""

    charge: Charge
    nanousd: int
    spender: Spender


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One row of ``ai_usage``.

    ``estimated``: the provider did not say what was used; ``orphaned``: the reaper settled it, at its hold. ``notify``
    travels with the record and is no part of its row: of the claims that the policy's alerts name, path and value.
    ``after`` neither: of a hold's own record, the charges in the periods that come next, where those are near.
    """

    id: str
    rev: int
    kind: RecordKind
    created_ms: int
    settled_ms: int
    request_id: str
    route: str
    provider: str
    model: str
    endpoint: str
    company_id: str | None = None
    user_id: str | None = None
    subscription_tier: str = ""
    issuer: str = ""
    credential: str = ""  # the gateway key's name
    provider_request_id: str | None = None
    feature: str | None = None
    cost_centre: str | None = None
    tokens: Tokens = Tokens()
    cost_nanousd: int = 0
    held_nanousd: int = 0
    saved_nanousd: int = 0
    price_version: str = ""
    status: int = 0
    latency_ms: int = 0
    estimated: bool = False
    orphaned: bool = False
    overrun: bool = False  # it cost more than was held
    charges: tuple[Charge, ...] = ()
    token_limits: tuple[TokenCharge, ...] = ()
    notify: tuple[tuple[str, str], ...] = ()
    after: tuple[Charge, ...] = ()

    @property
    def spender(self) -> Spender:
        return Spender(self.subscription_tier, self.company_id, self.user_id, self.notify)

    def encode(self) -> bytes:
        """As it travels: JSON, keys as the fields."""
        return orjson.dumps(self)

    def encode_with(self, **changes: Any) -> bytes:
        """``replace(self, **changes).encode()``, in a quarter of the time. Raises: TypeError for no field of it."""
        if not _FIELDS.issuperset(changes):
            raise TypeError(f"no fields of a record: {', '.join(sorted(changes.keys() - _FIELDS))}")
        return orjson.dumps(dict(zip(_NAMES, _values(self), strict=True)) | changes)

    @classmethod
    def decode(cls, data: bytes) -> "UsageRecord":
        """Raises: ValueError for what is no record; keys that are not known (of a newer gateway) are left out."""
        try:
            value: dict[str, Any] = orjson.loads(data)
            known = {name: value[name] for name in _NAMES if name in value}
            known["kind"] = RecordKind(known["kind"])
            known["tokens"] = Tokens(**known["tokens"])
            known["charges"] = tuple(Charge(**charge) for charge in known["charges"])
            known["token_limits"] = tuple(TokenCharge(**each) for each in known.get("token_limits", ()))
            known["after"] = tuple(Charge(**charge) for charge in known.get("after", ()))
            known["notify"] = tuple((path, value) for path, value in known.get("notify", ()))
            return cls(**known)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a usage record: {type(error).__name__}") from error


def charged_when_taken(record: bytes, taken_ms: int) -> bytes:
    """A hold's own record with the periods in which the store took it: it was made before that, and periods turn."""
    if _AFTER not in record:
        return record
    known = UsageRecord.decode(record)
    charges = tuple(
        later if now.ends_ms <= taken_ms else now for now, later in zip(known.charges, known.after, strict=True)
    )
    return known.encode_with(charges=charges, after=())


_AFTER = b'"after":[{'  # no text holds it: quotes are escaped there
_NAMES = tuple(one.name for one in fields(UsageRecord))
_FIELDS = frozenset(_NAMES)
_values = attrgetter(*_NAMES)
