"""What is stored, and for how long: RFC 9111 §3, §4.2 and §5, RFC 9213, by answers that come through a gateway."""

import asyncio

import pytest

from proxy.gateway.cachedrequest import STEERING
from tests.e2e.caching.cases import By, Case, Step, failures, twice
from tests.e2e.gateway import Gateway, get, once
from tests.e2e.origin import Exchange, Origin

FRESH = "Cache-Control: max-age=3600"
CDN = "CDN-Cache-Control: "

# §4.2.1, §5.2.2.1, §5.2.2.10: what says how long.
LIFETIMES: dict[str, Case] = {
    "nothing-said": twice(By.ORIGIN),
    "max-age": twice(By.CACHE, FRESH),
    "max-age-0": twice(By.ORIGIN, "Cache-Control: max-age=0"),
    "max-age-past": twice(By.ORIGIN, "Cache-Control: max-age=1", pause_s=1.1),
    "max-age-negative": twice(By.ORIGIN, "Cache-Control: max-age=-3600"),
    "max-age-2^31-1": twice(By.CACHE, "Cache-Control: max-age=2147483647"),
    "max-age-2^31": twice(By.CACHE, "Cache-Control: max-age=2147483648"),
    "max-age-2^31+1": twice(By.CACHE, "Cache-Control: max-age=2147483649"),
    "max-age-beyond": twice(By.CACHE, "Cache-Control: max-age=99999999999"),
    "max-age-zeros-before": twice(By.CACHE, "Cache-Control: max-age=003600"),
    "max-age-quoted": twice(By.CACHE, 'Cache-Control: max-age="3600"'),
    "max-age-apostrophes": twice(By.ORIGIN, "Cache-Control: max-age='3600'"),
    "max-age-decimal": twice(By.ORIGIN, "Cache-Control: max-age=3600.0"),
    "max-age-any-case": twice(By.CACHE, "Cache-Control: MAX-agE=3600"),
    "max-age-with-extension": twice(By.CACHE, "Cache-Control: community, max-age=3600"),
    "max-age-in-quotes-before": twice(By.ORIGIN, 'Cache-Control: x="max-age=3600", max-age=1', pause_s=1.1),
    "max-age-in-quotes-after": twice(By.ORIGIN, 'Cache-Control: max-age=1, x="max-age=3600"', pause_s=1.1),
    "max-age-first-counts": twice(By.CACHE, "Cache-Control: max-age=1800, max-age=1", pause_s=1.1),
    "max-age-first-line-counts": twice(By.CACHE, FRESH, "Cache-Control: max-age=1", pause_s=1.1),
    "max-age-first-is-short": twice(By.ORIGIN, "Cache-Control: max-age=1, max-age=1800", pause_s=1.1),
    "max-age-before-expires": twice(By.CACHE, FRESH, "Expires: {-7200}", "Date: {0}"),
    "max-age-0-before-expires": twice(By.ORIGIN, "Expires: {3600}", "Cache-Control: max-age=0", "Date: {0}"),
    "max-age-by-date": twice(By.ORIGIN, FRESH, "Date: {-7200}"),
    "s-maxage": twice(By.CACHE, "Cache-Control: s-maxage=3600"),
    "s-maxage-short": twice(By.ORIGIN, "Cache-Control: max-age=3600, s-maxage=1", pause_s=1.1),
    "s-maxage-short-first": twice(By.ORIGIN, "Cache-Control: s-maxage=1, max-age=3600", pause_s=1.1),
    "s-maxage-short-line": twice(By.ORIGIN, FRESH, "Cache-Control: s-maxage=1", pause_s=1.1),
    "s-maxage-long": twice(By.CACHE, "Cache-Control: max-age=1, s-maxage=3600", pause_s=1.1),
    "s-maxage-over-past-expires": twice(By.CACHE, "Expires: {-10}", "Cache-Control: max-age=0, s-maxage=3600"),
    "expires": twice(By.CACHE, "Expires: {3600}", "Date: {0}"),
    "expires-32-bits": twice(By.CACHE, "Expires: Tue, 19 Jan 2038 14:14:08 GMT", "Date: {0}"),
    "expires-far": twice(By.CACHE, "Expires: Sun, 21 Nov 2286 04:46:39 GMT", "Date: {0}"),
    "expires-rfc850": twice(By.CACHE, "Expires: Thursday, 18-Aug-50 02:01:18 GMT", "Date: {0}"),
    "expires-asctime": twice(By.CACHE, "Expires: Thu Aug  8 02:01:18 2050", "Date: {0}"),
    "expires-loud-day": twice(By.CACHE, "Expires: THU, 18 Aug 2050 02:01:18 GMT", "Date: {0}"),
    "expires-loud-month": twice(By.CACHE, "Expires: Thu, 18 AUG 2050 02:01:18 GMT", "Date: {0}"),
    "expires-odd-zone-case": twice(By.CACHE, "Expires: Thu, 18 Aug 2050 02:01:18 gMT", "Date: {0}"),
    "expires-utc": twice(By.ORIGIN, "Expires: Thu, 18 Aug 2050 02:01:18 UTC", "Date: {0}"),
    "expires-aest": twice(By.ORIGIN, "Expires: Thu, 18 Aug 2050 02:01:18 AEST", "Date: {0}"),
    "expires-short-year": twice(By.ORIGIN, "Expires: Thu, 18 Aug 50 02:01:18 GMT", "Date: {0}"),
    "expires-no-comma": twice(By.ORIGIN, "Expires: Thu 18 Aug 2050 02:01:18 GMT", "Date: {0}"),
    "expires-wide": twice(By.ORIGIN, "Expires: Thu, 18  Aug  2050 02:01:18 GMT", "Date: {0}"),
    "expires-dashes": twice(By.ORIGIN, "Expires: Thu, 18-Aug-2050 02:01:18 GMT", "Date: {0}"),
    "expires-dots": twice(By.ORIGIN, "Expires: Thu, 18 Aug 2050 02.01.18 GMT", "Date: {0}"),
    "expires-short-hour": twice(By.ORIGIN, "Expires: Thu, 18 Aug 2050 2:01:18 GMT", "Date: {0}"),
    "expires-twice": twice(
        By.ORIGIN, "Expires: Thu, 18 Aug 2050 2:01:18 GMT", "Expires: Thu, 18 Aug 2050 2:01:19 GMT", "Date: {0}"
    ),
    "expires-0": twice(By.ORIGIN, "Expires: 0", "Date: {0}"),
    "expires-past": twice(By.ORIGIN, "Expires: {-3600}", "Date: {0}"),
    "expires-now": twice(By.ORIGIN, "Expires: {0}", "Date: {0}"),
    "expires-before-fast-date": twice(By.ORIGIN, "Expires: {300}", "Date: {400}"),
    "expires-without-sound-date": twice(By.CACHE, "Date: foo", "Expires: {10}"),
    "expires-less-age-slow-date": twice(By.ORIGIN, "Date: {-10}", "Expires: {10}", "Age: 25"),
    "expires-less-age-fast-date": twice(By.ORIGIN, "Date: {10}", "Expires: {20}", "Age: 15"),
}

# §5.1, §4.2.3: what was used up before it came here.
AGES: dict[str, Case] = {
    "age-over": twice(By.ORIGIN, FRESH, "Date: {0}", "Age: 7200"),
    "age-under": twice(By.CACHE, FRESH, "Date: {0}", "Age: 1800"),
    "age-no-number": twice(By.CACHE, FRESH, "Date: {0}", "Age: abc"),
    "age-negative": twice(By.CACHE, FRESH, "Date: {0}", "Age: -7200"),
    "age-decimal": twice(By.CACHE, FRESH, "Date: {0}", "Age: 7200.0"),
    "age-2^31-1": twice(By.ORIGIN, FRESH, "Date: {0}", "Age: 2147483647"),
    "age-2^31": twice(By.ORIGIN, FRESH, "Date: {0}", "Age: 2147483648"),
    "age-2^31+1": twice(By.ORIGIN, FRESH, "Date: {0}", "Age: 2147483649"),
    "age-list-old-first": twice(By.ORIGIN, FRESH, "Date: {0}", "Age: 7200, 0"),
    "age-list-old-last": twice(By.CACHE, FRESH, "Date: {0}", "Age: 0, 7200"),
    "age-lines-old-first": twice(By.ORIGIN, FRESH, "Date: {0}", "Age: 7200", "Age: 0"),
    "age-lines-old-last": twice(By.CACHE, FRESH, "Date: {0}", "Age: 0", "Age: 7200"),
    "age-list-0-0": twice(By.CACHE, FRESH, "Date: {0}", "Age: 0, 0"),
    "age-lines-0-0": twice(By.CACHE, FRESH, "Date: {0}", "Age: 0", "Age: 0"),
    "age-lines-alike": twice(By.CACHE, "Cache-Control: max-age=10000", "Date: {0}", "Age: 3600", "Age: 3600"),
    "age-told": (
        Step(By.ORIGIN, (FRESH, "Age: 30")),
        Step(By.CACHE, has=("Age: >30",), pause_s=1.05),
    ),
    "age-told-by-expires": (
        Step(By.ORIGIN, ("Expires: Mon, 01 Nov 2038 00:00:00 GMT", "Date: {0}", "Age: 30")),
        Step(By.CACHE, has=("Age", "Expires: Mon, 01 Nov 2038 00:00:00 GMT"), pause_s=0.0),
    ),
    "date-stays": (
        Step(By.ORIGIN, (FRESH, "Date: Mon, 01 Nov 2038 00:00:00 GMT")),
        Step(By.CACHE, has=("Date: Mon, 01 Nov 2038 00:00:00 GMT", "Age")),
    ),
    "age-over-what-clients-may": (
        Step(By.ORIGIN, ("Cache-Control: max-age=1", f"{CDN}max-age=10000", "Expires: {1}", "Date: {0}", "Age: 5")),
        Step(By.CACHE, has=("Age", "Expires", "Date")),
    ),
}

# §3, §5.2.2: what may be kept, and by whom.
DIRECTIVES: dict[str, Case] = {
    "private": twice(By.ORIGIN, "Cache-Control: private, max-age=3600"),
    "no-store": twice(By.ORIGIN, "Cache-Control: no-store"),
    "no-store-any-case": twice(By.ORIGIN, "Cache-Control: No-StOrE"),
    "max-age-no-store": twice(By.ORIGIN, "Cache-Control: max-age=10000, no-store", "Expires: {10000}", "Date: {0}"),
    "no-store-max-age": twice(By.ORIGIN, "Cache-Control: no-store, max-age=10000", "Expires: {10000}", "Date: {0}"),
    "no-store-lines": twice(By.ORIGIN, "Cache-Control: max-age=10000", "Cache-Control: no-store"),
    "no-cache": twice(By.ORIGIN, "Cache-Control: max-age=10000, no-cache", "Expires: {10000}", "Date: {0}"),
    "no-cache-any-case": twice(By.ORIGIN, "Cache-Control: max-age=10000, No-CaChE"),
    "no-cache-validated": (
        Step(By.ORIGIN, ("Cache-Control: no-cache", 'ETag: "a"')),
        Step(By.ETAG, ('ETag: "a"',), text="step 1"),
    ),
    "no-cache-fresh-validated": (
        Step(By.ORIGIN, ("Cache-Control: max-age=10000, no-cache", 'ETag: "a"')),
        Step(By.ETAG, ('ETag: "a"',), text="step 1"),
    ),
    "no-cache-one-field": (
        Step(By.ORIGIN, ('Cache-Control: no-cache="a"', "A: 1", "B: 2", FRESH)),
        Step(By.CACHE, has=("B: 2",), lacks=("A",)),
    ),
    "no-cache-fields": (
        Step(By.ORIGIN, ('Cache-Control: no-cache="a, b"', "A: 1", "B: 2", "C: 3", FRESH)),
        Step(By.CACHE, has=("C: 3",), lacks=("A", "B")),
    ),
    "must-revalidate-fresh": twice(By.CACHE, "Cache-Control: max-age=10000, must-revalidate", 'ETag: "a"'),
    "must-revalidate-stale": (
        Step(By.ORIGIN, ("Cache-Control: max-age=1, must-revalidate", 'ETag: "a"')),
        Step(By.ETAG, ('ETag: "a"',), text="step 1", pause_s=1.1),
    ),
    "must-understand-unknown": twice(By.ORIGIN, "Cache-Control: max-age=3600, no-store, must-understand", status=599),
    "must-understand-known": twice(By.CACHE, "Cache-Control: max-age=3600, no-store, must-understand"),
    "older-outlives-no-store": (
        Step(By.ORIGIN, (FRESH, "A: 1")),
        Step(By.ORIGIN, ("Cache-Control: no-store", "A: 2"), asks=("Cache-Control: no-cache",), has=("A: 2",)),
        Step(By.CACHE, has=("A: 1",), text="step 1"),
    ),
    "older-outlives-no-store-max-age": (
        Step(By.ORIGIN, (FRESH, "A: 1")),
        Step(By.ORIGIN, ("Cache-Control: no-store, max-age=0", "A: 2"), asks=("Cache-Control: no-cache",)),
        Step(By.CACHE, has=("A: 1",), text="step 1"),
    ),
    "authorization": (
        Step(By.ORIGIN, (FRESH,), ("Authorization: FOO",), sent=("Authorization: FOO",)),
        Step(By.ORIGIN, (FRESH,)),
    ),
    **{
        f"authorization-{word.partition('=')[0]}": (
            Step(By.ORIGIN, (f"Cache-Control: max-age=3600, {word}",), ("Authorization: FOO",)),
            Step(By.CACHE),
        )
        for word in ("public", "must-revalidate", "s-maxage=3600")
    },
    "set-cookie": (
        Step(By.ORIGIN, (FRESH, "Set-Cookie: a=b")),
        Step(By.CACHE, has=("Set-Cookie: a=b",)),
    ),
    "cookie": (Step(By.ORIGIN, (FRESH,)), Step(By.CACHE, asks=("Cookie: a=b",))),
    "pragma-of-an-answer": twice(By.CACHE, FRESH, "Pragma: no-cache"),
    "attachment": twice(By.CACHE, FRESH, "Content-Disposition: attachment; filename=a.txt"),
}

# §3, §4.2.2; RFC 9110 §15.1.
STATUSES: dict[str, Case] = {
    **{
        f"fresh-{status}": twice(By.CACHE, FRESH, "Date: {0}", status=status)
        for status in (200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599, 999)
    },
    **{
        f"stale-{status}": twice(By.ORIGIN, "Expires: {-5000}", "Date: {0}", status=status)
        for status in (200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599)
    },
    **{
        f"guessed-{status}": twice(By.CACHE, "Last-Modified: {-86400}", "Date: {0}", status=status)
        for status in (200, 203, 204, 404, 405, 410, 414, 501)
    },
    **{
        f"not-guessed-{status}": twice(By.ORIGIN, "Last-Modified: {-86400}", "Date: {0}", status=status)
        for status in (201, 202, 403, 502, 503, 504, 599)
    },
    "guessed-599-public": twice(By.CACHE, "Last-Modified: {-86400}", "Cache-Control: public", status=599),
}

# §3.1: fields, whole and in order, but those of one hop.
KEPT = (
    "Test-Field: a",
    "X-Test-Field: b",
    "Content-Foo: c",
    "Content-Encoding: gzip",
    "Content-Location: /foo",
    "Content-MD5: rL0Y20zC+Fzt72VPzMSk2A==",
    "Content-Range: d",
    "Content-Security-Policy: default-src 'self'",
    "Content-Type: text/plain;charset=utf-8",
    "Clear-Site-Data: cookies",
    'ETag: "abc"',
    "Expires: Mon, 11 Jan 2038 11:11:11 GMT",
    "Public-Key-Pins: e",
    "Set-Cookie: a=c",
    "Set-Cookie2: a=c",
    "X-Frame-Options: deny",
    "X-XSS-Protection: 1; mode=block",
)
DROPPED = (
    "Keep-Alive: timeout=99",
    "Proxy-Authenticate: a",
    "Proxy-Authentication-Info: b",
    "Proxy-Authorization: c",
    "Proxy-Connection: keep-alive",
    "TE: d",
    "Upgrade: e",
)
FIELDS: dict[str, Case] = {
    **{
        f"kept-{line.partition(':')[0]}": (Step(By.ORIGIN, (FRESH, line), has=(line,)), Step(By.CACHE, has=(line,)))
        for line in KEPT
    },
    **{
        f"dropped-{name}": (Step(By.ORIGIN, (FRESH, line)), Step(By.CACHE, lacks=(name,)))
        for line in DROPPED
        for name in [line.partition(":")[0]]
    },
    "kept-Content-Length": (
        Step(By.ORIGIN, (FRESH, "Content-Length: 5"), body="12345"),
        Step(By.CACHE, has=("Content-Length: 5",), text="12345"),
    ),
    "named-by-connection": (
        Step(By.ORIGIN, (FRESH, "Connection: a, b", "A: 1", "B: 2", "C: 3")),
        Step(By.CACHE, has=("C: 3",), lacks=("A", "B")),
    ),
    "lines-in-order": (
        Step(By.ORIGIN, (FRESH, "X-Many: 1", "X-Many: 2")),
        Step(By.CACHE, has=("X-Many: 1, 2",)),
    ),
}

# RFC 9213: CDN-Cache-Control is for caches like this one, and a structured field.
TARGETED: dict[str, Case] = {
    "cdn-max-age": twice(By.CACHE, f"{CDN}max-age=3600"),
    "cdn-max-age-2^31": twice(By.CACHE, f"{CDN}max-age=2147483648"),
    "cdn-max-age-beyond": twice(By.CACHE, f"{CDN}max-age=99999999999"),
    "cdn-max-age-used-up": twice(By.ORIGIN, f"{CDN}max-age=3600", "Date: {0}", "Age: 7200"),
    "cdn-space-before-equals": twice(By.ORIGIN, "Cache-Control: max-age=1", f"{CDN}max-age =100", pause_s=1.1),
    "cdn-space-after-equals": twice(By.ORIGIN, "Cache-Control: max-age=1", f"{CDN}max-age= 100", pause_s=1.1),
    "cdn-max-age-0": twice(By.ORIGIN, f"{CDN}max-age=0"),
    "cdn-with-extension": twice(By.CACHE, f"{CDN}foobar, max-age=3600"),
    "cdn-loud": twice(By.ORIGIN, f"{CDN}MaX-aGe=3600"),  # keys are lower-case (RFC 9651 §3.1.2): it is ignored whole
    "cdn-past-expires": twice(By.CACHE, f"{CDN}max-age=3600", "Expires: {-10000}", "Date: {0}"),
    "cdn-no-date-expires": twice(By.CACHE, f"{CDN}max-age=3600", "Expires: 0", "Date: {0}"),
    "cdn-max-age-0-expires": twice(By.ORIGIN, f"{CDN}max-age=0", "Expires: {10000}", "Date: {0}"),
    "cdn-longer": twice(By.CACHE, "Cache-Control: max-age=1", f"{CDN}max-age=3600", pause_s=1.1),
    "cdn-shorter": twice(By.ORIGIN, FRESH, f"{CDN}max-age=1", pause_s=1.1),
    "cdn-private": twice(By.ORIGIN, f"{CDN}private", FRESH, "Expires: {10000}", "Date: {0}"),
    "cdn-no-cache": twice(By.ORIGIN, f"{CDN}no-cache", FRESH, "Expires: {10000}", "Date: {0}"),
    "cdn-no-store": twice(By.ORIGIN, f"{CDN}no-store", FRESH, "Expires: {10000}", "Date: {0}"),
    "cdn-over-no-store": twice(By.CACHE, "Cache-Control: no-store", f"{CDN}max-age=10000"),
    "cdn-unreadable": twice(By.ORIGIN, f"{CDN}max-age=10000, &&&&&", "Cache-Control: no-store"),
    "cdn-unreadable-falls-back": twice(By.CACHE, f"{CDN}no-store, &&&&&", FRESH),
    "cdn-wrong-type": twice(By.ORIGIN, f'{CDN}max-age="10000"', "Cache-Control: no-store"),
    "cdn-passed-on": (
        Step(By.ORIGIN, (FRESH, f"{CDN}max-age=60"), has=(f"{CDN}max-age=60",)),
        Step(By.CACHE, has=(f"{CDN}max-age=60",)),
    ),
    "cdn-of-an-extension-alone": twice(By.ORIGIN, f"{CDN}foo", FRESH),  # it is valid, and so it governs (§2.2)
}

# RFC 9110 §15.2, RFC 9111 §3: what goes before the answer passes, and none of it is kept.
HINTS = "103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Hint: b"
INTERIM: dict[str, Case] = {
    "102": (
        Step(By.ORIGIN, (FRESH,), interim=("102 Processing",), interim_gets=(102,)),
        Step(By.CACHE, interim_gets=()),
    ),
    "103": (
        Step(By.ORIGIN, (FRESH,), interim=(HINTS,), interim_gets=(103,), lacks=("X-Hint",)),
        Step(By.CACHE, interim_gets=(), lacks=("X-Hint", "Link")),
    ),
    "both": (
        Step(By.ORIGIN, (FRESH,), interim=("102 Processing", HINTS), interim_gets=(102, 103)),
        Step(By.CACHE, interim_gets=()),
    ),
}

# §2: what is found by what.
KEYS: dict[str, Case] = {
    "other-path": (Step(By.ORIGIN, (FRESH,)), Step(By.ORIGIN, (FRESH,), path="/b"), Step(By.CACHE, path="/b")),
    "other-query": (Step(By.ORIGIN, (FRESH,), query="a=1"), Step(By.ORIGIN, (FRESH,), query="a=2")),
    "same-query": (Step(By.ORIGIN, (FRESH,), query="a=1"), Step(By.CACHE, query="a=1")),
    "empty-query": (Step(By.ORIGIN, (FRESH,)), Step(By.ORIGIN, (FRESH,), query="")),
}


# What neither a key nor Vary can see the effect of: stored by nobody, and answered from nothing stored.
LANGUAGE = "Accept-Language: de"
STEERED: dict[str, Case] = {
    "connection-takes-a-field-away": (
        Step(By.ORIGIN, (FRESH, "Vary: Accept-Language"), (LANGUAGE, "Connection: Accept-Language")),
        Step(By.ORIGIN, (FRESH, "Vary: Accept-Language"), (LANGUAGE,)),
        Step(By.ORIGIN, (FRESH,), (LANGUAGE, "Connection: keep-alive", "Connection: te, accept-language")),
        Step(By.CACHE, asks=(LANGUAGE,), text="step 2"),
    ),
    "connection-takes-none-away": (
        Step(By.ORIGIN, (FRESH,), ("Connection: Keep-Alive, TE", "TE: trailers")),
        Step(By.CACHE, asks=("Connection: keep-alive",)),
        Step(By.CACHE, asks=("Connection: keep-alive", "Connection: Upgrade, HTTP2-Settings")),
    ),
    **{
        f"steered-by-{name}": (
            Step(By.ORIGIN, (FRESH,), (f"{name}: /elsewhere",)),
            Step(By.ORIGIN, (FRESH,)),
            Step(By.ORIGIN, (FRESH,), (f"{name.lower()}: /elsewhere",)),
            Step(By.CACHE, text="step 2"),
        )
        for name in STEERING
    },
}


async def test_what_no_key_tells_apart_passes(gateway: Gateway, origin: Origin) -> None:
    assert await failures(gateway, origin, STEERED) == {}
    answer = await once(gateway, get("/rfc/steered", "X-Host: elsewhere"))
    line = gateway.request_line(answer.get("X-Request-ID") or "")
    assert (line["cache"], line["cache_why"]) == ("bypass", "request")


@pytest.mark.parametrize(("size", "kept"), [(100, True), (2000, False)])
async def test_only_what_is_stored_for_certain_says_so_before_it_has_passed(
    gateway: Gateway, origin: Origin, size: int, kept: bool
) -> None:
    """A length that is known is; of one in chunks nobody knows yet."""
    known, chunked = f"/safe/known/{size}", f"/safe/chunked/{size}"
    head = f"HTTP/1.1 200 OK\r\n{FRESH}\r\n".encode()
    origin.answers[known] = head + b"Content-Length: %d\r\n\r\n" % size + b"a" * size

    async def in_chunks(exchange: Exchange) -> None:
        await exchange.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
        await asyncio.sleep(0.05)
        await exchange.send(b"%x\r\n" % size + b"a" * size + b"\r\n0\r\n\r\n")

    origin.answers[chunked] = in_chunks
    for path, told in ((known, kept), (chunked, False)):
        answer = await once(gateway, get(path))
        assert answer.get("Cache-Status") == "sluicegate; fwd=uri-miss" + ("; stored" if told else "")
        assert ((await once(gateway, get(path))).get("Age") is not None) is kept


async def test_the_standard_section_by_section(gateway: Gateway, origin: Origin) -> None:
    """All at once: what waits to become stale is waited for together."""
    table = LIFETIMES | AGES | DIRECTIVES | STATUSES | FIELDS | TARGETED | INTERIM | KEYS
    assert await failures(gateway, origin, table) == {}
