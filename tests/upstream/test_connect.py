"""Opening a connection: refusals, deadlines, names, certificates."""

import asyncio
import datetime
import os
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proxy.core.errors import GatewayError, Reason
from proxy.policy.model import Origin, Timeouts
from proxy.upstream.connect import tls_context
from tests.upstream.conftest import OK, Gate, Peer, StartOrigin, answering

QUICK = Timeouts(connect_ms=200, first_byte_ms=5000, idle_ms=5000)


@dataclass(frozen=True)
class Certificates:
    """A CA, and server contexts with certificates that it signed for some names."""

    ca_file: Path
    folder: Path
    key: ec.EllipticCurvePrivateKey
    ca: x509.Certificate

    def server(self, *names: str, days: int = 1) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(self.ca.subject, self.key, key.public_key(), "server", names, days=days)
        path = self.folder / f"{len(list(self.folder.iterdir()))}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def _certificate(
    issuer: x509.Name | None,
    signer: ec.EllipticCurvePrivateKey,
    public: ec.EllipticCurvePublicKey,
    name: str,
    names: tuple[str, ...],
    *,
    days: int = 1,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if names:
        alternatives = [x509.IPAddress(ip_address(n)) if n[0].isdigit() else x509.DNSName(n) for n in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(signer, hashes.SHA256())


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate(None, key, key.public_key(), "test CA", ())
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    folder = tmp_path / "servers"
    folder.mkdir()
    return Certificates(ca_file, folder, key, ca)


@pytest.fixture
async def full() -> AsyncIterator[Origin]:
    """An origin whose backlog is full: a connect neither succeeds nor fails."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        queued = []
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            queued.append(client)
        yield Origin("http", "127.0.0.1", port)
        for client in queued:
            client.close()


async def reason_of(gate: Gate) -> tuple[Reason, int]:
    with pytest.raises(GatewayError) as caught:
        await asyncio.wait_for(gate.send(), 3)
    return caught.value.reason, caught.value.status


async def test_61_a_refused_connect_is_502(gate: Gate, origin: StartOrigin) -> None:
    started = await origin(answering(OK))
    await started.stop()
    await gate.use(started.model)
    assert await reason_of(gate) == (Reason.UPSTREAM_REFUSED, 502)
    assert gate.attempt.failed_connects == 1


async def test_61_a_name_that_cannot_exist_is_502(gate: Gate) -> None:
    await gate.use(Origin("http", "no..host", 80))
    assert await reason_of(gate) == (Reason.UPSTREAM_REFUSED, 502)


async def test_61_a_connect_that_takes_too_long_is_504(gate: Gate, full: Origin) -> None:
    await gate.use(full, timeouts=QUICK)
    assert await reason_of(gate) == (Reason.UPSTREAM_TIMEOUT, 504)


async def test_names_are_looked_up(gate: Gate, origin: StartOrigin) -> None:
    started = await origin(answering(OK))
    await gate.use(replace(started.model, host="localhost"))
    assert await gate.get() == (200, b"ok")


@pytest.mark.parametrize(("host", "names"), [("localhost", ("localhost",)), ("127.0.0.1", ("127.0.0.1",))])
async def test_tls_with_a_certificate_of_our_ca(
    gate: Gate, origin: StartOrigin, certificates: Certificates, host: str, names: tuple[str, ...]
) -> None:
    started = await origin(answering(OK), ssl=certificates.server(*names))
    await gate.use(Origin("https", host, started.port), ca_file=str(certificates.ca_file))
    assert await gate.get() == (200, b"ok")
    assert await gate.get() == (200, b"ok")
    assert len(started.peers) == 1


@pytest.mark.parametrize("case", ["other name", "expired", "unknown CA"])
async def test_61_an_untrusted_certificate_is_502(
    gate: Gate, origin: StartOrigin, certificates: Certificates, case: str
) -> None:
    name = "other.example" if case == "other name" else "localhost"
    context = certificates.server(name, days=-1 if case == "expired" else 1)
    started = await origin(answering(OK), ssl=context)
    ca_file = None if case == "unknown CA" else str(certificates.ca_file)
    await gate.use(Origin("https", "localhost", started.port), ca_file=ca_file)
    assert await reason_of(gate) == (Reason.UPSTREAM_TLS, 502)


async def test_61_an_upstream_that_speaks_no_tls_is_502(gate: Gate, origin: StartOrigin) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    started = await origin(script)
    await gate.use(Origin("https", "localhost", started.port))
    assert await reason_of(gate) == (Reason.UPSTREAM_TLS, 502)


@pytest.mark.parametrize("orderly", [True, False])
async def test_64_tls_that_is_cut_does_not_complete_a_body(
    gate: Gate, origin: StartOrigin, certificates: Certificates, orderly: bool
) -> None:
    """Without TLS's own farewell, anyone on the way could have cut a body that has no length."""
    heard = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await heard.wait()
        if orderly:
            peer.close()
        else:
            end = peer.writer.get_extra_info("socket")
            with socket.socket(fileno=os.dup(end.fileno())) as direct:
                direct.shutdown(socket.SHUT_WR)
        await peer.wait_gone()

    started = await origin(script, ssl=certificates.server("localhost"))
    await gate.use(Origin("https", "localhost", started.port), ca_file=str(certificates.ca_file))
    response = await gate.send()
    assert await response.read() == b"hello"
    heard.set()
    if orderly:
        assert await response.read() == b""
    else:
        with pytest.raises(GatewayError, match="upstream_reset"):
            await response.read()


async def test_61_a_tls_handshake_has_the_connect_deadline(gate: Gate, origin: StartOrigin) -> None:
    async def script(peer: Peer) -> None:
        await asyncio.Event().wait()

    started = await origin(script)
    await gate.use(Origin("https", "localhost", started.port), timeouts=QUICK)
    assert await reason_of(gate) == (Reason.UPSTREAM_TIMEOUT, 504)


def test_the_context_verifies_and_speaks_http_1_1(certificates: Certificates) -> None:
    context = tls_context(str(certificates.ca_file))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_a_ca_file_that_cannot_be_read_changes_nothing(gate: Gate, origin: StartOrigin, tmp_path: Path) -> None:
    started = await origin(answering(OK))
    good = await gate.use(started.model)
    with pytest.raises(OSError, match=r"missing\.pem"):
        await gate.use(Origin("https", "localhost", 1), ca_file=str(tmp_path / "missing.pem"))
    gate.upstream = good
    assert await gate.get() == (200, b"ok")
