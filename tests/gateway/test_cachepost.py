"""Which answers to POST are kept for GET; that they then are is asked of a running gateway (tests/e2e/caching)."""

from types import SimpleNamespace

import pytest

from proxy.core.identity import Identity, IdentityKind
from proxy.gateway.cachepost import Posted
from proxy.policy.caching import AssertTenant, CacheScope, Caching, Profile
from tests.gateway.conftest import exchange_of

NOW = 1_800_000_000_000
ANN = Identity(IdentityKind.USER, "gold", "acme", "issuer", "ann")
NOBODY = Identity(IdentityKind.ANONYMOUS, "anonymous")
SELF = (b"Content-Location", b"/a")
LENGTH = (b"Content-Length", b"2")
FRESH = (b"Cache-Control", b"public, max-age=60")


class Runtime:
    """With a clock that stands still and a log that was read up to 7."""

    def __init__(self):
        log = SimpleNamespace(purges=SimpleNamespace(last=7))
        clock = SimpleNamespace(now_ms=lambda: NOW)
        self.shared = SimpleNamespace(caches=SimpleNamespace(log=log, clock=clock))

    def untold(self, _scope):
        return frozenset({b"x-user-id"})

    def shelf(self, route):
        return route.name


def begun(head=b"POST /a HTTP/1.1\r\nHost: h\r\n\r\n", identity=ANN, **caching):
    exchange = exchange_of(head)
    exchange.target, exchange.forwarded_host = "/a", "h"
    of_route = Caching(**{"scope": CacheScope.TENANT, "profile": Profile.RFC, **caching})
    return Posted.begun(exchange, Runtime(), SimpleNamespace(name="route", caching=of_route), identity)


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ([FRESH, LENGTH, SELF], True),
        ([FRESH, LENGTH], False),
        ([FRESH, LENGTH, (b"Content-Location", b"/b")], False),
        ([FRESH, SELF], False),  # nobody knows whether it is whole
        ([LENGTH, SELF, (b"Last-Modified", b"Sat, 01 Nov 2025 00:00:00 GMT")], False),
        ([FRESH, LENGTH, SELF, (b"Vary", b"X-User-ID")], False),
    ],
)
def test_an_answer_is_kept_that_names_its_target_and_says_how_long(headers, kept):
    assert begun().judged(SimpleNamespace(status=200, headers=headers)) is kept


@pytest.mark.parametrize(
    "changes",
    [
        {"profile": Profile.SAFE},
        {"methods": frozenset({"HEAD"})},
        {"assert_tenant": AssertTenant(header="x-company")},
        {"identity": NOBODY},
        {"head": b"PUT /a HTTP/1.1\r\nHost: h\r\n\r\n"},
        {"head": b"POST /a HTTP/1.1\r\nHost: h\r\nCache-Control: max-age=1, No-Store\r\n\r\n"},
    ],
)
def test_of_these_requests_none_is(changes):
    assert begun(**changes) is None


def test_a_route_that_caches_nothing_keeps_nothing():
    exchange = exchange_of(b"POST /a HTTP/1.1\r\nHost: h\r\n\r\n")
    assert Posted.begun(exchange, Runtime(), SimpleNamespace(name="route", caching=None), ANN) is None
