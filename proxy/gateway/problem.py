"""The gateway's own answers: problem+json (RFC 9457) with what a client can act on. Pure."""

from http import HTTPStatus
from typing import Any, Final

import orjson

from proxy.core.errors import GatewayError
from proxy.metering.answers import LONGEST_RETRY_MS

CONTENT_TYPE: Final = b"application/problem+json"
_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus} | {
    499: b"Client Closed Request",
    508: b"Loop Detected",
}


def reason_phrase(status: int) -> bytes:
    return _REASONS.get(status, b"")


def problem_body(error: GatewayError, request_id: str, violated: tuple[str, ...] = ()) -> bytes:
    """``violated`` are the names of the limits (draft-ietf-httpapi-ratelimit-headers §5)."""
    kind = error.error_class
    body: dict[str, Any] = {"type": kind.problem_type, "title": kind.title, "status": kind.status}
    if error.detail:
        body["detail"] = error.detail
    if error.field:
        body["field"] = error.field
    if violated:
        body["violated-policies"] = list(violated)
    body.update(error.members)
    body["reason"] = error.reason.value
    body["request_id"] = request_id
    return orjson.dumps(body)


def retry_fields(error: GatewayError) -> list[tuple[bytes, bytes]]:
    """Retry-After in whole seconds, rounded up (RFC 9110 §10.2.3), with the millisecond form that LLM clients read."""
    if error.retry_after_ms is None:
        return []
    seconds = max(1, -(-error.retry_after_ms // 1000))
    fields = [(b"Retry-After", b"%d" % seconds), (b"retry-after-ms", b"%d" % max(1, error.retry_after_ms))]
    if error.retry_after_ms > LONGEST_RETRY_MS:
        fields.append((b"x-should-retry", b"false"))  # above, waiting is for humans
    return fields
