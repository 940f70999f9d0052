"""What the cache has for a request and what it would do with it, in words for ops. Pure.

Of stored fields only those are shown that say how an answer is cached; of all others, and of what secrets an answer was
selected by, only the names. A body is never even read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, Final

from proxy.admin.cachequestion import Place
from proxy.admin.moments import precisely
from proxy.cache.conditions import validators
from proxy.cache.digests import (
    ANY_HOST,
    EVERYWHERE,
    PUBLIC,
    Partition,
    app_tags,
    key_digest,
    purge_of_all,
    purge_of_prefix,
    purge_of_shelf,
    purge_of_tag,
    purge_of_url,
)
from proxy.cache.entry import Stored
from proxy.cache.purges import EVERYTHING, Record, id_parts
from proxy.cache.reuse import Failure, Use, reuse, serves_on_error
from proxy.cache.shared import Listed, Listing
from proxy.cache.shelf import shelf_of
from proxy.cache.vary import choose, compared
from proxy.policy.caching import CacheScope, Caching, Profile

HARMLESS: Final = frozenset(
    b"age cache-control cache-tag cdn-cache-control content-encoding content-language content-length content-range "
    b"content-type date etag expires last-modified surrogate-control surrogate-key vary".split()
)
HARMLESS_SELECTING: Final = frozenset({"accept", "accept-charset", "accept-encoding", "accept-language"})
MOST_SHOWN: Final = 256  # characters of a field

_SAYS: Final[dict[Use, tuple[str, str]]] = {
    Use.FRESH: ("hit", "what is stored is fresh"),
    Use.WHILE_REVALIDATING: ("stale", "what is stored is stale, and serves while it is fetched anew"),
    Use.AS_ASKED: ("stale", "what is stored is stale, and the request takes it"),
    Use.STALE: ("miss", "what is stored is stale, or is never to be used without asking"),
    Use.REQUEST: ("miss", "what is stored is fresh, and the request wants it fresher"),
    Use.PARTIAL: ("miss", "what is stored is a part of what is asked for"),
}


@dataclass(frozen=True, slots=True)
class Look:
    """What Redis has. ``first``: the log of purges' first record, None where there is none; ``records``: all since the
    oldest variant was fetched."""

    listing: Listing = field(default_factory=Listing)
    first: int | None = None
    records: tuple[Record, ...] = ()


def told(place: Place, look: Look, now_ms: int) -> dict[str, Any]:
    """JSON's map."""
    question, route, caching = place.question, place.route, place.caching
    asked = {"method": question.method, "host": question.host, "target": question.target}
    whole: dict[str, Any] = {
        "request": asked,
        "route": None if route is None else route.name,
        "caching": None if caching is None else _caching(caching),
    }
    if not place.key and place.wish is not None and place.wish.only_if_cached:
        return {**whole, "would": _would("504", f"the request is only-if-cached, and {place.passes}")}
    if not place.key:
        return {**whole, "would": _would("bypass", place.passes)}
    variants = look.listing.variants
    invalid = {id(one): _invalid(place, one.stored, look) for one in variants}
    valid = [one.stored for one in variants if invalid[id(one)] is None]
    best = choose(valid, question.headers, _profile(place))
    return {
        **whole,
        "key": _key(place),
        "stored": [_variant(place, one, invalid[id(one)], now_ms, chosen=one.stored is best) for one in variants],
        "not_stored": _mark(look, now_ms),
        "would": _outcome(place, look, valid, best, now_ms),
    }


def _caching(caching: Caching) -> dict[str, Any]:
    """The route's terms as compiled; durations in seconds."""
    shown: dict[str, Any] = {}
    for each in fields(caching):
        value = getattr(caching, each.name)
        if each.name == "ttl_ms":
            shown["ttl"] = "app" if value is None else value / 1000
        elif each.name.endswith("_ms"):
            shown[each.name.removesuffix("_ms") + "_s"] = None if value is None else value / 1000
        elif each.name not in ("bypass", "assert_tenant"):
            shown[each.name] = value.value if isinstance(value, Enum) else _listed(value)
    return shown


def _listed(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset | tuple) else value


def _key(place: Place) -> dict[str, Any]:
    assert place.caching is not None
    assert place.identity is not None
    scope, identity = place.caching.scope, place.identity
    user = {"issuer": identity.issuer, "user": identity.user} if scope is CacheScope.USER else {}
    return {
        "scope": scope.value,
        "tenant": None if scope is CacheScope.PUBLIC else identity.tenant,
        **user,
        "scheme": place.question.scheme,
        "host": place.question.host,
        "target": place.target,
        "redis": f"sc:{{{key_digest(place.key).decode()}}}",
    }


def _mark(look: Look, now_ms: int) -> dict[str, Any] | None:
    listing = look.listing
    if listing.not_stored_until_ms <= now_ms:
        return None
    return {"why": listing.not_stored_why or None, "until": precisely(listing.not_stored_until_ms)}


# --- one variant -------------------------------------------------------------------------------------------------


def _variant(place: Place, one: Listed, invalid: dict[str, Any] | None, now_ms: int, *, chosen: bool) -> dict[str, Any]:
    stored, terms = one.stored, one.stored.terms
    age_ms = terms.age_ms(now_ms)
    return {
        "status": stored.status,
        "selected": chosen,
        "selecting": [_selecting(place, name, value) for name, value in stored.vary],
        "purged": invalid,
        "age_s": age_ms / 1000,
        "left_s": (terms.lifetime_ms - age_ms) / 1000,
        "lifetime_s": terms.lifetime_ms / 1000,
        "guessed": terms.heuristic,
        "no_cache": terms.no_cache,
        "must_revalidate": terms.must_revalidate,
        "stale_while_revalidate_s": terms.swr_ms / 1000,
        "stale_if_error_s": terms.sie_ms / 1000,
        "fetched": precisely(terms.received_ms),
        "fetch_ms": stored.fetch_ms,
        "kept_in_redis_until": precisely(one.kept_until_ms),
        "bytes": one.body_bytes,
        "range": None if stored.range is None else list(stored.range),
        "etag": _text(stored.etag) or None,
        "last_modified": _text(stored.modified) or None,
        "fields": [_field(name, value) for name, value in stored.headers],
    }


def _selecting(place: Place, name: str, value: str) -> dict[str, Any]:
    """``same``: whether the request that is asked about has it, too."""
    same = compared(name, place.question.headers, _profile(place)) == value
    shown = {"value": value.removeprefix("=")} if name in HARMLESS_SELECTING else {}
    return {"name": name, **shown, "same": same}


def _field(name: bytes, value: bytes) -> dict[str, str]:
    shown = {"value": _text(value)} if name.lower() in HARMLESS else {}
    return {"name": _text(name), **shown}


def _text(value: bytes) -> str:
    return value[:MOST_SHOWN].decode("utf-8", "backslashreplace")


# --- purges ------------------------------------------------------------------------------------------------------


def _invalid(place: Place, stored: Stored, look: Look) -> dict[str, Any] | None:
    """When it was purged first and by what; None: by nothing that a worker that starts now knows of."""
    if look.first is None:
        return {"at": None, "by": "the log of purges is missing: nobody knows what was purged"}
    if stored.seen < look.first:
        return {"at": _at(look.first), "by": "the log of purges begins later: nobody knows what was purged before"}
    tags = frozenset(stored.tags)
    for number, digests in look.records:
        if number <= stored.seen:
            continue
        if not digests:
            return {"at": _at(number), "by": "the log of purges began anew: nobody knows what was purged before"}
        if EVERYTHING in digests:
            return {"at": _at(number), "by": "everything"}
        if named := [digest for digest in digests if digest in tags]:
            names = _names(place, stored)
            return {"at": _at(number), "by": names.get(named[0], "something that this policy has no name for")}
    return None


def _names(place: Place, stored: Stored) -> dict[int, str]:
    """What a purge may have called it by."""
    host, target = place.question.host, place.target
    path = target.partition("?")[0]
    steps = [step for step in path.split("/") if step]
    prefixes = ["/", *("/" + "/".join(steps[: count + 1]) for count in range(len(steps)))]
    found = dict.fromkeys(stored.own, "the app itself: it has said something else since")
    if place.route is not None and place.caching is not None:
        shelf = purge_of_shelf(shelf_of(place.route, place.caching))
        found[shelf] = "a policy that did not cache this route, or otherwise"
    for partition in (place.partition, EVERYWHERE):
        whose = _whose(partition)
        found[purge_of_all(partition)[0]] = f"everything{whose}"
        for where, on in ((host, f" on {host}"), (ANY_HOST, "")):
            found[purge_of_url(partition, where, target)[0]] = f"this URL{on}{whose}"
            for prefix in prefixes:
                found[purge_of_prefix(partition, where, prefix)[0]] = f"the prefix {prefix}{on}{whose}"
        for tag in app_tags(stored.headers):
            of_tag, of_many = purge_of_tag(partition, tag)
            found[of_tag] = f"the tag {_text(tag)}{whose}"
            found[of_many] = f"any tag{whose}: it has too many to keep"
    return found


def _whose(partition: Partition) -> str:
    if partition == PUBLIC:
        return " of the public answers"
    return f" of tenant {partition.tenant}" if partition != EVERYWHERE else ""


def _at(record: int) -> str:
    return precisely(id_parts(record)[0])


# --- what it would get -------------------------------------------------------------------------------------------


def _outcome(place: Place, look: Look, valid: Sequence[Stored], best: Stored | None, now_ms: int) -> dict[str, Any]:
    wish = place.wish
    assert wish is not None
    mark = _mark(look, now_ms)
    if best is None:
        would = _would("miss", _missed(look, valid, mark))
    else:
        use = reuse(best, wish, now_ms)
        result, why = _SAYS[use]
        asks = use in (Use.STALE, Use.REQUEST) and wish.stores and mark is None and place.question.method == "GET"
        would = _would("revalidate" if asks and validators(best) else result, why)
        if not use.serves and any(serves_on_error(best, wish, now_ms, each, _profile(place)) for each in Failure):
            would["if_the_upstream_fails"] = "stale"
    if wish.only_if_cached and would["result"] in ("miss", "revalidate"):
        return _would("504", f"the request is only-if-cached, and {would['why']}")
    return would


def _missed(look: Look, valid: Sequence[Stored], mark: dict[str, Any] | None) -> str:
    if valid:
        return "no stored variant was selected by fields like this request's"
    if look.listing.variants:
        return "what is stored was purged"
    if mark is not None:
        return f"the upstream's last answer was not stored: {mark['why'] or 'nobody said why'}"
    return "Redis has nothing under this key; a worker's own memory may"


def _would(result: str, why: str) -> dict[str, Any]:
    return {"result": result, "why": why}


def _profile(place: Place) -> Profile:
    assert place.caching is not None
    return place.caching.profile
