"""What goes upstream, and what must not."""

import pytest

from proxy.core.errors import GatewayError, Reason
from proxy.gateway.accept import accept
from proxy.gateway.forward import Target, check_length
from proxy.policy.model import Policy
from proxy.upstream.framing import NO_BODY
from tests.gateway.conftest import exchange_of


def target(policy: Policy, name: str, stripped: frozenset[bytes] = frozenset()) -> Target:
    route = next(route for route in policy.routes if route.name == name)
    return Target.of(route, policy.upstreams[route.upstream], stripped)


@pytest.mark.parametrize(
    ("path", "forwarded"),
    [("/_ai/v1/x?a=1", "/v1/x?a=1"), ("/_ai", "/"), ("/_ai?a=%2F", "/?a=%2F"), ("/_ai/", "/")],
)
def test_a_prefix_is_taken_off_whole_segments(policy: Policy, path: str, forwarded: str) -> None:
    exchange = exchange_of(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    accept(exchange)
    assert target(policy, "strip").rewritten(exchange) == forwarded


def test_the_upstreams_own_key_replaces_the_clients(policy: Policy) -> None:
    """Fields that the policy sets are taken from the client, in any case; Sluicegate-* never goes on."""
    made = target(policy, "app", frozenset({b"x-tenant-id"}))
    fields = [(b"AUTHORIZATION", b"theirs"), (b"X-Tenant-ID", b"evil"), (b"Sluicegate-Tier", b"gold"), (b"A", b"b")]
    head = made.heads.build(b"GET", b"/", fields, host=b"h", add=made.headers, framing=NO_BODY)
    assert head == b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\nAuthorization: provider-key\r\n\r\n"


@pytest.mark.parametrize(("length", "fits"), [(10, True), (11, False)])
def test_a_declared_length_is_held_to_the_bound(length: int, fits: bool) -> None:
    """Before the body is asked for."""
    exchange = exchange_of(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
    if fits:
        check_length(exchange, 10)
    else:
        with pytest.raises(GatewayError) as refused:
            check_length(exchange, 10)
        assert refused.value.reason is Reason.BODY_TOO_LARGE
        assert refused.value.close
