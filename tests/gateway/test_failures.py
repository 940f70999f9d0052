"""What failed of late, as a worker tells it and the parent keeps it."""

from types import SimpleNamespace
from typing import Any

import pytest

from proxy.core.errors import Reason
from proxy.core.identity import Identity, IdentityKind
from proxy.gateway.accept import accept
from proxy.gateway.control import Failed, Failure, Message
from proxy.gateway.exchange import Exchange
from proxy.gateway.failures import (
    MAX_TEXT,
    MOST_AT_ONCE,
    MOST_KEPT,
    Failures,
    RecentFailures,
    failure_of,
    is_failure,
)
from proxy.policy.model import Origin, Policy
from tests.e2e.gateway import reached
from tests.gateway.conftest import exchange_of


def failed(
    policy: Policy, request: bytes = b"GET /a?token=hunter2 HTTP/1.1\r\nHost: a\r\n\r\n", **changes: Any
) -> Exchange:
    exchange = exchange_of(request)
    accept(exchange)
    exchange.request_id, exchange.status, exchange.reason = "r1", 502, Reason.UPSTREAM_RESET
    exchange.route = policy.routes[-1]
    for name, value in changes.items():
        setattr(exchange, name, value)
    return exchange


@pytest.mark.parametrize(
    ("status", "reason", "told"),
    [
        (500, None, True),  # the app's own
        (404, None, False),
        (502, Reason.UPSTREAM_REFUSED, True),
        (200, Reason.UPSTREAM_RESET, True),  # cut after its head
        (503, Reason.STORE_AWAY, True),
        (500, Reason.INTERNAL, True),
        (429, Reason.QUOTA_EXCEEDED, False),
        (501, Reason.UPGRADE_UNSUPPORTED, False),  # the client's fault
        (499, Reason.CLIENT_GONE, False),
        (503, Reason.MAINTENANCE, False),
    ],
)
def test_a_failure_is_nobodys_wish(status: int, reason: Reason | None, told: bool) -> None:
    """Neither what a client did wrong nor what ops have switched on."""
    assert is_failure(status, reason) is told


def test_a_failure_says_who_and_where_and_no_query(policy: Policy) -> None:
    identity = Identity(IdentityKind.USER, "gold", tenant="acme", user="u1", issuer="i")
    attempt = SimpleNamespace(origin=Origin("http", "127.0.0.1", 8080))
    told = failure_of(failed(policy, identity=identity, attempt=attempt), 1_000, 0.0123)
    assert told == Failure(
        at_ms=1_000, request_id="r1", method="GET", path="/a", route=policy.routes[-1].name, status=502,
        reason="upstream_reset", tenant="acme", upstream="127.0.0.1:8080", ms=12.3,
    )  # fmt: skip
    assert "hunter2" not in repr(told)


def test_text_of_clients_is_cut_and_can_be_said(policy: Policy) -> None:
    """A token may hold half a character: JSON could not say it."""
    identity = Identity(IdentityKind.USER, "gold", tenant="\ud800" + "x" * 999, user="u1", issuer="i")
    told = failure_of(failed(policy, identity=identity, path="/" + "p" * 999), 0, 0)
    assert len(told.path) == MAX_TEXT
    assert told.tenant is not None
    assert told.tenant.startswith("\\ud800x")
    told.tenant.encode()


async def test_a_flood_is_told_in_a_few(policy: Policy) -> None:
    """Of each half second the first ones; counts tell of the others."""
    said: list[Message] = []

    async def say(message: Message) -> None:
        said.append(message)

    failures = Failures()
    failures.ended(failed(policy), 0, 0)  # nobody listens yet
    failures.open(say)
    for number in range(MOST_AT_ONCE + 5):
        failures.ended(failed(policy), number, 0)
    failures.ended(failed(policy, status=429, reason=Reason.QUOTA_EXCEEDED), 0, 0)
    await reached(lambda: said)
    (message,) = said
    assert isinstance(message, Failed)
    assert [one.at_ms for one in message.failures] == list(range(MOST_AT_ONCE))
    failures.ended(failed(policy), 99, 0)
    await reached(lambda: len(said) == 2)


def test_the_newest_are_kept(policy: Policy) -> None:
    recent = RecentFailures()
    recent.add(failure_of(failed(policy), number, 0) for number in range(MOST_KEPT + 10))
    assert [one.at_ms for one in recent.newest(3)] == [109, 108, 107]
    assert len(recent.newest(1_000)) == MOST_KEPT
