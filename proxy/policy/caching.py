"""What the policy says of caching, compiled: part of ``model.Policy``. Durations in milliseconds, sizes in bytes."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from proxy.policy.model import ClaimRule

WHOLE: Final = 1000  # a hit that pays what any request pays


class CacheScope(StrEnum):
    """Who shares a stored answer."""

    TENANT = "tenant"
    USER = "user"
    PUBLIC = "public"


class Profile(StrEnum):
    """How the standard's freedoms are used."""

    SAFE = "safe"  # no heuristics, no answer with Set-Cookie, callers can't make the gateway fetch anew
    RFC = "rfc"  # RFC 9111 to the letter, a client's directives included


class Downstream(StrEnum):
    """What caches behind the gateway are told of answers that are not public."""

    PRIVATE = "private"
    AS_IS = "as_is"


class TagFields(StrEnum):
    """What becomes of Cache-Tag and Surrogate-Key on the way out."""

    KEEP = "keep"
    STRIP = "strip"


def part_of(weight: int, share: int) -> int:
    """``share`` thousandths of a weight, itself in thousandths: at least the least that can be counted."""
    return weight if share == WHOLE else max(1, weight * share // WHOLE)


@dataclass(frozen=True, slots=True)
class AssertTenant:
    """Where an answer says whose it is: a field (lower case), or a path in its JSON body."""

    header: str | None = None
    json: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bypass:
    """Who may ask for an answer from the upstream itself, by ``Cache-Control: no-cache``."""

    tiers: tuple[str, ...] = ()
    claims: tuple[ClaimRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Caching:
    """A route's. ``hits_pay`` is the part of the route's weight that a hit takes from its limits, in thousandths."""

    scope: CacheScope
    profile: Profile = Profile.SAFE
    ttl_ms: int | None = None  # a lifetime of the route's own; None: what the app says
    force: bool = False  # stores also what the app forbids, for ttl_ms; never an answer with Set-Cookie
    methods: frozenset[str] = frozenset({"GET", "HEAD"})  # answered from the cache
    statuses: frozenset[int] = frozenset()  # those that ttl_ms is for, and, if given, the only ones stored
    error_ttl_ms: int = 10_000  # answers from 400 on live no longer
    stale_while_revalidate_ms: int | None = None  # None: what the app says
    stale_if_error_ms: int | None = None
    ignore_query: tuple[str, ...] = ()  # names of parameters, ``*`` allowed, that make no other answer
    only_query: tuple[str, ...] | None = None  # the only ones that do; None: all
    max_body: int = 8 << 20  # larger answers pass, and are not stored
    hits_pay: int = 1000
    wait_ms: int = 5_000  # how long a request waits for another's fetch of the same
    early: bool = True  # refresh what is hot before it is stale
    bypass: Bypass = field(default_factory=Bypass)
    assert_tenant: AssertTenant | None = None
    downstream: Downstream = Downstream.PRIVATE
    tag_fields: TagFields = TagFields.KEEP
    status_field: bool = True  # tell clients the outcome in Cache-Status (RFC 9211)


@dataclass(frozen=True, slots=True)
class AnswerCaching:
    """Of a route to a provider: answers to calls whose bodies are equal. Only where the policy asks for it."""

    scope: CacheScope
    ttl_ms: int
    max_body: int
    hits_pay: int
    wait_ms: int  # how long a caller waits for the answer that another is buying


@dataclass(frozen=True, slots=True)
class CacheStores:
    """Both levels. ``url`` is None where the meters' Redis serves; then nothing is stored beyond ``redis_memory``."""

    memory: int = 64 << 20  # a worker's
    tenant_share: float = 0.25  # of it, at most one tenant's
    largest_in_memory: int = 1 << 20  # bodies; larger ones are in Redis alone
    url: str | None = field(default=None, repr=False)
    redis_memory: int = 512 << 20  # bytes that Redis may use in all before the gateway stores nothing more in it
    timeout_ms: int = 100
