"""Where a route's answers are kept: apart by all that decided what was stored and for how long. Pure.

A route with other terms, another path or another upstream finds nothing that was stored before, in memory and in Redis,
also over restarts. What only says how a stored answer is given (``hits_pay``, ``wait``, ``bypass``) is no part of it.
"""

from enum import Enum
from hashlib import blake2b
from typing import Any, Final

from proxy.policy.caching import AssertTenant, Caching
from proxy.policy.model import Route

_DIGEST_BYTES: Final = 9
_TERMS: Final = (
    "scope",
    "profile",
    "ttl_ms",
    "force",
    "statuses",
    "error_ttl_ms",
    "stale_while_revalidate_ms",
    "stale_if_error_ms",
    "ignore_query",
    "only_query",
    "assert_tenant",
)


def shelf_of(route: Route, caching: Caching) -> str:
    """A name that no other set of terms has, and that every gateway gives it; begins with the route's."""
    place = (route.match.path, route.upstream, route.strip_prefix, route.add_prefix)
    words = (*place, *(_plain(getattr(caching, name)) for name in _TERMS))
    digest = blake2b(repr(words).encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
    return f"{route.name}/{digest}"


def _plain(value: Any) -> Any:
    """As it is written the same by every process."""
    match value:
        case Enum():
            return value.value
        case frozenset():
            return sorted(value)
        case AssertTenant():
            return value.header, value.json
        case _:
            return value
