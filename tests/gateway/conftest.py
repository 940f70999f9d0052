"""Exchanges for tests of single decisions: parsed by the real parser, on a connection that only remembers."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.http import HttpRequestParser
from blockbuster import BlockBuster

from proxy.gateway.exchange import Exchange
from proxy.policy.compiler import compile_text
from proxy.policy.model import Policy
from tests.e2e.origin import Origin, running_origin


@dataclass
class RememberingConnection:
    """What an exchange needs of its connection; ``sent`` is what the client would have got."""

    peer: str = "127.0.0.1"
    draining: bool = False
    oversized: bool = False
    max_field_size: int = 16_384
    transport: Any = None
    sent: bytes = b""
    cuts: list[bool] = field(default_factory=list)

    def send(self, data: bytes) -> None:
        self.sent += data

    def cut(self, *, visibly: bool) -> None:
        self.cuts.append(visibly)


class _Protocol:
    """The parser's protocol: never paused."""

    def pause_reading(self) -> None: ...
    def resume_reading(self, resume_parser: bool = True) -> None: ...


def exchange_of(request: bytes) -> Exchange:
    """The exchange of one request as it came."""
    parser = HttpRequestParser(_Protocol(), SimpleNamespace(), 2**16, auto_decompress=False)
    messages, _, _ = parser.feed_data(request)
    message, payload = messages[0]
    return Exchange(RememberingConnection(), message, payload, 0.0)


POLICY = """
version: 1
tiers: [gold, trial, anonymous]
identity:
  issuers: [{issuer: t, secrets: ["ssssssssssssssssssssssssssssssss"]}]
  claims: {tenant: tenant, user: sub, tier: tier}
  unknown_tier: trial
  keys: {server: {sha256: "%s", tenant: acme}}
upstreams:
  app: {primary: ["http://127.0.0.1:1"], headers: {Authorization: provider-key}}
limits:
  per-user: {scope: user, rate: {gold: 100/1m, default: 2/1m}}
  in-flight: {scope: user, concurrent: 1}
ip: {deny: [203.0.113.0/24]}
routes:
  - {name: strip, match: {path: /_ai/**}, upstream: app, auth: optional, rewrite: {strip: /_ai}}
  - {name: get, match: {path: /only-get, methods: [GET]}, upstream: app, auth: optional, max_body: 10B}
  - {name: app, match: {path: /api/**}, upstream: app, auth: optional, limits: [per-user, in-flight]}
"""


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with running_origin() as origin:
        yield origin


@pytest.fixture
def policy() -> Policy:
    return compile_text(POLICY % hashlib.sha256(b"sk-slg-test").hexdigest(), "test.yaml", {}).policy


@pytest.fixture(autouse=True)
def no_blocking_calls_but(no_blocking_calls: BlockBuster) -> None:
    """To look into a running gateway's ledger and Redis is what a command does, in a process of its own."""
    for function in no_blocking_calls.functions.values():
        function.can_block_in("tests/e2e/books.py", {"compare"})
