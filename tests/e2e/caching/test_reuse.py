"""What is stored answers, or does not: RFC 9111 §4, §5.2.1, RFC 5861, RFC 9110 §13 and §14, through a gateway."""

from tests.e2e.caching.cases import By, Case, Step, failures, twice
from tests.e2e.gateway import Gateway
from tests.e2e.origin import Origin

FRESH = "Cache-Control: max-age=3600"
SHORT = "Cache-Control: max-age=1"
STALE_S = 1.1  # after which SHORT is stale
TAG = 'ETag: "abc"'


def varied(vary: str, first: tuple[str, ...], second: tuple[str, ...], by: By, *says: str) -> Case:
    """An answer with this Vary to a request with some fields, and a request with others."""
    lines = (FRESH, f"Vary: {vary}", *says)
    return (Step(By.ORIGIN, lines, first), Step(by, lines, second))


FOO, BAR, BAZ = "Foo: 1", "Bar: abc", "Baz: 789"
# §4.1
VARY: dict[str, Case] = {
    "same": varied("Foo", (FOO,), (FOO,), By.CACHE),
    "other": varied("Foo", (FOO,), ("Foo: 2",), By.ORIGIN),
    "stored-without": varied("Foo", (), (FOO,), By.ORIGIN),
    "asked-without": varied("Foo", (FOO,), (), By.ORIGIN),
    "empty-is-not-absent": varied("Foo", (), ("Foo:",), By.ORIGIN),
    "what-it-does-not-name": varied("Foo", (FOO, "Other: 2"), (FOO, "Other: 3"), By.CACHE),
    "two": varied("Foo, Bar", (FOO, BAR), (FOO, BAR), By.CACHE),
    "two-one-differs": varied("Foo, Bar", (FOO, BAR), ("Foo: 2", BAR), By.ORIGIN),
    "two-without": varied("Foo, Bar", (FOO, BAR), (), By.ORIGIN),
    "three": varied("Foo, Bar, Baz", (FOO, BAR, BAZ), (FOO, BAR, BAZ), By.CACHE),
    "three-in-any-order": varied("Foo, Bar, Baz", (FOO, BAR, BAZ), (BAZ, FOO, BAR), By.CACHE),
    "three-one-differs": varied("Foo, Bar, Baz", (FOO, BAR, BAZ), (FOO, BAZ, "Bar: abcde"), By.ORIGIN),
    "three-one-absent-in-both": varied("Foo, Bar, Baz", (FOO, BAZ), (FOO, BAZ), By.CACHE),
    "lines": varied("Foo", (FOO,), (FOO,), By.CACHE, "Vary: Bar"),
    "lines-differ": varied("Foo", (FOO, BAR), (FOO,), By.ORIGIN, "Vary: Bar"),
    "star": varied("*", (FOO,), (FOO,), By.ORIGIN),
    "stars": varied("*, *", (FOO,), (FOO,), By.ORIGIN),
    "star-lines": varied("*", (FOO,), (FOO,), By.ORIGIN, "Vary: *"),
    "star-after-nothing": varied(", *", (FOO,), (FOO,), By.ORIGIN),
    "star-after-an-empty-line": varied("", (FOO,), (FOO,), By.ORIGIN, "Vary: *"),
    "star-first": varied("*, Foo", (FOO,), (FOO,), By.ORIGIN),
    "star-last": varied("Foo, *", (FOO,), (FOO,), By.ORIGIN),
    "lines-as-a-list": varied("Foo", ("Foo: 1, 2",), ("Foo: 1", "Foo: 2"), By.CACHE),
    "white-space": varied("Foo", ("Foo: 1,2",), ("Foo:  1, 2 ",), By.CACHE),
    "language-order": varied("Accept-Language", ("Accept-Language: en, de",), ("Accept-Language: de, en",), By.CACHE),
    "language-case": varied("Accept-Language", ("Accept-Language: en, de",), ("Accept-Language: eN, De",), By.CACHE),
    "language-space": varied(
        "Accept-Language", ("Accept-Language: en, de",), ("Accept-Language:  en ,   de",), By.CACHE
    ),
    "language-preferred": varied(
        "Accept-Language",
        ("Accept-Language: en, de",),
        ("Accept-Language: fr;q=0.5, de;q=1.0",),
        By.CACHE,
        "Content-Language: de",
    ),
    "side-by-side": (
        Step(By.ORIGIN, (FRESH, "Vary: Foo"), (FOO,)),
        Step(By.ORIGIN, (FRESH, "Vary: Foo"), ("Foo: 2",)),
        Step(By.CACHE, asks=(FOO,), text="step 1"),
        Step(By.CACHE, asks=("Foo: 2",), text="step 2"),
    ),
    "validated-by-what-it-varies-by": (
        Step(By.ORIGIN, (SHORT, TAG, "Vary: Abc"), ("Abc: 123",)),
        Step(By.ETAG, (SHORT, TAG), ("Abc: 123",), text="step 1", sent=("Abc: 123",), pause_s=STALE_S),
    ),
    # By a field that the gateway itself tells the app: no later request can be compared by it.
    "by-the-user-that-we-name": varied("X-User-ID", (), (), By.ORIGIN),
    "by-the-tier-that-we-name": varied("Accept, X-Tier", (), (), By.ORIGIN),
}

# §5.2.1; they are the client's to say in this profile only.
WISHES: dict[str, Case] = {
    **{
        f"fresh-{name}": (Step(By.ORIGIN, (FRESH, *says)), Step(by, (FRESH,), (f"Cache-Control: {asks}",)))
        for name, asks, says, by in (
            ("max-age-0", "max-age=0", (), By.ORIGIN),
            ("max-age-below-age", "max-age=600", ("Age: 1800",), By.ORIGIN),
            ("max-age-above-age", "max-age=2000", ("Age: 1800",), By.CACHE),
            ("min-fresh-more", "min-fresh=4000", (), By.ORIGIN),
            ("min-fresh-more-than-left", "min-fresh=2000", ("Age: 2000",), By.ORIGIN),
            ("min-fresh-less", "min-fresh=1000", (), By.CACHE),
            ("no-cache", "no-cache", (), By.ORIGIN),
            ("unknown", "nothing-like-it", (), By.CACHE),
        )
    },
    "pragma": (Step(By.ORIGIN, (FRESH,)), Step(By.CACHE, asks=("Pragma: foo",))),
    "no-cache-asks-by-date": (
        Step(By.ORIGIN, (FRESH, "Last-Modified: {-10000}")),
        Step(By.DATE, (FRESH,), ("Cache-Control: no-cache",), text="step 1"),
    ),
    "no-cache-asks-by-tag": (
        Step(By.ORIGIN, (FRESH, TAG)),
        Step(By.ETAG, (FRESH,), ("Cache-Control: no-cache",), text="step 1", sent=('If-None-Match: "abc"',)),
    ),
    "max-stale": (
        Step(By.ORIGIN, (SHORT,)),
        Step(By.CACHE, asks=("Cache-Control: max-stale=1000",), pause_s=STALE_S),
    ),
    "max-stale-forbidden": (
        Step(By.ORIGIN, (f"{SHORT}, must-revalidate",)),
        Step(By.ORIGIN, asks=("Cache-Control: max-stale=1000",), pause_s=STALE_S),
    ),
    "no-store-is-not-stored": (Step(By.ORIGIN, (FRESH,), ("Cache-Control: no-store",)), Step(By.ORIGIN, (FRESH,))),
    "only-if-cached-is-there": (Step(By.ORIGIN, (FRESH,)), Step(By.CACHE, asks=("Cache-Control: only-if-cached",))),
    "only-if-cached-is-not": (
        Step(By.CACHE, (FRESH,), ("Cache-Control: only-if-cached",), gets=504, lacks=("Age",)),
        Step(By.ORIGIN, (FRESH,)),
    ),
}

# §4.2.4, RFC 5861: when what is stale serves, and when it must not.
STALE: dict[str, Case] = {
    "not-while-the-origin-answers": twice(By.ORIGIN, SHORT, pause_s=STALE_S),
    "disconnected": (Step(By.ORIGIN, (SHORT,)), Step(By.CACHE, cuts=True, pause_s=STALE_S)),
    "failing": (Step(By.ORIGIN, (SHORT,)), Step(By.ORIGIN, status=503, pause_s=STALE_S)),
    **{
        f"disconnected-{word}": (
            Step(By.ORIGIN, (f"Cache-Control: max-age=1, {word}",)),
            Step(By.ANYONE, cuts=True, gets=502, lacks=("Age",), pause_s=STALE_S),
        )
        for word in ("must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=1")
    },
    "if-error-disconnected": (
        Step(By.ORIGIN, (f"{SHORT}, stale-if-error=60",)),
        Step(By.CACHE, cuts=True, pause_s=STALE_S),
    ),
    "if-error-failing": (
        Step(By.ORIGIN, (f"{SHORT}, stale-if-error=60",)),
        Step(By.ANYONE, status=503, gets=200, text="step 1", has=("Age",), pause_s=STALE_S),
    ),
    "if-error-not-for-404": (
        Step(By.ORIGIN, (f"{SHORT}, stale-if-error=60",)),
        Step(By.ORIGIN, status=404, pause_s=STALE_S),
    ),
    "if-error-over": (
        Step(By.ORIGIN, (f"{SHORT}, stale-if-error=0",)),
        Step(By.ORIGIN, status=503, pause_s=STALE_S),
    ),
    "while-revalidating": (
        Step(By.ORIGIN, (f"{SHORT}, stale-while-revalidate=3600", TAG)),
        Step(By.ANYONE, (FRESH, TAG), body="anew", text="step 1", has=("Age: >0",), behind=True, pause_s=STALE_S),
        Step(By.CACHE, text="anew", soon=True),
    ),
    "while-revalidating-window-is-over": (
        Step(By.ORIGIN, (f"{SHORT}, stale-while-revalidate=1", TAG)),
        Step(By.ETAG, (f"{FRESH}", TAG), text="step 1", pause_s=2.2),
    ),
    "while-revalidating-then-no-cache": (
        Step(By.ORIGIN, (f"{SHORT}, stale-while-revalidate=60", 'ETag: "a"')),
        Step(
            By.ANYONE,
            ("Cache-Control: no-cache", 'ETag: "b"'),
            body="b",
            text="step 1",
            behind=True,
            pause_s=STALE_S,
        ),
        Step(By.ETAG, (FRESH,), body="c", text="c", sent=('If-None-Match: "b"',), soon=True),
    ),
    "while-revalidating-forbidden": (
        Step(By.ORIGIN, (f"{SHORT}, must-revalidate, stale-while-revalidate=60", TAG)),
        Step(By.ETAG, (FRESH,), text="step 1", pause_s=STALE_S),
    ),
}

LONG_AGO = "Last-Modified: {-3000}"
# §4.3.2: preconditions that the cache answers; and upstream first, where it does not have what they speak of.
PRECONDITIONS: dict[str, Case] = {
    **{
        f"tag-{name}": (
            Step(By.ORIGIN, (FRESH, f"ETag: {etag}")),
            Step(By.CACHE, asks=(f"If-None-Match: {asks}",), gets=304, has=(f"ETag: {etag}", "Date", "Cache-Control")),
        )
        for name, etag, asks in (
            ("strong", '"abcdef"', '"abcdef"'),
            ("weak", 'W/"abcdef"', 'W/"abcdef"'),
            ("weak-for-strong", '"abcdef"', 'W/"abcdef"'),
            ("first-of-several", '"abcdef"', '"abcdef", "1234", "5678"'),
            ("second-of-several", '"abcdef"', '"1234", "abcdef", "5678"'),
            ("last-of-several", '"abcdef"', '"1234", "5678", "abcdef"'),
            ("with-a-comma", '"a,b"', '"1", "a,b"'),
            ("any", '"abcdef"', "*"),
            ("beyond-ascii", '"abcdef\xfc"', '"abcdef\xfc"'),
        )
    },
    "tag-of-another": (
        Step(By.ORIGIN, (FRESH, TAG)),
        Step(By.CACHE, asks=('If-None-Match: "other"',), text="step 1"),
    ),
    "tag-before-date": (
        Step(By.ORIGIN, (FRESH, TAG, "Last-Modified: {-5000}")),
        Step(By.CACHE, asks=('If-None-Match: "abc"', "If-Modified-Since: {-9000}"), gets=304),
        Step(By.CACHE, asks=('If-None-Match: "b"', "If-Modified-Since: {0}"), text="step 1"),
    ),
    "date-equal": (
        Step(By.ORIGIN, (FRESH, "Last-Modified: Sat, 01 Nov 2025 00:00:00 GMT")),
        Step(By.CACHE, asks=("If-Modified-Since: Sat, 01 Nov 2025 00:00:00 GMT",), gets=304),
        Step(By.CACHE, asks=("If-Modified-Since: Saturday, 01-Nov-25 00:00:00 GMT",), gets=304),
        Step(By.CACHE, asks=("If-Modified-Since: Sat Nov  1 00:00:00 2025",), gets=304),
    ),
    "date-later": (
        Step(By.ORIGIN, (FRESH, LONG_AGO)),
        Step(By.CACHE, asks=("If-Modified-Since: {-2000}",), gets=304),
    ),
    "date-earlier": (
        Step(By.ORIGIN, (FRESH, LONG_AGO)),
        Step(By.CACHE, asks=("If-Modified-Since: {-5000}",), text="step 1"),
    ),
    # Without Last-Modified an answer is as old as its Date: a client that has an older one needs the new one.
    "date-of-an-answer-without": (
        Step(By.ORIGIN, (FRESH, "Date: {0}")),
        Step(By.CACHE, asks=("If-Modified-Since: {-3000}",), text="step 1"),
        Step(By.CACHE, asks=("If-Modified-Since: {+1}",), gets=304),
    ),
    "on-a-miss-the-whole-is-fetched": (
        Step(By.ORIGIN, (FRESH, TAG), ('If-None-Match: "abc"',), gets=304, sent=("If-None-Match: ",), lacks=("Age",)),
        Step(By.CACHE, text="step 1"),
    ),
    "on-a-miss-of-another": (
        Step(By.ORIGIN, (FRESH, TAG), ('If-None-Match: "other"',), sent=("If-None-Match: ",)),
        Step(By.CACHE, asks=('If-None-Match: "abc"',), gets=304),
    ),
    "what-only-the-origin-judges": (
        Step(By.ORIGIN, (FRESH, TAG)),
        Step(By.ORIGIN, (FRESH,), ('If-Match: "abc"',), sent=('If-Match: "abc"',)),
        Step(By.ORIGIN, (FRESH,), ("If-Unmodified-Since: {0}",)),
        Step(By.CACHE, text="step 1"),
    ),
    "stale-is-asked-for-first": (
        Step(By.ORIGIN, (SHORT, "Last-Modified: Sat, 01 Nov 2025 00:00:00 GMT")),
        Step(
            By.DATE,
            (FRESH, "Last-Modified: Sat, 01 Nov 2025 00:00:00 GMT"),
            ("If-Modified-Since: Sat, 01 Nov 2025 00:00:00 GMT",),
            gets=304,
            pause_s=STALE_S,
        ),
        Step(By.CACHE, text="step 1"),
    ),
}

EARLY, LATE = "Sat, 01 Nov 2025 00:00:00 GMT", "Thu, 18 Aug 2050 02:01:18 GMT"


def updated(name: str, old: str, new: str, expected: str) -> Case:
    """A stored field, another value of it in a 304, and what clients get from then on."""
    return (
        Step(By.ORIGIN, (SHORT, TAG, f"{name}: {old}")),
        Step(By.ETAG, (FRESH, TAG, f"{name}: {new}"), text="step 1", has=(f"{name}: {expected}",), pause_s=STALE_S),
        Step(By.CACHE, text="step 1", has=(f"{name}: {expected}", FRESH)),
    )


# §4.3.1, §4.3.3, §4.3.4: validation by us.
VALIDATION: dict[str, Case] = {
    "by-a-strong-tag": (
        Step(By.ORIGIN, (SHORT, TAG)),
        # Just confirmed: an Age would deny it (§5.1).
        Step(By.ETAG, (FRESH,), text="step 1", sent=('If-None-Match: "abc"',), lacks=("Age",), pause_s=STALE_S),
        Step(By.CACHE, text="step 1", has=("Age",)),
    ),
    "by-another-cache-above": (
        Step(By.ORIGIN, (SHORT, TAG)),
        Step(By.ETAG, (FRESH, "Age: 7"), text="step 1", has=("Age: 7",), pause_s=STALE_S),
        Step(By.CACHE, text="step 1", has=("Age: >6",)),
    ),
    "by-a-weak-tag": (
        Step(By.ORIGIN, (SHORT, 'ETag: W/"abc"')),
        Step(By.ETAG, (FRESH,), text="step 1", sent=('If-None-Match: W/"abc"',), pause_s=STALE_S),
        Step(By.CACHE, text="step 1"),
    ),
    "by-date": (
        Step(By.ORIGIN, (SHORT, LONG_AGO, "X-Kept: a")),
        Step(By.DATE, (FRESH,), text="step 1", has=("X-Kept: a",), pause_s=STALE_S),
        Step(By.CACHE, text="step 1", has=("X-Kept: a",)),
    ),
    "it-has-changed": (
        Step(By.ORIGIN, (SHORT, TAG)),
        Step(By.ETAG, (FRESH, 'ETag: "new"'), body="new", text="new", pause_s=STALE_S),
        Step(By.CACHE, text="new", has=('ETag: "new"',)),
    ),
    "it-is-gone": (
        Step(By.ORIGIN, (SHORT, TAG)),
        Step(By.ETAG, (FRESH,), status=410, body="gone", pause_s=STALE_S),
        Step(By.CACHE, gets=410, text="gone"),
    ),
    "a-304-that-is-fresh-no-longer": (
        Step(By.ORIGIN, (SHORT, TAG)),
        Step(By.ETAG, ("Cache-Control: max-age=0", TAG), text="step 1", pause_s=STALE_S),
        Step(By.ETAG, (FRESH, TAG), text="step 1"),
    ),
    "a-304-that-brings-a-vary": (
        Step(By.ORIGIN, (SHORT, TAG), ("Foo: 1",)),
        Step(By.ETAG, (FRESH, TAG, "Vary: Foo"), ("Foo: 1",), text="step 1", pause_s=STALE_S),
        Step(By.ORIGIN, (FRESH, "Vary: Foo"), ("Foo: 2",)),
        Step(By.CACHE, asks=("Foo: 1",), text="step 1"),
        Step(By.CACHE, asks=("Foo: 2",), text="step 3"),
    ),
    "a-304-that-brings-another-vary": (
        Step(By.ORIGIN, (SHORT, TAG, "Vary: Foo"), ("Foo: 1", "Bar: 1")),
        Step(By.ETAG, (FRESH, TAG, "Vary: Foo, Bar"), ("Foo: 1", "Bar: 1"), text="step 1", pause_s=STALE_S),
        Step(By.ORIGIN, (FRESH, "Vary: Foo, Bar"), ("Foo: 1", "Bar: 2")),
        Step(By.CACHE, asks=("Foo: 1", "Bar: 1"), text="step 1"),
    ),
    "a-304-that-forbids-storing": (
        Step(By.ORIGIN, (SHORT, TAG)),
        Step(By.ETAG, ("Cache-Control: no-store", TAG), text="step 1", pause_s=STALE_S),
        Step(By.ORIGIN, (FRESH,)),
    ),
    "updates-a-field": updated("Test-Field", "a", "b", "b"),
    "updates-content-foo": updated("X-Content-Foo", "a", "b", "b"),
    "updates-content-type": updated(
        "Content-Type", "text/plain", "text/plain;charset=utf-8", "text/plain;charset=utf-8"
    ),
    "updates-content-location": updated("Content-Location", "/foo", "/bar", "/bar"),
    "updates-content-md5": updated("Content-MD5", "a", "b", "b"),
    "updates-expires": updated("Expires", EARLY, LATE, LATE),
    "updates-set-cookie": updated("Set-Cookie", "a=b", "a=c", "a=c"),
    "updates-csp": updated("Content-Security-Policy", "default-src 'self'", "default-src 'none'", "default-src 'none'"),
    "keeps-content-encoding": updated("Content-Encoding", "gzip", "br", "gzip"),
    "keeps-content-length": (
        Step(By.ORIGIN, (SHORT, TAG, "Content-Length: 6")),
        Step(
            By.ETAG,
            (FRESH, TAG, "Content-Length: 9"),
            text="step 1",
            has=("Content-Length: 6",),
            pause_s=STALE_S,
        ),
    ),
}

# §4.3.5 and RFC 9110 §9.3.2
HEADS: dict[str, Case] = {
    "answered-by-what-get-has-stored": (
        Step(By.ORIGIN, (FRESH, "A: 1")),
        Step(By.CACHE, method="HEAD", has=("A: 1", "Age", "Content-Length: 6")),
    ),
    "stores-nothing": (Step(By.ORIGIN, (FRESH,), method="HEAD"), Step(By.ORIGIN, (FRESH,))),
    "asked-through": (
        Step(By.ORIGIN, (SHORT, "A: 1")),
        Step(By.ORIGIN, (FRESH, "A: 2", "Content-Length: 6"), method="HEAD", has=("A: 2",), pause_s=STALE_S),
        Step(By.CACHE, text="step 1", has=("A: 2",)),
    ),
    "tells-of-another": (
        Step(By.ORIGIN, (SHORT, 'ETag: "a"')),
        Step(By.ORIGIN, (FRESH, 'ETag: "b"'), method="HEAD", pause_s=STALE_S),
        Step(By.ORIGIN, (FRESH,)),
    ),
    "tells-of-another-length": (
        Step(By.ORIGIN, (SHORT,)),
        Step(By.ORIGIN, (FRESH, "Content-Length: 9"), method="HEAD", pause_s=STALE_S),
        Step(By.ORIGIN, (FRESH,)),
    ),
    "brings-a-vary": (
        Step(By.ORIGIN, (SHORT, TAG), ("Foo: 1",)),
        Step(By.ORIGIN, (FRESH, TAG, "Content-Length: 6", "Vary: Foo"), ("Foo: 1",), method="HEAD", pause_s=STALE_S),
        Step(By.ORIGIN, (FRESH, "Vary: Foo"), ("Foo: 2",)),
        Step(By.CACHE, asks=("Foo: 1",), text="step 1"),
    ),
    "no-200-tells-nothing": (
        Step(By.ORIGIN, (f"{SHORT}", TAG)),
        Step(By.ORIGIN, (FRESH,), method="HEAD", status=410, pause_s=STALE_S),
        Step(By.ETAG, (FRESH,), text="step 1"),
    ),
    "preconditions": (
        Step(By.ORIGIN, (FRESH, TAG)),
        Step(By.CACHE, method="HEAD", asks=('If-None-Match: "abc"',), gets=304),
    ),
}

TEN = "0123456789"


def of_whole(asks: str, text: str, says: str, gets: int = 206, *more: str) -> Case:
    return (
        Step(By.ORIGIN, (FRESH, TAG, "A: 1"), body=TEN),
        Step(By.CACHE, asks=(f"Range: {asks}", *more), gets=gets, text=text, has=(says,)),
    )


def of_part(asks: str, text: str, says: str) -> Case:
    return (
        Step(By.ORIGIN, (FRESH, TAG, "Content-Range: bytes 4-8/10"), ("Range: bytes=4-8",), status=206, body="45678"),
        Step(By.CACHE, asks=(f"Range: {asks}",), gets=206, text=text, has=(says,)),
    )


def unfinished(status: int, *says: str) -> Case:
    """The rest that is asked for by a range of ours does not come: the client gets the whole, as it has asked."""
    return (
        Step(By.ORIGIN, (FRESH, TAG, "Content-Range: bytes 0-4/10"), ("Range: bytes=0-4",), status=206, body="01234"),
        Step(
            By.ORIGIN,
            (FRESH, 'ETag: "new"'),
            body="9876543210",
            text="9876543210",
            ranged=(status, says),
            lacks=("Content-Range",),
            sent=("Range",),
        ),
        Step(By.CACHE, text="9876543210"),
    )


# §3.3, §3.4, RFC 9110 §14
RANGES: dict[str, Case] = {
    "first-bytes": of_whole("bytes=0-1", "01", "Content-Range: bytes 0-1/10"),
    "from-on": of_whole("bytes=1-", "123456789", "Content-Range: bytes 1-9/10"),
    "last-bytes": of_whole("bytes=-1", "9", "Content-Range: bytes 9-9/10"),
    "beyond-the-end": of_whole("bytes=5-99", "56789", "Content-Range: bytes 5-9/10"),
    "with-the-stored-fields": of_whole("bytes=0-1", "01", "A: 1"),
    "not-there": of_whole("bytes=10-", "", "Content-Range: bytes */10", 416),
    "if-it-is-still-that": of_whole("bytes=0-1", "01", "Content-Length: 2", 206, 'If-Range: "abc"'),
    "if-it-is-another": of_whole("bytes=0-1", TEN, "Content-Length: 10", 200, 'If-Range: "other"'),
    "unknown-unit": of_whole("lines=0-1", TEN, "Content-Length: 10", 200),
    "part-again": of_part("bytes=4-8", "45678", "Content-Range: bytes 4-8/10"),
    "part-of-a-part": of_part("bytes=6-7", "67", "Content-Range: bytes 6-7/10"),
    "part-is-asked-for-as-it-is": (
        Step(
            By.ORIGIN,
            (FRESH, "Content-Range: bytes 5-9/10"),
            ("Range: bytes=-5",),
            status=206,
            body="56789",
            sent=("Range: bytes=-5",),
        ),
        Step(By.CACHE, asks=("Range: bytes=-5",), gets=206, text="56789"),
        Step(By.CACHE, asks=("Range: bytes=-1",), gets=206, text="9"),
        Step(By.CACHE, asks=("Range: bytes=7-",), gets=206, text="789"),
    ),
    "part-does-not-hold-it": (
        *of_part("bytes=4-5", "45", "Content-Range: bytes 4-5/10"),
        Step(
            By.ORIGIN,
            (FRESH, TAG, "Content-Range: bytes 0-3/10"),
            ("Range: bytes=0-3",),
            status=206,
            body="0123",
        ),
        Step(By.CACHE, asks=("Range: bytes=2-6",), gets=206, text="23456"),
    ),
    "completed": (
        Step(By.ORIGIN, (FRESH, TAG, "Content-Range: bytes 0-4/10"), ("Range: bytes=-5",), status=206, body="01234"),
        Step(
            By.ORIGIN,
            (FRESH, TAG, "Content-Range: bytes 5-9/10"),
            status=206,
            gets=200,
            body="56789",
            text=TEN,
            sent=("Range: bytes=5-", 'If-Range: "abc"'),
        ),
        Step(By.CACHE, text=TEN),
    ),
    "completed-by-nothing-to-be-stored": unfinished(206, "Cache-Control: no-store", "Content-Range: bytes 5-9/10", TAG),
    "completed-by-another": unfinished(206, FRESH, "Content-Range: bytes 5-9/10", 'ETag: "other"'),
    "completed-by-what-says-not-what-it-is": unfinished(206, FRESH, TAG),
    "shorter-than-what-is-stored": unfinished(416, "Content-Range: bytes */3"),
    "completed-by-the-whole": (
        Step(By.ORIGIN, (FRESH, TAG, "Content-Range: bytes 0-4/10"), ("Range: bytes=-5",), status=206, body="01234"),
        Step(By.ORIGIN, (FRESH, 'ETag: "b"'), body="9876543210", text="9876543210"),
        Step(By.CACHE, text="9876543210"),
    ),
}


async def test_the_standard_section_by_section(gateway: Gateway, origin: Origin) -> None:
    """All at once: what waits to become stale is waited for together."""
    tables = {
        "vary": VARY,
        "wishes": WISHES,
        "stale": STALE,
        "preconditions": PRECONDITIONS,
        "validation": VALIDATION,
        "heads": HEADS,
        "ranges": RANGES,
    }
    table = {f"{section}-{name}": case for section, cases in tables.items() for name, case in cases.items()}
    assert await failures(gateway, origin, table) == {}
