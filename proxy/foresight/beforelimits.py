"""Requests that were refused before any limit was asked, as their log lines tell: they take nothing. Pure.

What refused them (a token, a body's size, an address) is seldom in a log, so no policy can be asked again: the refusal
stands. Steps and their order are those of ``gateway/handler.py``.
"""

from typing import Final

from proxy.core.errors import Reason
from proxy.foresight.loglines import Entry

_STEPS: Final[dict[str, tuple[Reason, ...]]] = {
    "accept": (
        Reason.MALFORMED,
        Reason.BAD_TARGET,
        Reason.BAD_HOST,
        Reason.BAD_FRAMING,
        Reason.URI_TOO_LONG,
        Reason.FIELDS_TOO_LARGE,
        Reason.HEADER_TIMEOUT,
        Reason.EXPECTATION_FAILED,
        Reason.UPGRADE_UNSUPPORTED,
        Reason.CODING_UNSUPPORTED,
        Reason.VERSION_UNSUPPORTED,
    ),
    "locate": (Reason.IP_DENIED, Reason.LOOP),
    "match": (Reason.NO_ROUTE, Reason.METHOD_REFUSED, Reason.MAINTENANCE),
    "identify": (
        Reason.BAD_TENANT,
        Reason.TOKEN_MISSING,
        Reason.TOKEN_INVALID,
        Reason.TOKEN_EXPIRED,
        Reason.KEYS_UNAVAILABLE,
        Reason.CLAIMS_REFUSED,
        Reason.TENANT_REFUSED,
        Reason.KEY_ROUTE_REFUSED,
    ),
    "price": (
        Reason.CALL_NOT_LISTED,
        Reason.CALL_STORED,
        Reason.CALL_UNREADABLE,
        Reason.CALL_UNBOUNDED,
        Reason.MODEL_UNKNOWN,
    ),
    # Of a body that is read on its way upstream, limits were asked: such a line names the upstream.
    "read": (Reason.BODY_TOO_LARGE, Reason.BODY_TIMEOUT),
}
BEFORE_LIMITS: Final = {reason.value: reason for reasons in _STEPS.values() for reason in reasons}
TOO_LARGE: Final = 413
UNAUTHORIZED: Final = 401


def refused_before_limits(entry: Entry) -> Reason | None:
    """Why; None: limits were asked, or would have been. Of a format without reasons, the status of a body that is too
    large says as much."""
    if entry.reason:
        return None if entry.upstream else BEFORE_LIMITS.get(entry.reason)
    return Reason.BODY_TOO_LARGE if entry.status == TOO_LARGE and not entry.outcome else None


def had_no_credential(entry: Entry) -> bool:
    """Whether a line without a reason tells that its request had none that holds: where one is required, the gateway
    says so before it asks limits. Elsewhere a 401 is the app's own, of a log-in that failed, and limits count it."""
    return (
        entry.status == UNAUTHORIZED
        and not entry.outcome
        and entry.tenant is None
        and entry.user is None
        and entry.key is None
    )
