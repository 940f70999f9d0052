"""Equal keys mean equal fields, and what one tenant purges names nothing of another's, whatever words they choose."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.cache.digests import (
    ANY_HOST,
    EVERYWHERE,
    MAX_APP_TAGS,
    MAX_PREFIXES,
    PUBLIC,
    Partition,
    app_tags,
    canonical_key,
    key_digest,
    of_tenant,
    owner_prefix,
    purge_of_all,
    purge_of_content,
    purge_of_prefix,
    purge_of_tag,
    purge_of_url,
    tags_of,
)
from proxy.policy.caching import CacheScope
from tests.fuzz import examples

# Few words, of all that separates, so that the same bytes come about in different places; and any at all.
HOSTILE = st.one_of(
    st.text("a/\0\x01\x04?,: *", max_size=4),
    st.sampled_from(["", "acme", "public", "everywhere", "*", "\ud800", "\udc00", "\ud800\udc00", "\U00010000", "é"]),
    st.text(st.characters(), max_size=6),
)
_fields = st.tuples(st.sampled_from(CacheScope), *[HOSTILE] * 7)
Fields = tuple[CacheScope, str, str, str, str, str, str, str]


def key_from(fields: Fields) -> bytes:
    scope, tenant, issuer, user, route, scheme, host, target = fields
    return canonical_key(owner_prefix(scope, tenant, issuer, user, route), scheme, host, target)


def meant(fields: Fields) -> object:
    """What of these fields the scope looks at."""
    scope, tenant, issuer, user, *rest = fields
    match scope:
        case CacheScope.PUBLIC:
            return scope, *rest
        case CacheScope.TENANT:
            return scope, tenant, *rest
        case CacheScope.USER:
            return scope, tenant, issuer, user, *rest


@given(_fields, _fields)
@settings(max_examples=examples(500))
def test_keys_are_equal_only_where_all_that_is_meant_is(one: Fields, other: Fields) -> None:
    assert (key_from(one) == key_from(other)) == (meant(one) == meant(other))
    assert (key_digest(key_from(one)) == key_digest(key_from(other))) == (meant(one) == meant(other))


@given(st.text("ab\0", max_size=8), st.lists(st.integers(0, 8), min_size=2, max_size=2))
def test_a_word_cut_elsewhere_is_another_key(text: str, cuts: list[int]) -> None:
    """The same characters in a row, parted between host and target in two ways."""
    keys = [canonical_key(b"", "https", text[:cut], text[cut:]) for cut in cuts]
    assert (keys[0] == keys[1]) == (text[: cuts[0]] == text[: cuts[1]])


def test_nothing_is_stored_for_nobody() -> None:
    for scope in (CacheScope.TENANT, CacheScope.USER):
        with pytest.raises(ValueError, match="no owner"):
            owner_prefix(scope, None, "issuer", "user", "route")
    with pytest.raises(ValueError, match="no owner"):
        owner_prefix(CacheScope.USER, "acme", "issuer", None, "route")
    assert owner_prefix(CacheScope.PUBLIC, "acme", "i", "u", "r") == owner_prefix(
        CacheScope.PUBLIC, None, "", None, "r"
    )


def test_a_key_in_redis_is_22_plain_characters() -> None:
    digest = key_digest(b"\0{}\r\n")
    assert len(digest) == 22
    assert digest.replace(b"-", b"a").replace(b"_", b"a").isalnum()


# --- what purges name ---

_tenants = st.tuples(HOSTILE, HOSTILE)


def all_purges(partition: Partition, host: str, target: str, tag: bytes) -> set[int]:
    purges = [purge_of_all(partition), purge_of_tag(partition, tag)]
    for where in (host, ANY_HOST):
        purges += [purge_of_url(partition, where, target), purge_of_prefix(partition, where, target)]
    return set(itertools.chain(*purges))


@given(_tenants, HOSTILE, HOSTILE, st.lists(st.binary(max_size=4), max_size=4), HOSTILE, HOSTILE, st.binary(max_size=4))
@settings(max_examples=examples(300))
def test_no_purge_of_a_tenant_names_anything_of_another(
    tenants: tuple[str, str],
    host: str,
    target: str,
    tags: list[bytes],
    purged_host: str,
    purged_target: str,
    purged_tag: bytes,
) -> None:
    one, other = tenants
    theirs = {*tags_of(of_tenant(other), host, target, tags), *tags_of(PUBLIC, host, target, tags)}
    for purged in ((host, target, tags[0] if tags else b""), (purged_host, purged_target, purged_tag)):
        if one != other:
            assert theirs.isdisjoint(all_purges(of_tenant(one), *purged))
        assert all_purges(PUBLIC, *purged).isdisjoint(tags_of(of_tenant(one), host, target, tags))


@given(HOSTILE, HOSTILE, HOSTILE, st.lists(st.binary(max_size=4), max_size=4))
@settings(max_examples=examples(200))
def test_each_purge_of_what_an_answer_is_names_it(tenant: str, host: str, target: str, tags: list[bytes]) -> None:
    for partition in (of_tenant(tenant), PUBLIC):
        named = set(tags_of(partition, host, target, tags))
        for within in (partition, EVERYWHERE):
            assert named.issuperset(purge_of_all(within))
            for where in (host, ANY_HOST):
                assert named.issuperset(purge_of_url(within, where, target))
                assert named.issuperset(purge_of_prefix(within, where, target))
                assert named.issuperset(purge_of_prefix(within, where, "/"))
            for tag in tags:
                assert not named.isdisjoint(purge_of_tag(within, tag))


@pytest.mark.parametrize(
    ("prefix", "target", "named"),
    [
        ("/", "/api/reports?x=/y", True),
        ("/api", "/api", True),
        ("/api", "/api?x", True),
        ("/api", "/api/", True),
        ("/api/", "/api", True),
        ("/api", "/api/reports/1", True),
        ("/api/reports", "/api/reports/1", True),
        ("/api/reports", "/api;v=1/%72eports;x", True),
        ("/api/%72eports", "/api/reports", True),
        ("/api/a%2fb", "/api/a%2Fb/c", True),
        ("/api/a", "/api/a%2Fb", False),
        ("/api", "/apis", False),
        ("/api/reports", "/api", False),
        ("/api/reports", "/api?/reports", False),
        ("/reports", "/api/reports", False),
    ],
)
def test_a_prefix_is_whole_segments(prefix: str, target: str, named: bool) -> None:
    tags = tags_of(of_tenant("acme"), "example.com", target, ())
    for host in ("example.com", ANY_HOST):
        (digest,) = purge_of_prefix(of_tenant("acme"), host, prefix)
        assert (digest in tags) == named
    (elsewhere,) = purge_of_prefix(of_tenant("acme"), "example.org", prefix)
    assert elsewhere not in tags


def test_a_prefix_that_is_too_deep_names_more() -> None:
    deep = "/s" * (MAX_PREFIXES + 5)
    tags = tags_of(PUBLIC, "h", deep + "/leaf", ())
    assert set(purge_of_prefix(PUBLIC, "h", deep)) <= set(tags)
    assert len(tags) == 2 * (1 + 2 * (1 + 1 + MAX_PREFIXES))


@given(st.text("a\0\x01/", max_size=4), st.text("a\0\x01/", max_size=4), *[st.text("a\0\x01/", max_size=4)] * 2)
@settings(max_examples=examples(300))
def test_one_url_is_not_another(host: str, target: str, other_host: str, other: str) -> None:
    """However the same characters are parted between host and target."""
    named = purge_of_url(PUBLIC, host, target) == purge_of_url(PUBLIC, other_host, other)
    assert named == ((host, target) == (other_host, other))


@pytest.mark.parametrize(
    ("host", "other", "same"),
    [
        ("app.test", "app.test:80", True),
        ("app.test:443", "app.test", True),
        ("[::1]", "[::1]:443", True),
        ("app.test", "app.test:8080", False),
        ("app.test:80", "app.test:8080", False),
        (ANY_HOST, ":80", False),
        ("[::1:80]", "[::1]", False),
    ],
)
def test_a_schemes_own_port_makes_no_other_host(host: str, other: str, same: bool) -> None:
    """A write whose Host says it changes what others are told without it (RFC 3986 §6.2.3)."""
    tags = tags_of(PUBLIC, host, "/a/b", ())
    for (digest,) in (purge_of_url(PUBLIC, other, "/a/b"), purge_of_prefix(PUBLIC, other, "/a")):
        assert (digest in tags) is same


@pytest.mark.parametrize("cut", range(5))
def test_a_url_cut_elsewhere_is_another(cut: int) -> None:
    parted = [purge_of_url(PUBLIC, "aaaaa"[:each], "aaaaa"[each:]) for each in range(6)]
    assert parted.count(parted[cut]) == 1


def test_a_content_is_named_for_as_long_as_it_is_the_same() -> None:
    """By its entity tag, else by its body; of one variant under one key."""
    one = purge_of_content(b"key", (("accept", "=a"),), b'"e"', b"body")
    assert one == purge_of_content(b"key", (("accept", "=a"),), b'"e"', b"another")
    by_body = purge_of_content(b"key", (), b"", b"body")
    assert by_body == purge_of_content(b"key", (), b"", b"body")
    large = b"x" * 200_000
    others = [
        by_body,
        purge_of_content(b"other", (("accept", "=a"),), b'"e"', b"body"),
        purge_of_content(b"key", (("accept", "=b"),), b'"e"', b"body"),
        purge_of_content(b"key", (("accept", ""), ("=a", "")), b'"e"', b"body"),
        purge_of_content(b"key", (("accept", "=a"),), b'"f"', b"body"),
        purge_of_content(b"key", (), b"", b"bodY"),
        purge_of_content(b"key", (), b"", b""),
        *(
            purge_of_content(b"key", (), b"", each)
            for each in (large, large + b"x", b"y" + large[1:], large[1:] + b"y")
        ),
    ]
    assert len({one, *others}) == 1 + len(others)


def test_one_url_is_not_another_with_a_query() -> None:
    (purged,) = purge_of_url(PUBLIC, "h", "/a")
    assert purged in tags_of(PUBLIC, "h", "/a", ())
    assert purged not in tags_of(PUBLIC, "h", "/a?x", ())
    assert purged not in tags_of(PUBLIC, "h", "/a/", ())
    assert purged in tags_of(PUBLIC, "h", "/%61", ())


def test_of_too_many_tags_each_purge_names_all() -> None:
    many = [b"%d" % number for number in range(MAX_APP_TAGS + 1)]
    tags = tags_of(of_tenant("acme"), "h", "/", many)
    assert len(tags) < MAX_APP_TAGS
    for tag in (*many, b"none of them"):
        assert not set(tags).isdisjoint(purge_of_tag(of_tenant("acme"), tag))
        assert set(tags).isdisjoint(purge_of_tag(of_tenant("other"), tag))
    few = tags_of(of_tenant("acme"), "h", "/", many[:-1])
    assert set(few).isdisjoint(purge_of_tag(of_tenant("acme"), b"none of them"))


@pytest.mark.parametrize(
    ("headers", "tags"),
    [
        ([], ()),
        ([(b"Cache-Tag", b"a, b ,,c d,")], (b"a", b"b", b"c d")),
        ([(b"Surrogate-Key", b" a  b,c\td ")], (b"a", b"b,c", b"d")),
        ([(b"CACHE-TAG", b"a"), (b"surrogate-key", b"b a"), (b"cache-tag", b"c")], (b"a", b"b", b"c")),
        ([(b"X-Cache-Tag", b"a")], ()),
        ([(b"Cache-Tag", b"A,a,\xff")], (b"A", b"a", b"\xff")),
    ],
)
def test_tags_of_the_app(headers: list[tuple[bytes, bytes]], tags: tuple[bytes, ...]) -> None:
    assert app_tags(headers) == tags
