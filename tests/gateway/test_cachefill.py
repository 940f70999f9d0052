"""What of an upstream's answer is stored, and what is kept of a body as it passes."""

import asyncio
import gzip
from types import SimpleNamespace

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.cache.digests import purge_of_tag
from proxy.cache.entry import Terms
from proxy.cache.keeper import TOO_LARGE, Fills, Keeper
from proxy.cache.reuse import PLAIN
from proxy.cache.terms import NotStored
from proxy.core.errors import GatewayError, Reason
from proxy.core.identity import Identity, IdentityKind
from proxy.gateway import cachefill
from proxy.gateway.cachedrequest import CachedRequest, owner_of
from proxy.gateway.cachefill import (
    Fetched,
    Preceded,
    belongs_by_body,
    confirmed,
    read_whole,
    refuse_another,
    stored_of,
    tagged,
    verdict,
)
from proxy.policy.caching import AssertTenant, CacheScope, Caching, Profile
from proxy.upstream.response import Response
from tests.gateway.conftest import exchange_of

NOW = 1_800_000_000_000
ANN = Identity(IdentityKind.USER, "gold", "acme", "issuer", "ann")
FRESH = [(b"Cache-Control", b"public, max-age=60"), (b"Content-Length", b"2")]


class Runtime:
    """Hears of violations."""

    def __init__(self, untold=frozenset({b"x-user-id"})):
        self.counted, self.told = [], []
        metrics = SimpleNamespace(inc=lambda family, *labels: self.counted.append((family.name, *labels)))
        link = SimpleNamespace(violated=lambda violation, _now_ms: self.told.append(violation))
        clock = SimpleNamespace(now_ms=lambda: NOW)
        self.shared = SimpleNamespace(metrics=metrics, calls=SimpleNamespace(link=link), clock=clock)
        self._untold = untold

    def untold(self, _scope):
        return self._untold


ROUTE = SimpleNamespace(name="route", caching=None)
BY_FIELD = Caching(CacheScope.TENANT, assert_tenant=AssertTenant(header="x-company"))
ASSERTING = SimpleNamespace(name="route", caching=BY_FIELD)


def request(**caching):
    exchange = exchange_of(b"GET / HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n")
    exchange.target, exchange.forwarded_host = "/a", "h"
    of_route = Caching(**{"scope": CacheScope.TENANT, **caching})
    return CachedRequest(exchange, of_route, "route", ANN, owner_of(of_route, "route", ANN), PLAIN)


def fetched(headers=FRESH, status=200, body=(b"ok",)):
    response = Response(status, b"OK", list(headers), SimpleNamespace(reader_took=lambda: None, abort=lambda: None))
    for part in body:
        response.parts.append(part)
    response.finish()
    return Fetched(response, response.headers, NOW, NOW + 5, seen=7)


def test_what_may_be_stored_is_stored_with_all_that_it_is_found_by():
    terms = verdict(request(), Runtime(), ROUTE, fetched())
    assert isinstance(terms, Terms)
    stored = stored_of(request(), fetched([*FRESH, (b"ETag", b'"e"'), (b"Cache-Tag", b"t")]), terms, b"ok")
    assert (stored.status, stored.body, stored.etag, stored.seen, stored.fetch_ms) == (200, b"ok", b'"e"', 7, 5)
    assert stored.key == request().key
    assert len(stored.tags) > len(stored_of(request(), fetched(), terms, b"ok").tags)


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ([*FRESH, (b"Vary", b"Accept, X-User-Id")], NotStored.VARIES_BY_CALLER.value),
        ([(b"Cache-Control", b"public, max-age=60")], cachefill.UNDELIMITED),
        ([(b"Cache-Control", b"public, max-age=60"), (b"Content-Length", b"101")], cachefill.TOO_LARGE),
        ([(b"Cache-Control", b"no-store"), (b"Content-Length", b"2")], "no-store"),
    ],
)
def test_what_may_not_be_says_why(headers, why):
    assert verdict(request(max_body=100), Runtime(), ROUTE, fetched(headers)) == why


def test_an_answer_without_a_body_needs_no_end():
    headers = [(b"Cache-Control", b"public, max-age=60")]
    assert isinstance(verdict(request(profile=Profile.RFC), Runtime(), ROUTE, fetched(headers, 204)), Terms)


def test_an_answer_that_names_another_tenant_is_refused_and_counted():
    runtime, one = Runtime(), request()
    with pytest.raises(GatewayError) as error:
        verdict(one, runtime, ASSERTING, fetched([*FRESH, (b"X-Company", b"umbrella")]))
    assert error.value.reason is Reason.TENANT_MISMATCH
    assert runtime.counted == [("sluicegate_tenant_isolation_violations", "route")]
    assert [(told.route, told.tenant) for told in runtime.told] == [("route", "acme")]
    assert isinstance(verdict(one, runtime, ASSERTING, fetched([*FRESH, (b"X-Company", b"acme")])), Terms)
    assert verdict(one, runtime, ASSERTING, fetched()) == cachefill.UNPROVEN


def test_a_304_that_names_another_tenant_is_refused_and_one_that_names_none_proves_nothing():
    runtime = Runtime()

    def proven(*headers, tenant="acme"):
        return refuse_another(request().exchange, tenant, runtime, ASSERTING, fetched(headers, 304).response)

    assert not proven()
    assert proven((b"X-Company", b"acme"))
    assert proven((b"X-Company", b"umbrella"), tenant=None)  # of a caller without one nobody is another
    assert not runtime.counted
    with pytest.raises(GatewayError):
        proven((b"X-Company", b"umbrella"))
    assert runtime.counted


def test_another_tenants_error_is_refused_as_well():
    """What is not stored would leak just the same."""
    one = request()
    with pytest.raises(GatewayError):
        verdict(one, Runtime(), ASSERTING, fetched([(b"X-Company", b"umbrella")], 500))


def test_a_body_is_looked_into():
    one = request(assert_tenant=AssertTenant(json=("id",)))
    assert belongs_by_body(one, Runtime(), ROUTE, fetched(), b'{"id": "acme"}')
    assert not belongs_by_body(one, Runtime(), ROUTE, fetched(), b"{}")
    runtime = Runtime()
    with pytest.raises(GatewayError):
        belongs_by_body(one, runtime, ROUTE, fetched(), b'{"id": "umbrella"}')
    assert runtime.counted
    coded = fetched([(b"Content-Encoding", b"gzip")])
    assert belongs_by_body(one, runtime, ROUTE, coded, gzip.compress(b'{"id": "acme"}'))
    with pytest.raises(GatewayError):
        belongs_by_body(one, runtime, ROUTE, coded, gzip.compress(b'{"id": "umbrella"}'))


def test_a_part_that_is_not_what_it_says_is_not_kept():
    terms = Terms(NOW, 0, 1000)
    headers = [*FRESH, (b"Content-Range", b"bytes 0-9/20")]
    assert stored_of(request(), fetched(headers, 206), terms, b"ok") is None
    assert stored_of(request(), fetched(headers, 206), terms, b"0123456789").range == (0, 9, 20)


def test_what_was_read_comes_before_the_rest():
    assert [Preceded(b"ab").feed(b"c"), Preceded(b"ab").end()] == [b"abc", b"ab"]
    one = Preceded(b"ab")
    assert one.feed(b"c") + one.feed(b"d") + one.end() == b"abcd"


@pytest.mark.parametrize(("most", "whole"), [(4, True), (3, False)])
async def test_reading_ends_at_the_bound(most, whole):
    assert await asyncio.wait_for(read_whole(fetched(body=(b"ab", b"cd")).response, most), 5) == (b"abcd", whole)


async def test_reading_ends_where_there_is_no_room_for_more():
    told = []
    keeper = Keeper(3, Fills(3), told.append)
    assert await asyncio.wait_for(read_whole(fetched(body=(b"ab", b"cd")).response, 9, keeper), 5) == (b"abcd", False)
    assert told == [TOO_LARGE]


def test_headers_are_those_of_the_request():
    """A guard for these tests: what selects a variant is what the client sent."""
    one = request()
    one.headers = CIMultiDictProxy(CIMultiDict({"Accept": "text/html"}))
    stored = stored_of(one, fetched([*FRESH, (b"Vary", b"Accept")]), Terms(NOW, 0, 1), b"ok")
    assert [name for name, _ in stored.vary] == ["accept"]


def test_a_purge_names_an_answer_by_the_tags_that_a_304_brought():
    """Besides those that it came with."""
    one = request()
    stored = stored_of(one, fetched([*FRESH, (b"Cache-Tag", b"old")]), Terms(NOW, 0, 1000), b"ok")
    (of_old, *_), (of_new, *_) = (purge_of_tag(one.partition, tag) for tag in (b"old", b"new"))
    assert (of_old in stored.tags, of_new in stored.tags) == (True, False)
    stored.headers = [*FRESH, (b"Cache-Tag", b"new")]
    tagged(one, stored)
    assert (of_old in stored.tags, of_new in stored.tags) == (True, True)


def test_what_names_its_content_goes_with_its_vary():
    """Others may go on with it as it was; they are told of that, and it stays."""
    one = request()
    best = stored_of(one, fetched([*FRESH, (b"ETag", b'"e"')]), Terms(NOW, 0, 1000), b"ok")
    same = confirmed(one, Runtime(), best, fetched([(b"Cache-Tag", b"new")], 304)).stored
    regrouped = confirmed(one, Runtime(), best, fetched([(b"Vary", b"Accept")], 304)).stored
    assert same.own == best.own
    assert not set(best.own) & set(regrouped.tags)
    assert set(best.tags[1:]) <= set(regrouped.tags)


def test_what_a_304_confirms_is_as_of_the_moment_that_it_was_asked_for():
    """A purge before that is no reason any more; one by a new tag will be."""
    one = request()
    best = stored_of(one, fetched([*FRESH, (b"ETag", b'"e"')]), Terms(NOW, 0, 1000), b"ok")
    best.seen = 1
    found = confirmed(one, Runtime(), best, fetched([(b"ETag", b'"e"'), (b"Cache-Tag", b"new")], 304))
    assert (found.stored.seen, found.stored.body) == (7, b"ok")
    assert purge_of_tag(one.partition, b"new")[0] in found.stored.tags
    other = fetched([(b"ETag", b'"other"')], 304)
    assert confirmed(one, Runtime(), best, other) is None
