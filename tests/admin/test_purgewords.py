"""What ops ask to be purged: what is refused, and that what is named is what stored answers are tagged with."""

from pathlib import Path
from typing import Any

import pytest

from proxy.admin.purgewords import MOST_TAGS, WordError, digests, place_of, read
from proxy.cache.digests import PUBLIC, Partition, of_tenant, tags_of
from proxy.policy.compiler import load
from proxy.policy.model import Policy
from tests.e2e.policies import policy

ACME, OTHER = of_tenant("acme"), of_tenant("other")
ROUTES = """
routes:
  - {name: reports, match: {path: "/reports/**"}, upstream: app, cache: {ignore_query: ["utm_*"]}}
  - {name: pages, match: {path: "/reports/pages/{id}"}, upstream: app, cache: {only_query: [page]}}
  - {name: app, match: {path: "/**"}, upstream: app}
"""


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    config = tmp_path_factory.mktemp("policy") / "config.yaml"
    config.write_text(policy(9, ROUTES))
    return load(Path(config), {}).policy


def names(rules: Policy, words: dict[str, Any], partition: Partition, host: str, target: str, *tags: bytes) -> bool:
    """Whether this purge names that answer."""
    return not set(digests(read(words), rules)).isdisjoint(tags_of(partition, host, target, tags))


@pytest.mark.parametrize(
    ("words", "partition", "host", "target", "named"),
    [
        ({"url": "/reports/1"}, ACME, "a.test", "/reports/1", True),
        ({"url": "/reports/1"}, PUBLIC, "b.test:81", "/reports/1", True),
        ({"url": "/reports/1"}, ACME, "a.test", "/reports/1?x", False),
        ({"url": "/reports/%7E1"}, ACME, "a.test", "/reports/~1", True),
        ({"url": "https://A.test/reports/1"}, ACME, "a.test", "/reports/1", True),
        ({"url": "https://a.test:443/reports/1"}, ACME, "a.test", "/reports/1", True),
        ({"url": "https://a.test/reports/1"}, ACME, "a.test:443", "/reports/1", True),
        ({"url": "https://a.test/reports/1"}, ACME, "b.test", "/reports/1", False),
        ({"url": "http://a.test:81/reports/1"}, ACME, "a.test", "/reports/1", False),
        ({"url": "http://a.test"}, ACME, "a.test", "/", True),
        ({"url": "/reports/1", "host": "A.test"}, ACME, "a.test", "/reports/1", True),
        ({"url": "/reports/1", "host": "b.test"}, ACME, "a.test", "/reports/1", False),
        ({"url": "/reports/1", "within": "acme"}, ACME, "a.test", "/reports/1", True),
        ({"url": "/reports/1", "within": "acme"}, OTHER, "a.test", "/reports/1", False),
        ({"url": "/reports/1", "within": "acme"}, PUBLIC, "a.test", "/reports/1", False),
        ({"url": "/reports/1", "public": True}, PUBLIC, "a.test", "/reports/1", True),
        ({"url": "/reports/1", "public": True}, ACME, "a.test", "/reports/1", False),
        ({"prefix": "/reports"}, ACME, "a.test", "/reports/1/2?x", True),
        ({"prefix": "/reports/"}, ACME, "a.test", "/reports?x", True),
        ({"prefix": "/rep"}, ACME, "a.test", "/reports", False),
        ({"prefix": "http://a.test/reports"}, ACME, "b.test", "/reports", False),
        ({"tenant": "acme"}, ACME, "a.test", "/", True),
        ({"tenant": "acme"}, OTHER, "a.test", "/", False),
        ({"tenant": "acme"}, PUBLIC, "a.test", "/", False),
        ({"all": True}, ACME, "a.test", "/", True),
        ({"all": True}, PUBLIC, "a.test", "/", True),
        ({"all": True, "public": True}, PUBLIC, "a.test", "/", True),
        ({"all": True, "public": True}, ACME, "a.test", "/", False),
    ],
)
def test_what_a_purge_names(
    rules: Policy, words: dict[str, Any], partition: Partition, host: str, target: str, named: bool
) -> None:
    assert names(rules, words, partition, host, target) is named


def test_tags_name_what_the_app_tagged(rules: Policy) -> None:
    words = {"tags": ["report-1", " größe "], "within": "acme"}
    assert names(rules, words, ACME, "a.test", "/x", b"report-1", b"other")
    assert names(rules, words, ACME, "a.test", "/x", "größe".encode())
    assert not names(rules, words, ACME, "a.test", "/x", b"other")
    assert not names(rules, words, OTHER, "a.test", "/x", b"report-1")


def test_a_url_is_named_as_each_route_that_takes_it_has_it_in_its_keys(rules: Policy) -> None:
    words = {"url": "/reports/pages/7?utm_source=mail&page=2&q=x"}
    for stored in ("/reports/pages/7?page=2&q=x", "/reports/pages/7?page=2", words["url"]):
        assert names(rules, words, ACME, "a.test", stored)
    assert not names(rules, words, ACME, "a.test", "/reports/pages/7")
    # A route that does not take the path has no say.
    assert not names(rules, {"url": "/reports/7?page=2&q=x"}, ACME, "a.test", "/reports/7?page=2")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({}, "url: say exactly one of url, prefix, tags, tenant, all"),
        ({"url": "/a", "tags": ["b"]}, "tags: say exactly one of"),
        ({"urls": ["/a"]}, "urls: there is no such field"),
        ({"url": 7}, "url: write text"),
        ({"url": ""}, "url: write text"),
        ({"url": "reports"}, "url: write the whole URL"),
        ({"url": "ftp://a.test/x"}, "url: write the whole URL"),
        ({"url": "http://[::1/x"}, "url: this is no URL"),
        ({"url": "http://a.test:99999/x"}, "url: this is no URL"),
        ({"url": "http://user@a.test/x"}, "url: write the host as clients send it"),
        ({"url": "/a#b"}, "url: what follows a # is never sent"),
        ({"url": "/größe"}, "url: write it as clients send it"),
        ({"url": "/\ud800"}, "url: this is not UTF-8"),
        ({"url": "http://a.test/x", "host": "b.test"}, "host: the url names its host already"),
        ({"url": "/x", "host": "b test"}, "host: write the host as clients send it"),
        ({"prefix": "/a?b"}, "prefix: a prefix is of paths"),
        ({"prefix": "/a/*"}, "prefix: all below a path is meant without a star"),
        ({"tags": "a"}, "tags: write a list of text"),
        ({"tags": []}, "tags: write a list of text"),
        ({"tags": [1]}, "tags: write a list of text"),
        ({"tags": ["\t"]}, "tags: write a list of text, none of it empty"),
        ({"tags": ["a"] * (MOST_TAGS + 1)}, "tags: these are more than 1000"),
        ({"tags": ["a"], "host": "b.test"}, "host: only a URL or a prefix has one"),
        ({"tenant": ""}, "tenant: write text"),
        ({"tenant": "a", "within": "b"}, "within: a tenant is all that is purged here"),
        ({"tenant": "a", "public": True}, "public: a tenant is all that is purged here"),
        ({"all": False}, "all: write true"),
        ({"all": 1}, "all: write true"),
        ({"all": True, "within": None}, "within: write text"),
        ({"all": True, "public": "yes"}, "public: write true or false"),
        ({"all": True, "public": True, "within": "a"}, "public: what is public is no tenant's"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_the_name_of_its_field(words: dict[str, Any], told: str) -> None:
    with pytest.raises(WordError) as refused:
        read(words)
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"url": "https://a.test/x", "within": "acme"}, "the URL /x on a.test of tenant acme"),
        ({"prefix": "/x", "public": True}, "/x and all below it of the public answers"),
        ({"tags": ["a"]}, "the tag a"),
        ({"tags": list("abcdefg")}, "the tags a, b, c, d, e and 2 more"),
        ({"tenant": "acme"}, "everything of tenant acme"),
        ({"all": True}, "everything"),
    ],
)
def test_what_is_wanted_is_told_back_in_plain_words(words: dict[str, Any], told: str) -> None:
    assert str(read(words)) == told


def test_a_url_is_taken_apart_as_clients_send_it() -> None:
    assert place_of("HTTPS://App.Test:443/a?b=c%20") == ("https", "app.test", "/a?b=c%20")
    assert place_of("http://[::1]:81?x") == ("http", "[::1]:81", "/?x")
