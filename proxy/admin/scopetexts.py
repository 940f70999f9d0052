"""Whose budget a text such as ``tenant:acme`` means: the caller whose counters have that name. Pure.

A text is read as ``metering.keys.scope_text`` writes it, and written by that again, so that what ops type, what the
ledger says and what admission looks for are one: ``%`` and spaces within words are escaped (``%20``), and where a word
need not be, it may come plain.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from proxy.core.identity import Identity, IdentityKind
from proxy.metering.keys import budget_base, scope_text
from proxy.policy.model import Scope, ScopeKind
from proxy.policy.spending import Budget

_WORDS: Final = {
    ScopeKind.GLOBAL: (),
    ScopeKind.IP: ("ADDRESS",),
    ScopeKind.USER: ("ISSUER", "USER"),
    ScopeKind.TENANT: ("TENANT",),
    ScopeKind.TIER: ("TIER",),
    ScopeKind.ROUTE: ("ROUTE",),
    ScopeKind.CLAIM: ("PATH", "TYPE", "VALUE"),
    ScopeKind.MODEL: ("MODEL",),
    ScopeKind.FEATURE: ("FEATURE",),
}
_BY_ADDRESS: Final = "-by-address"
_TYPES: Final[dict[str, Any]] = {"str": str, "int": int, "bool": lambda word: {"True": True, "False": False}[word]}


@dataclass(frozen=True, slots=True)
class Subject:
    """One whose count it is; what its scopes do not speak of is left empty."""

    identity: Identity
    route: str
    address: str
    model: str

    def text(self, scopes: Iterable[Scope]) -> str:
        return scope_text(scopes, self.identity, self.route, self.address, self.model)

    def base(self, budget: Budget) -> bytes:
        """What the keys of its budget begin with."""
        return budget_base(budget.name, budget.scopes, self.identity, self.route, self.address, self.model)


def form(scopes: Iterable[Scope]) -> str:
    """How a text for these scopes reads: ``tenant:TENANT model:MODEL``."""
    return " ".join(
        f"{scope.kind}:{' '.join(_WORDS[scope.kind])}" if _WORDS[scope.kind] else str(scope.kind) for scope in scopes
    )


def subject(scopes: Sequence[Scope], text: str, issuer: str | None = None) -> Subject | None:
    """The one that the text means by these scopes, in this order; None where it means none.

    ``issuer``: of a user that is given without one.
    """
    tokens = text.split(" ")
    short = len(tokens) < sum(max(1, len(_WORDS[scope.kind])) for scope in scopes)
    facts: dict[str, str] = {}
    claims: dict[str, Any] = {}
    for scope in scopes:
        kind, _, first = tokens.pop(0).partition(":") if tokens else ("", "", "")
        words = [first] if first or _WORDS[scope.kind] else []
        if kind == scope.kind + _BY_ADDRESS:
            facts["ADDRESS"] = unquote(first)
            continue
        if kind != scope.kind:
            return None
        if short and scope.kind is ScopeKind.USER and issuer is not None:
            words.insert(0, issuer)
        while len(words) < len(_WORDS[scope.kind]) and tokens:
            words.append(tokens.pop(0))
        if not _understood(scope, [unquote(word, errors="surrogatepass") for word in words], facts, claims):
            return None
    return None if tokens else _subject(facts, claims)


def _understood(scope: Scope, words: list[str], facts: dict[str, str], claims: dict[str, Any]) -> bool:
    """Puts down what the words say; False where they say nothing."""
    names = _WORDS[scope.kind]
    if len(words) != len(names) or (words and not words[-1] and scope.kind is not ScopeKind.FEATURE):
        return False
    if scope.kind is ScopeKind.CLAIM:
        return _claimed(scope.claim, words, claims)
    facts.update(zip(names, words, strict=True))
    return True


def _claimed(path: tuple[str, ...], words: list[str], claims: dict[str, Any]) -> bool:
    named, kind, value = words
    if unquote(named) != ".".join(path) or kind not in _TYPES:
        return False
    try:
        found = _TYPES[kind](value)
    except (KeyError, ValueError):
        return False
    for step in path[:-1]:
        claims = claims.setdefault(step, {})
    claims[path[-1]] = found
    return True


def _subject(facts: dict[str, str], claims: dict[str, Any]) -> Subject:
    identity = Identity(
        kind=IdentityKind.USER,
        tier=facts.get("TIER", ""),
        tenant=facts.get("TENANT"),
        issuer=facts.get("ISSUER", ""),
        user=facts.get("USER"),
        claims=claims,
        feature=facts.get("FEATURE"),
    )
    return Subject(identity, facts.get("ROUTE", ""), facts.get("ADDRESS", ""), facts.get("MODEL", ""))
