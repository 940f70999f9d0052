"""Upstreams as written become places that requests can be sent to."""

import pytest

from proxy.policy.compiler import compile_text
from proxy.policy.model import HostMode, Origin


@pytest.fixture
def upstream():
    def compiled(written: str):
        text = (
            f"version: 1\nupstreams: {{app: {{{written}}}}}\n"
            "routes: [{name: app, match: {}, upstream: app, auth: none}]\n"
        )
        return compile_text(text, "config.yaml", {"KEY": "sk-hush"}).policy.upstreams["app"]

    return compiled


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("primary: ['http://a']", HostMode.PRESERVE),
        ("primary: ['https://a']", HostMode.UPSTREAM),
        ("primary: ['http://a'], host: upstream", HostMode.UPSTREAM),
        ("primary: ['https://a'], host: preserve", HostMode.PRESERVE),
    ],
)
def test_an_app_sees_the_clients_host_a_provider_its_own(upstream, written, host):
    """Unless it is said."""
    assert upstream(written).host is host


def test_several_urls_keep_their_order(upstream):
    """Each with its own port and path."""
    assert upstream("primary: ['http://a:1/x', 'http://b:2']").primary == (
        Origin("http", "a", 1, "/x"),
        Origin("http", "b", 2),
    )


def test_fields_are_set_as_written_and_not_shown(upstream):
    """They hold providers' keys."""
    compiled = upstream("primary: ['https://a'], headers: {Authorization: 'Bearer ${KEY}'}")
    assert compiled.headers == (("Authorization", "Bearer sk-hush"),)
    assert "hush" not in repr(compiled)


def test_connections_are_bounded_and_let_go_before_the_app_does(upstream):
    """Node closes an idle connection after 5 s: a request sent at that moment would be lost."""
    compiled = upstream("primary: ['http://a']")
    assert (compiled.max_connections, compiled.keepalive_ms) == (256, 4_000)
