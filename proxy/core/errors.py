"""The one closed family of errors: who is at fault, why, with which status, and whether trying again can help.

Adapters map a library's exceptions to these once, at the edge, with ``raise ... from``. Problem types are those of
draft-ietf-httpapi-ratelimit-headers where it names one, else ``about:blank`` (RFC 9457 §4.2.1).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    CLIENT = "client"
    GATEWAY = "gateway"
    UPSTREAM = "upstream"
    STORE = "store"


class Reason(StrEnum):
    """Why a request was not answered by its upstream: a label in metrics and the word in the log line."""

    MALFORMED = "malformed"
    BAD_TARGET = "bad_target"
    BAD_HOST = "bad_host"
    BAD_FRAMING = "bad_framing"
    BAD_TENANT = "bad_tenant"
    TOKEN_MISSING = "token_missing"  # noqa: S105 - a reason, not a secret
    TOKEN_INVALID = "token_invalid"  # noqa: S105
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    KEYS_UNAVAILABLE = "keys_unavailable"
    CLAIMS_REFUSED = "claims_refused"
    TENANT_REFUSED = "tenant_refused"
    KEY_ROUTE_REFUSED = "key_route_refused"
    IP_DENIED = "ip_denied"
    NO_ROUTE = "no_route"
    METHOD_REFUSED = "method_refused"
    BODY_TIMEOUT = "body_timeout"
    HEADER_TIMEOUT = "header_timeout"
    BODY_TOO_LARGE = "body_too_large"
    URI_TOO_LONG = "uri_too_long"
    EXPECTATION_FAILED = "expectation_failed"
    QUOTA_EXCEEDED = "quota_exceeded"
    CONCURRENCY_EXCEEDED = "concurrency_exceeded"
    BUDGET_EXCEEDED = "budget_exceeded"
    BUDGETS_CLOSED = "budgets_closed"
    LEDGER_BEHIND = "ledger_behind"
    CALL_NOT_LISTED = "call_not_listed"
    CALL_STORED = "call_stored"
    CALL_UNREADABLE = "call_unreadable"
    CALL_UNBOUNDED = "call_unbounded"
    MODEL_UNKNOWN = "model_unknown"
    FIELDS_TOO_LARGE = "fields_too_large"
    CLIENT_GONE = "client_gone"
    INTERNAL = "internal"
    UPGRADE_UNSUPPORTED = "upgrade_unsupported"
    CODING_UNSUPPORTED = "coding_unsupported"
    VERSION_UNSUPPORTED = "version_unsupported"
    LOOP = "loop"
    MAINTENANCE = "maintenance"
    OVERLOADED = "overloaded"
    STORE_AWAY = "store_away"
    NOT_CACHED = "not_cached"
    TENANT_MISMATCH = "tenant_mismatch"
    UPSTREAM_REFUSED = "upstream_refused"
    UPSTREAM_TLS = "upstream_tls"
    UPSTREAM_RESET = "upstream_reset"
    UPSTREAM_PROTOCOL = "upstream_protocol"
    UPSTREAM_TIMEOUT = "upstream_timeout"


PROBLEM_TYPES: Final = "https://iana.org/assignments/http-problem-types#"
QUOTA_EXCEEDED: Final = PROBLEM_TYPES + "quota-exceeded"
REDUCED_CAPACITY: Final = PROBLEM_TYPES + "temporary-reduced-capacity"
ABNORMAL_USAGE: Final = PROBLEM_TYPES + "abnormal-usage-detected"


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """What is fixed for a reason. ``retryable``: whether the same request may succeed later unchanged."""

    fault: Fault
    status: int
    title: str
    retryable: bool = False
    problem_type: str = "about:blank"


_CLIENT, _GATEWAY, _UPSTREAM, _STORE = Fault.CLIENT, Fault.GATEWAY, Fault.UPSTREAM, Fault.STORE

ERRORS: Final[dict[Reason, ErrorClass]] = {
    Reason.MALFORMED: ErrorClass(_CLIENT, 400, "The request is malformed"),
    Reason.BAD_TARGET: ErrorClass(_CLIENT, 400, "The request target is not acceptable"),
    Reason.BAD_HOST: ErrorClass(_CLIENT, 400, "The Host field is not acceptable"),
    Reason.BAD_FRAMING: ErrorClass(_CLIENT, 400, "The message framing is ambiguous"),
    Reason.BAD_TENANT: ErrorClass(_CLIENT, 400, "The tenant field is not acceptable"),
    Reason.TOKEN_MISSING: ErrorClass(_CLIENT, 401, "A credential is required"),
    Reason.TOKEN_INVALID: ErrorClass(_CLIENT, 401, "The credential is not valid"),
    Reason.TOKEN_EXPIRED: ErrorClass(_CLIENT, 401, "The credential has expired"),
    Reason.KEYS_UNAVAILABLE: ErrorClass(_STORE, 503, "The issuer's keys cannot be had at the moment", retryable=True),
    Reason.CLAIMS_REFUSED: ErrorClass(_CLIENT, 403, "This credential may not be used here"),
    Reason.TENANT_REFUSED: ErrorClass(_CLIENT, 403, "The credential may not act for this tenant"),
    Reason.KEY_ROUTE_REFUSED: ErrorClass(_CLIENT, 403, "The key may not use this route"),
    Reason.IP_DENIED: ErrorClass(_CLIENT, 403, "Access from this address is denied"),
    Reason.NO_ROUTE: ErrorClass(_CLIENT, 404, "No route matches the request"),
    Reason.METHOD_REFUSED: ErrorClass(_CLIENT, 405, "The method is not allowed here"),
    Reason.HEADER_TIMEOUT: ErrorClass(_CLIENT, 408, "The header section did not arrive in time", retryable=True),
    Reason.BODY_TIMEOUT: ErrorClass(_CLIENT, 408, "The body did not arrive in time", retryable=True),
    Reason.BODY_TOO_LARGE: ErrorClass(_CLIENT, 413, "The body is too large"),
    Reason.URI_TOO_LONG: ErrorClass(_CLIENT, 414, "The request target is too long"),
    Reason.EXPECTATION_FAILED: ErrorClass(_CLIENT, 417, "The expectation cannot be met"),
    Reason.QUOTA_EXCEEDED: ErrorClass(_CLIENT, 429, "Quota exceeded", True, QUOTA_EXCEEDED),
    Reason.CONCURRENCY_EXCEEDED: ErrorClass(_CLIENT, 429, "Too many requests in flight", True, QUOTA_EXCEEDED),
    Reason.BUDGET_EXCEEDED: ErrorClass(_CLIENT, 429, "Budget exceeded", True, QUOTA_EXCEEDED),
    Reason.BUDGETS_CLOSED: ErrorClass(_STORE, 503, "Budgets are being rebuilt", True, REDUCED_CAPACITY),
    Reason.LEDGER_BEHIND: ErrorClass(_STORE, 503, "The ledger is too far behind", True, REDUCED_CAPACITY),
    Reason.CALL_NOT_LISTED: ErrorClass(_CLIENT, 404, "No such call to this provider"),
    Reason.CALL_STORED: ErrorClass(_CLIENT, 403, "Stored objects may not be asked for here"),
    Reason.CALL_UNREADABLE: ErrorClass(_CLIENT, 400, "The call cannot be metered as it is"),
    Reason.CALL_UNBOUNDED: ErrorClass(_CLIENT, 400, "The call has no upper bound"),
    Reason.MODEL_UNKNOWN: ErrorClass(_CLIENT, 400, "The model has no known price"),
    Reason.FIELDS_TOO_LARGE: ErrorClass(_CLIENT, 431, "The header section is too large"),
    Reason.CLIENT_GONE: ErrorClass(_CLIENT, 499, "The client closed the connection"),
    Reason.INTERNAL: ErrorClass(_GATEWAY, 500, "The gateway failed"),
    Reason.UPGRADE_UNSUPPORTED: ErrorClass(_CLIENT, 501, "Protocol upgrades are not supported"),
    Reason.CODING_UNSUPPORTED: ErrorClass(_CLIENT, 501, "The transfer coding is not supported"),
    Reason.VERSION_UNSUPPORTED: ErrorClass(_CLIENT, 505, "The HTTP version is not supported"),
    Reason.LOOP: ErrorClass(_CLIENT, 508, "The request has passed through this gateway already"),
    Reason.MAINTENANCE: ErrorClass(_GATEWAY, 503, "Down for maintenance", True, REDUCED_CAPACITY),
    Reason.OVERLOADED: ErrorClass(_GATEWAY, 503, "The gateway is at its capacity", True, REDUCED_CAPACITY),
    Reason.STORE_AWAY: ErrorClass(_STORE, 503, "Limits cannot be checked at the moment", True, REDUCED_CAPACITY),
    Reason.NOT_CACHED: ErrorClass(_CLIENT, 504, "No stored answer can be used, and no other was wanted"),
    Reason.TENANT_MISMATCH: ErrorClass(_UPSTREAM, 502, "The upstream's answer is not this tenant's"),
    Reason.UPSTREAM_REFUSED: ErrorClass(_UPSTREAM, 502, "The upstream refused the connection", retryable=True),
    Reason.UPSTREAM_TLS: ErrorClass(_UPSTREAM, 502, "No trusted connection to the upstream", retryable=True),
    Reason.UPSTREAM_RESET: ErrorClass(_UPSTREAM, 502, "The upstream closed the connection early", retryable=True),
    Reason.UPSTREAM_PROTOCOL: ErrorClass(_UPSTREAM, 502, "The upstream's answer is not valid HTTP"),
    Reason.UPSTREAM_TIMEOUT: ErrorClass(_UPSTREAM, 504, "The upstream did not answer in time", retryable=True),
}


class GatewayError(Exception):
    """A request ends here, with a reason from the closed set.

    ``detail`` is shown to the client and must never hold a secret; ``field`` names the header, parameter or claim at
    fault; ``retry_after_ms`` becomes Retry-After; ``headers`` are sent with the answer (``WWW-Authenticate`` and such);
    ``members`` stand in the problem's body beside the usual ones (RFC 9457 §3.2).
    """

    __slots__ = ("close", "detail", "field", "headers", "members", "reason", "retry_after_ms")

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        *,
        field: str | None = None,
        retry_after_ms: int | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        members: tuple[tuple[str, str | int], ...] = (),
        close: bool = False,
    ) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.field = field
        self.retry_after_ms = retry_after_ms
        self.headers = headers
        self.members = members
        self.close = close

    @property
    def error_class(self) -> ErrorClass:
        return ERRORS[self.reason]

    @property
    def status(self) -> int:
        return ERRORS[self.reason].status

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail or self.error_class.title}"
