"""Our own answers say what a client can act on."""

import json

import pytest

from proxy.core.errors import ERRORS, QUOTA_EXCEEDED, GatewayError, Reason
from proxy.gateway.problem import problem_body, reason_phrase, retry_fields


def test_body_names_the_field_and_the_limits() -> None:
    """RFC 9457 members, and violated-policies for a quota."""
    error = GatewayError(Reason.QUOTA_EXCEEDED, "over per-user", field="Authorization")
    body = json.loads(problem_body(error, "r1", ("per-user",)))
    assert body == {
        "type": QUOTA_EXCEEDED,
        "title": "Quota exceeded",
        "status": 429,
        "detail": "over per-user",
        "field": "Authorization",
        "violated-policies": ["per-user"],
        "reason": "quota_exceeded",
        "request_id": "r1",
    }


@pytest.mark.parametrize(("ms", "seconds"), [(1, b"1"), (1000, b"1"), (1001, b"2"), (59_999, b"60")])
def test_retry_after_is_rounded_up(ms: int, seconds: bytes) -> None:
    """Coming back earlier than told would be refused again."""
    fields = dict(retry_fields(GatewayError(Reason.STORE_AWAY, retry_after_ms=ms)))
    assert fields == {b"Retry-After": seconds, b"retry-after-ms": b"%d" % ms}


def test_no_retry_after_where_none_is_known() -> None:
    assert retry_fields(GatewayError(Reason.NO_ROUTE)) == []


@pytest.mark.parametrize("reason", list(Reason), ids=str)
def test_every_reason_has_a_phrase(reason: Reason) -> None:
    assert reason_phrase(ERRORS[reason].status)


def test_where_waiting_is_for_humans_clients_are_told_not_to_retry() -> None:
    """SDKs obey Retry-After up to a minute; above they would come back at once."""
    soon, late = (GatewayError(Reason.MAINTENANCE, retry_after_ms=ms) for ms in (60_000, 60_001))
    assert (b"x-should-retry", b"false") not in retry_fields(soon)
    assert (b"x-should-retry", b"false") in retry_fields(late)
