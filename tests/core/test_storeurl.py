"""What store URLs mean, and that none tells its password."""

import pytest

from proxy.core.storeurl import StoreUrlError, Topology, parse_store_url


@pytest.mark.parametrize(
    ("text", "topology", "hosts", "db"),
    [
        ("redis://h", Topology.STANDALONE, (("h", 6379),), 0),
        ("redis://:p%40ss@h:1234/5", Topology.STANDALONE, (("h", 1234),), 5),
        ("rediss://[::1]:7000", Topology.STANDALONE, (("::1", 7000),), 0),
        ("redis://[::1]", Topology.STANDALONE, (("::1", 6379),), 0),
        ("unix:///run/redis.sock?db=2", Topology.UNIX, (), 2),
        ("redis+sentinel://a,b:26380/mymaster/3", Topology.SENTINEL, (("a", 26379), ("b", 26380)), 3),
        ("redis+cluster://a:1,b:2,c:3", Topology.CLUSTER, (("a", 1), ("b", 2), ("c", 3)), 0),
    ],
)
def test_a_url_says_where(text: str, topology: Topology, hosts: tuple[tuple[str, int], ...], db: int) -> None:
    url = parse_store_url(text)
    assert (url.topology, url.hosts, url.db) == (topology, hosts, db)


def test_credentials_are_unquoted_and_never_shown() -> None:
    url = parse_store_url("rediss+sentinel://ann:s%2Fcret@a/m?sentinel_password=other")
    assert (url.username, url.password, url.sentinel_password, url.tls) == ("ann", "s/cret", "other", True)
    assert "cret" not in f"{url}{url!r}"
    assert "other" not in f"{url}{url!r}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://h", "begins with one of"),
        ("redis://:hush@h:port", "not host or host:port"),
        ("redis://h:99999", "not host or host:port"),
        ("redis://:hush@a,b", "several hosts"),
        ("redis://h/one", "database is a number"),
        ("redis://h/1/2", "database's number"),
        ("redis+sentinel://:hush@a", "name of its set"),
        ("redis+cluster://a/1", "no databases"),
        ("unix://", "names a socket"),
        ("unix://run/redis.sock", "names a socket"),
        ("redis://:hush@h?timeout=1", "no option 'timeout'"),
        ("redis://h?timeout", "no option 'timeout'"),
        ("redis://:a?hush=1@h", "password is written as"),
        ("redis://:a/hush@h", "password is written as"),
        ("redis://:a#hush@h", "password is written as"),
        ("redis://:hush@[::1", "not host or host:port"),
        ("redis://:hush\u2100@h", "not host or host:port"),
        ("redis://h/\u00b2", "database is a number"),
        ("redis://h:\u00b2", "not host or host:port"),
    ],
)
def test_a_wrong_url_says_what_would_be_right(text: str, message: str) -> None:
    with pytest.raises(StoreUrlError, match=message) as told:
        parse_store_url(text)
    assert "hush" not in str(told.value)
