"""Who a request acts for: the value that identity makes and every other feature reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

_NO_CLAIMS: Final[Mapping[str, Any]] = MappingProxyType({})


class IdentityKind(StrEnum):
    ANONYMOUS = "anonymous"
    USER = "user"
    MACHINE = "machine"


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """One caller acting for one tenant.

    A user is the pair (issuer, user): two issuers may both have a user "1". ``tier`` belongs to the tenant acted for.
    ``expires_ms`` is when the credential ends (epoch milliseconds), None for never. ``memo`` holds what others derive
    from this identity and may recompute at any time (meter keys, forwarded fields); it dies with the cached token.
    Identities are compared by identity: one object is one verified credential acting for one tenant.
    """

    kind: IdentityKind
    tier: str
    tenant: str | None = None
    issuer: str = ""
    user: str | None = None
    credential: str = ""  # the gateway key's name, for logs; never the key
    claims: Mapping[str, Any] = field(default_factory=lambda: _NO_CLAIMS, repr=False)  # unhashable before 3.12
    expires_ms: int | None = None
    feature: str | None = None  # verified tags of what it spends, for budgets and the ledger
    cost_centre: str | None = None
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)


def claim_at(claims: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """The value at a claim path, or None where any step is missing or not an object."""
    value: Any = claims
    for step in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value
