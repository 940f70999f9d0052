"""A request that ops ask about, and where the cache would look for its answer: route, owner, key. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.admin.purgewords import WordError, place_of
from proxy.cache.digests import PUBLIC, Partition, canonical_key, of_tenant
from proxy.cache.query import normalised_target
from proxy.cache.reuse import Wish, read_wish
from proxy.cache.shelf import shelf_of
from proxy.core.errors import GatewayError
from proxy.core.identity import Identity, IdentityKind
from proxy.gateway.cachedrequest import is_steered, may_bypass, owner_of
from proxy.policy.caching import CacheScope, Caching
from proxy.policy.matching import Router
from proxy.policy.model import AuthMode, Policy, Route
from proxy.policy.target import matched_path

_TEXTS: Final = ("url", "method", "tenant", "user", "issuer", "tier")


@dataclass(frozen=True, slots=True)
class Question:
    scheme: str
    host: str
    target: str
    headers: CIMultiDictProxy[str]
    method: str = "GET"
    tenant: str | None = None
    user: str | None = None
    issuer: str | None = None  # None: the policy's first
    tier: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the cache looks. ``key``: canonical; without one ``passes`` says why the cache is not asked."""

    question: Question
    route: Route | None = None
    caching: Caching | None = None
    identity: Identity | None = None
    target: str = ""  # as the key has it
    key: bytes = b""
    partition: Partition = PUBLIC
    wish: Wish | None = None
    passes: str = ""


def read(words: Mapping[str, Any]) -> Question:
    """``headers``: lines such as ``Accept-Language: de``; all others text. Raises: WordError."""
    for name, value in words.items():
        if name not in (*_TEXTS, "headers"):
            raise WordError(name, f"there is no such field; there are {', '.join((*_TEXTS, 'headers'))}")
        if name in _TEXTS and (not isinstance(value, str) or not value):
            raise WordError(name, "write text")
    if "url" not in words:
        raise WordError("url", "say which")
    try:
        scheme, host, target = place_of(words["url"])
    except ValueError as error:
        raise WordError("url", str(error)) from None
    named = {name: words[name] for name in ("tenant", "user", "issuer", "tier") if name in words}
    headers = CIMultiDictProxy(CIMultiDict([("Host", host), *_fields(words.get("headers", ()))]))
    return Question(scheme, host, target, headers, words.get("method", "GET").upper(), **named)


def place(policy: Policy, question: Question) -> Place:
    """As a request's way through the gateway is, but for limits and tokens, which are not looked at."""
    path, _, query = question.target.partition("?")
    listen = policy.listen
    try:
        matched = matched_path(path, listen.double_slash, listen.encoded_slash)
    except GatewayError as error:
        return Place(question, passes=f"it is refused: {error.detail}")
    route = Router(policy.routes).match(question.method, question.host, matched, query, question.headers)
    if route is None:
        return Place(question, passes="no route takes it")
    caching = route.caching
    if caching is None:
        return Place(question, route, passes=_uncached(route))
    identity = _identity(policy, question, route)
    if question.method not in caching.methods:
        methods = ", ".join(sorted(caching.methods))
        return Place(question, route, caching, identity, passes=f"only {methods} are answered from the cache here")
    owner = owner_of(caching, shelf_of(route, caching), identity)
    wish = read_wish(question.method, question.headers, caching, may_bypass=may_bypass(caching.bypass, identity))
    if owner is None:
        lacking = "a tenant" if identity.tenant is None else "a user"
        why = f"answers here belong to a {caching.scope.value}, and {lacking} is not known"
        return Place(question, route, caching, identity, wish=wish, passes=why)
    if not wish.reads or is_steered(question.headers):
        why = "the request has contents, or a condition that only the upstream can judge"
        if wish.reads:
            why = "it has fields by which the upstream may understand it otherwise than its key says"
        return Place(question, route, caching, identity, wish=wish, passes=why)
    target = normalised_target(question.target, caching.ignore_query, caching.only_query)
    public = caching.scope is CacheScope.PUBLIC
    return Place(
        question,
        route,
        caching,
        identity,
        target,
        canonical_key(owner, question.scheme, question.host, target),
        PUBLIC if public else of_tenant(identity.tenant or ""),
        wish,
    )


def _uncached(route: Route) -> str:
    if route.spending is not None and route.spending.answers is not None:
        return "answers to calls are found by what the calls say, which a URL does not tell"
    return "the route caches nothing"


def _identity(policy: Policy, question: Question, route: Route) -> Identity:
    """As if a token had said so."""
    if route.auth is AuthMode.NONE or (question.tenant is None and question.user is None):
        return Identity(IdentityKind.ANONYMOUS, question.tier)
    issuers = policy.identity.issuers
    first = issuers[0].issuer if issuers else ""
    issuer = first if question.issuer is None else question.issuer
    return Identity(IdentityKind.USER, question.tier, tenant=question.tenant, issuer=issuer, user=question.user)


def _fields(lines: Any) -> list[tuple[str, str]]:
    """Raises: WordError."""
    if not isinstance(lines, Sequence) or isinstance(lines, str):
        raise WordError("headers", "write a list of lines")
    fields = []
    for line in lines:
        name, colon, value = line.partition(":") if isinstance(line, str) else ("", "", "")
        if not colon or not name.strip():
            raise WordError("headers", "write each as 'Name: value'")
        fields.append((name.strip(), value.strip()))
    return fields
