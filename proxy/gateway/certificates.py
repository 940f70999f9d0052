"""When the certificates of those that we connect to end: https upstreams, and a Redis over TLS. Lives in the parent.

A certificate is read and not judged, so that one which has ended already, or is from an authority that we do not know,
is told as well; nothing is sent over the connection. Workers, which do send, verify.
"""

import asyncio
import math
import ssl
from collections.abc import Callable
from typing import Final

from cryptography.x509 import load_der_x509_certificate

from proxy.core.storeurl import Topology, parse_store_url
from proxy.policy.model import Policy
from proxy.telemetry.metrics import CERTIFICATE_EXPIRY, Metrics

LOOK_S: Final = 3_600.0
AGAIN_S: Final = 60.0  # at a peer that did not answer
NEW_S: Final = 1.0  # how soon a peer that a reload brought is asked
ANSWER_S: Final = 5.0

Peer = tuple[str, str, str, int]  # (upstream or redis, its name, host, port)


def peers_of(policy: Policy) -> set[Peer]:
    """Whose certificates a policy depends on. Sentinels name nodes that may change: those are not asked. Pure."""
    peers: set[Peer] = {
        ("upstream", name, origin.host, origin.port)
        for name, upstream in policy.upstreams.items()
        for origin in upstream.primary
        if origin.scheme == "https"
    }
    for name, url in (("meters", policy.redis.meters), ("cache", policy.caches.url)):
        if url is None or url == "embedded":
            continue
        store = parse_store_url(url)
        if store.tls and store.topology is not Topology.SENTINEL:
            peers |= {("redis", name, host, port) for host, port in store.hosts}
    return peers


async def expiry_s(host: str, port: int) -> float | None:
    """Seconds since 1970; None: the peer does not answer, or shows nothing that can be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(ANSWER_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
            shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            writer.transport.abort()  # a farewell would be waited for, and there is nothing to lose
        return load_der_x509_certificate(shown).not_valid_after_utc.timestamp()
    except (OSError, TimeoutError, ValueError, TypeError):
        return None


async def watch_certificates(policy: Callable[[], Policy], metrics: Metrics) -> None:
    """Looks until it is cancelled: every hour, and at once at peers that a reload has brought."""
    loop = asyncio.get_running_loop()
    due: dict[Peer, float] = {}
    while True:
        named = peers_of(policy())
        for gone in due.keys() - named:
            del due[gone]
            metrics.set(CERTIFICATE_EXPIRY, math.nan, *_labels(gone))
        for peer in sorted(named):
            if due.get(peer, 0.0) <= loop.time():
                found = await expiry_s(peer[2], peer[3])
                due[peer] = loop.time() + (AGAIN_S if found is None else LOOK_S)
                if found is not None:
                    metrics.set(CERTIFICATE_EXPIRY, found, *_labels(peer))
        await asyncio.sleep(NEW_S)


def _labels(peer: Peer) -> tuple[str, str, str]:
    kind, name, host, port = peer
    return kind, name, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
