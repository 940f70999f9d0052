"""When certificates end is told whether they are good or not, and forgotten with the peer."""

import asyncio
import datetime
import math
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proxy.gateway.certificates import expiry_s, peers_of, watch_certificates
from proxy.policy.model import Policy
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader
from tests.e2e.gateway import reached
from tests.gateway.lives import POLICY, TEXT, policy_of


def certificate(folder: Path, ends: datetime.datetime) -> ssl.SSLContext:
    """A server's, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peer")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends - datetime.timedelta(days=90))
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    file = folder / "peer.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def quiet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def behind(port: int) -> Policy:
    return policy_of(TEXT.replace("http://127.0.0.1:1", f"https://127.0.0.1:{port}"))


@contextmanager
def watching(policies: list[Policy], metrics: Metrics) -> Iterator[None]:
    task = asyncio.create_task(watch_certificates(lambda: policies[0], metrics))
    try:
        yield
    finally:
        task.cancel()


@pytest.mark.parametrize("days", [-3, 40], ids=["ended", "in_force"])
async def test_the_end_is_read_from_what_the_peer_shows(tmp_path: Path, days: int) -> None:
    """To the second, of a certificate that nobody vouches for, and of one that has ended already."""
    ends = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=days)
    async with await asyncio.start_server(quiet, "127.0.0.1", 0, ssl=certificate(tmp_path, ends)) as server:
        assert await expiry_s("127.0.0.1", server.sockets[0].getsockname()[1]) == ends.timestamp()


async def test_a_peer_that_speaks_no_tls_or_is_not_there_has_none() -> None:
    async with await asyncio.start_server(quiet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await expiry_s("127.0.0.1", port) is None
    assert await expiry_s("127.0.0.1", port) is None


async def test_a_peer_that_a_reload_takes_away_has_no_number_any_more(tmp_path: Path) -> None:
    """Else an alert on a certificate that nobody needs would never end."""
    ends = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=9)
    files = SheetFiles.make()
    metrics, reader = Metrics(Sheet(files)), SheetReader(files)

    def value(port: int) -> float | None:
        series = ("sluicegate_certificate_expiry_timestamp_seconds", ("upstream", "app", f"127.0.0.1:{port}"))
        return dict(reader.series()).get(series)

    async with await asyncio.start_server(quiet, "127.0.0.1", 0, ssl=certificate(tmp_path, ends)) as server:
        port = server.sockets[0].getsockname()[1]
        policies = [behind(port)]
        with watching(policies, metrics):
            await reached(lambda: value(port) == ends.timestamp())
            policies[0] = POLICY
            await reached(lambda: math.isnan(value(port) or 0.0))


def test_peers_are_https_upstreams_and_redis_over_tls() -> None:
    """A Sentinel set's nodes may change at any time: they are not asked."""
    redis = replace(POLICY.redis, meters="rediss://r1.example:6380/0")
    caches = replace(POLICY.caches, url="rediss+cluster://c1.example,c2.example:7000")
    policy = replace(behind(8443), redis=redis, caches=caches)
    assert peers_of(policy) == {
        ("upstream", "app", "127.0.0.1", 8443),
        ("redis", "meters", "r1.example", 6380),
        ("redis", "cache", "c1.example", 6379),
        ("redis", "cache", "c2.example", 7000),
    }
    sentinels = replace(POLICY.redis, meters="rediss+sentinel://s1.example/main")
    assert peers_of(replace(POLICY, redis=sentinels)) == set()
