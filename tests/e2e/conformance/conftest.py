"""One gateway and one scripted origin for the whole list, and how a case is put to them over raw sockets."""

import hashlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.gateway import Gateway, running
from tests.e2e.origin import Origin, running_origin

KEY = "sgk_conformance-machine-client-key"

POLICY = """
version: 1
listen:
  address: 127.0.0.1:0
  workers: 1
  trusted_proxies: [127.0.0.2/32]
  max_uri: 4KiB
  max_header: 8KiB
  max_fields: 50
{listen}
metrics: {{address: "127.0.0.1:0"}}
admin: {{address: "127.0.0.1:0"}}
redis: {{meters: embedded, timeout: 5s}}
data_dir: {data_dir}
identity:
  issuers: [{{issuer: test-issuer, secrets: ["ssssssssssssssssssssssssssssssss"], tenants: any}}]
  claims: {{tenant: app_metadata.company_id, tier: app_metadata.subscription_tier}}
  keys:
    machine: {{sha256: {key_hash}, tenant: acme, user: machine, tier: growth_team}}
  attempts_per_minute: 1000000
tiers: [growth_team, anonymous]
upstreams:
  app: {{primary: ["http://127.0.0.1:{port}"], timeouts: {{connect: 2s, first_byte: 20s, idle: 20s}}}}
  named: {{primary: ["http://127.0.0.1:{port}"], host: upstream}}
  gone: {{primary: ["http://127.0.0.1:{closed_port}"]}}
  secure: {{primary: ["https://127.0.0.1:{plain_port}"]}}
  narrow: {{primary: ["http://127.0.0.1:{port}"], max_connections: 1, timeouts: {{connect: 200ms}}}}
limits:
  plenty: {{scope: ip, rate: 1_000_000/1m}}
  one: {{scope: user, rate: 1/1h}}
  alone: {{scope: global, concurrent: 1}}
cors: {{origins: ["https://app.example.com"], credentials: true}}
defaults: {{auth: none, limits: [plenty], max_body: 1MiB}}
routes:
  - {{name: private, match: {{path: "/private/**"}}, upstream: app, auth: required}}
  - {{name: once, match: {{path: "/once/**"}}, upstream: app, auth: required, limits: [one]}}
  - {{name: alone, match: {{path: "/alone/**"}}, upstream: app, limits: [alone]}}
  - {{name: small, match: {{path: "/small/**"}}, upstream: app, max_body: 10B}}
  - {{name: large, match: {{path: "/large/**"}}, upstream: app, max_body: 1GiB}}
  - {{name: posts, match: {{path: /posts, methods: [POST, PUT]}}, upstream: app}}
  - {{name: batch, match: {{path: /graphql, methods: [POST, GET]}}, upstream: app, weight: {{batch: graphql}}}}
  - {{name: closed, match: {{path: "/closed/**"}}, upstream: gone}}
  - {{name: secure, match: {{path: "/secure/**"}}, upstream: secure}}
  - {{name: narrow, match: {{path: "/narrow/**"}}, upstream: narrow}}
  - {{name: impatient, match: {{path: "/impatient/**"}}, upstream: app, timeouts: {{first_byte: 150ms, idle: 150ms}}}}
  - {{name: own-name, match: {{path: "/own-name/**"}}, upstream: named}}
  - {{name: other-host, match: {{path: "/hosted/**", hosts: [other.test]}}, upstream: app}}
  - {{name: nowhere, match: {{path: "/hosted/**", hosts: [never.test]}}, upstream: app}}
  - {{name: app, match: {{path: "/app/**"}}, upstream: app}}
"""


def closed_port() -> int:
    """A port on which nobody listens: the kernel gave it out a moment ago and has it back."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def gateway_for(origin: Origin, listen: str = "", more: str = "") -> Iterator[Gateway]:
    """A gateway by the list's policy. ``listen``: further lines of that section; ``more``: further sections."""
    with (
        plain_server() as plain_port,
        tempfile.TemporaryDirectory(prefix="sg-data-") as data_dir,
        running(policy(origin, plain_port, data_dir, listen, more)) as gateway,
    ):
        yield gateway


@contextmanager
def plain_server() -> Iterator[int]:
    """The port of a server that answers a TLS hello as web servers do that speak no TLS."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def policy(origin: Origin, plain_port: int, data_dir: str, listen: str, more: str) -> str:
    text = POLICY.format(
        listen=listen,
        data_dir=data_dir,
        port=origin.port,
        closed_port=closed_port(),
        plain_port=plain_port,
        key_hash=hashlib.sha256(KEY.encode()).hexdigest(),
    )
    return text + more


@pytest.fixture(scope="session")
def session_origin() -> Iterator[Origin]:
    with running_origin() as origin:
        yield origin


@pytest.fixture(scope="session")
def session_gateway(session_origin: Origin) -> Iterator[Gateway]:
    with gateway_for(session_origin) as gateway:
        yield gateway
        assert not [event for event in gateway.events if event["level"] in ("error", "critical")], gateway.events


@pytest.fixture
def origin(session_origin: Origin) -> Origin:
    """The origin with a clean sheet."""
    session_origin.answers.clear()
    session_origin.seen.clear()
    session_origin.reads_body = True
    return session_origin


@pytest.fixture
def gateway(session_gateway: Gateway, origin: Origin) -> Gateway:
    return session_gateway
