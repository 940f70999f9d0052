"""Names of meters in the store. Pure.

Every word of a key may come from outside (a claim, a user, an address), so its parts are length-prefixed and hashed:
none collides with another's or breaks out of its hash tag. All keys share one slot. A key holds neither window nor
capacity: what is stored describes itself (``admit.lua``), so that no change of a policy begins a meter anew.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final

from proxy.core.addresses import counted_address
from proxy.core.identity import Identity, claim_at
from proxy.policy.model import Limit, MeterKind, Scope, ScopeKind

TAG: Final = b"{m0}"
CLOCK: Final = TAG + b"clock"
GONE: Final = TAG + b"gone"
LIVE: Final = TAG + b"live"
STATE: Final = TAG + b"state"
HOLDS: Final = TAG + b"holds"
DUE: Final = TAG + b"due"
OUTBOX: Final = TAG + b"outbox"
BUDGETS: Final = TAG + b"b:"

_UNPLAIN: Final = re.compile(r"[\x00-\x20%\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BY_ADDRESS: Final = "-by-address"  # a scope that the caller has no word for


def sender_key(sender: bytes) -> bytes:
    return TAG + b"s:" + sender


def _claim_words(value: Any) -> list[str] | None:
    """A claim's words with their type, so that 1, "1" and true are three; None where there is nothing to count by."""
    if isinstance(value, bool | int | str):
        return [type(value).__name__, str(value)] if value != "" else None
    return None


def _scope_words(scope: Scope, identity: Identity, route: str, address: str, model: str) -> list[str]:
    """Its name, then its words: always as many for one kind of scope, so that a text made of them is unambiguous."""
    words: list[str] | None
    match scope.kind:
        case ScopeKind.IP:
            words = [counted_address(address)]
        case ScopeKind.USER:
            words = None if identity.user is None else [identity.issuer, identity.user]
        case ScopeKind.TENANT:
            words = None if identity.tenant is None else [identity.tenant]
        case ScopeKind.TIER:
            words = [identity.tier]
        case ScopeKind.ROUTE:
            words = [route]
        case ScopeKind.GLOBAL:
            words = []
        case ScopeKind.CLAIM:
            words = _claim_words(claim_at(identity.claims, scope.claim))
            words = words and [".".join(_escaped(step).replace(".", "%2E") for step in scope.claim), *words]
        case ScopeKind.MODEL:
            words = [model]
        case ScopeKind.FEATURE:
            words = [identity.feature or ""]  # what is for nothing in particular shares one count
    # The first word is ours alone, so that no caller's words can be another's address.
    return (
        [scope.kind.value, *words] if words is not None else [scope.kind.value + _BY_ADDRESS, counted_address(address)]
    )


def _prefixed(words: Iterable[str]) -> Iterator[bytes]:
    for word in words:
        data = word.encode("utf-8", "surrogatepass")
        yield len(data).to_bytes(4, "little")
        yield data


def _digest(name: str, scopes: Iterable[Scope], identity: Identity, route: str, address: str, model: str = "") -> bytes:
    digest = blake2b(digest_size=16, person=b"meter")
    digest.update(b"".join(_prefixed([name])))
    for scope in scopes:
        words = _scope_words(scope, identity, route, address, model)
        digest.update(len(words).to_bytes(4, "little") + b"".join(_prefixed(words)))
    return urlsafe_b64encode(digest.digest()).rstrip(b"=")


def meter_key(limit: Limit, identity: Identity, route: str, address: str) -> bytes:
    """The key of this caller's meter for a limit: 29 bytes. Leases live apart from amounts: they are another type."""
    kind = b"l:" if limit.kind is MeterKind.CONCURRENCY else b"m:"
    return TAG + kind + _digest(limit.name, limit.scopes, identity, route, address)


def budget_base(
    name: str, scopes: Iterable[Scope], identity: Identity, route: str, address: str, model: str = ""
) -> bytes:
    """What the keys of this caller's budget begin with, whatever the period. Apart from limits of the same name."""
    return BUDGETS + _digest(name, scopes, identity, route, address, model)


def tokens_key(limit: Limit, identity: Identity, route: str, address: str, model: str) -> bytes:
    """The key of this caller's meter for a limit of tokens; apart from one of requests that has the same name."""
    return TAG + b"k:" + _digest(limit.name, limit.scopes, identity, route, address, model)


def scope_text(scopes: Iterable[Scope], identity: Identity, route: str, address: str, model: str = "") -> str:
    """Whose count it is, as ops and the ledger read it: ``tenant:acme``, ``user:ISSUER SUB``, ``tenant:acme model:m``.

    No two scopes have one text: ``%``, spaces and what cannot be printed are escaped within words.
    """
    texts = []
    for scope in scopes:
        kind, *words = _scope_words(scope, identity, route, address, model)
        texts.append(":".join((kind, " ".join(map(_escaped, words)))) if words else kind)
    return " ".join(texts)


def _escaped(word: str) -> str:
    return _UNPLAIN.sub(_percent, word)


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))


def period_key(base: bytes, start_ms: int, end_ms: int) -> bytes:
    """The counter of one period: it holds start and end, so that a day and a month that begin together are two."""
    return b"%b:%x:%x" % (base, start_ms, end_ms)


def period_end(counter: bytes) -> int:
    """When the period of a budget's counter ends (epoch ms); 0 for another key."""
    *_, end = counter.split(b":")
    try:
        return int(end, 16) if counter.startswith(BUDGETS) else 0
    except ValueError:
        return 0


def tombs_key(hold: bytes) -> bytes:
    """Where the tombstones of a hold id and its 255 neighbours are; its own place in there is ``hold[8]``."""
    return TAG + b"t:" + urlsafe_b64encode(hold[:8] + hold[9:]).rstrip(b"=")
