"""The closed family of errors: every reason has its class, and none tells a secret."""

import pytest

from proxy.core.errors import ERRORS, Fault, GatewayError, Reason


def test_every_reason_has_a_class():
    """And no class lacks its reason."""
    assert set(ERRORS) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_status_tells_whose_fault_it_is(reason):
    """4xx is the client's but for what was refused as unsupported; 502 and 504 are the upstream's, but for the 504 that
    RFC 9111 §5.2.1.7 has for a client that wants nothing fetched."""
    error = ERRORS[reason]
    if reason is Reason.NOT_CACHED:
        assert (error.status, error.fault) == (504, Fault.CLIENT)
        return
    assert 400 <= error.status <= 599
    if error.status < 500:
        assert error.fault is Fault.CLIENT
    if error.status in (502, 504):
        assert error.fault is Fault.UPSTREAM
    assert (error.fault is Fault.UPSTREAM) == (error.status in (502, 504))
    assert error.title
    assert not error.title.endswith(".")


@pytest.mark.parametrize("reason", [reason for reason in Reason if ERRORS[reason].status in (429, 503)])
def test_what_passes_may_be_tried_again(reason):
    """429 and 503 say so."""
    assert ERRORS[reason].retryable


def test_an_error_carries_what_the_answer_needs():
    """Reason, detail, field, delay, fields, and whether the connection can go on."""
    error = GatewayError(
        Reason.QUOTA_EXCEEDED, "60 a minute", field="x", retry_after_ms=500, headers=((b"A", b"b"),), close=True
    )
    assert (error.status, error.reason, error.error_class) == (
        429,
        Reason.QUOTA_EXCEEDED,
        ERRORS[Reason.QUOTA_EXCEEDED],
    )
    assert (error.field, error.retry_after_ms, error.headers, error.close) == ("x", 500, ((b"A", b"b"),), True)
    assert str(error) == "quota_exceeded: 60 a minute"


def test_an_error_without_detail_tells_its_title():
    """Never nothing."""
    assert str(GatewayError(Reason.NO_ROUTE)) == "no_route: No route matches the request"
