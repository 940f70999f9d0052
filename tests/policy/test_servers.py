"""The gateway's own listeners, as written and as compiled."""

from ipaddress import ip_network

import pytest

from proxy.policy.model import Ambiguous
from proxy.policy.problems import PolicyError


def test_every_key_of_listen(policy):
    """In bytes, milliseconds and networks."""
    listen = policy(
        "listen:\n"
        "  {address: '[::]:80', workers: 3, trusted_proxies: [10.0.0.0/8, '::1'], max_uri: 1KiB, max_header: 2KiB,\n"
        "   max_fields: 20, max_connections: 30, header_timeout: 1s, body_min_rate: 0B, body_grace: 2s,\n"
        "   keepalive: 0s, drain: 1m, double_slash: keep, encoded_slash: keep}\n"
    ).listen
    assert str(listen.address) == "[::]:80"
    assert listen.workers == 3
    assert listen.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert (listen.max_uri, listen.max_header, listen.max_fields, listen.max_connections) == (1024, 2048, 20, 30)
    assert (listen.header_timeout_ms, listen.body_min_rate, listen.body_grace_ms) == (1_000, 0, 2_000)
    assert (listen.keepalive_ms, listen.drain_ms) == (0, 60_000)
    assert listen.double_slash is listen.encoded_slash is Ambiguous.KEEP


def test_listeners_may_all_let_the_kernel_choose(policy):
    """Port 0 is never taken already."""
    compiled = policy(
        "listen: {address: '127.0.0.1:0'}\nmetrics: {address: '127.0.0.1:0'}\nadmin: {address: '127.0.0.1:0'}\n"
    )
    assert compiled.metrics == compiled.listen.address


def test_an_admin_token_makes_any_address_fit(loaded):
    """Without one, whoever can reach it may read: a warning, unless it is loopback."""
    assert loaded("admin: {address: '0.0.0.0:9901', token: 0123456789abcdef}\n").warnings == ()
    assert loaded("admin: {address: '127.0.0.1:9901'}\n").warnings == ()
    assert loaded("admin: {address: 'localhost:9901'}\n").warnings == ()
    assert len(loaded("admin: {address: 'gateway:9901'}\n").warnings) == 1


def test_metrics_name_the_tenants_that_are_listed_and_no_others(policy, loaded):
    """None unless the policy says so; never so many that counting them would cost more than it tells."""
    assert policy().counted_tenants == frozenset()
    assert policy("metrics: off\n").counted_tenants == frozenset()
    assert policy("metrics: {tenants: [acme, globex]}\n").counted_tenants == {"acme", "globex"}
    with pytest.raises(PolicyError, match="lists 1001 tenants; at most 1000 count"):
        loaded(f"metrics: {{tenants: [{', '.join(f't{n}' for n in range(1001))}]}}\n")


def test_maintenance(policy):
    """Off, or for all but some."""
    assert policy("maintenance: off\n").maintenance is None
    maintenance = policy("maintenance: {retry_after: 90s, allow_ips: [192.0.2.7]}\n").maintenance
    assert maintenance.retry_after_ms == 90_000
    assert maintenance.allow == (ip_network("192.0.2.7"),)


def test_ip_rules(policy):
    """IPv4 and IPv6."""
    rules = policy("ip: {deny: [192.0.2.0/24], allow: ['2001:db8::/32']}\n").ip
    assert rules.deny == (ip_network("192.0.2.0/24"),)
    assert rules.allow == (ip_network("2001:db8::/32"),)
