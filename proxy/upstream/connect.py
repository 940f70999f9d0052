"""Opens connections: names, TLS with verification, one deadline for all; the libraries' errors become ours here."""

import asyncio
import ssl

from proxy.core.errors import GatewayError, Reason
from proxy.policy.model import Origin
from proxy.upstream.connection import Connection, Owner


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Verifies the certificate and its name; TLS 1.2 and later; HTTP/1.1 alone. ``ca_file`` None: the system's.

    Reads files: not to be called on the loop. Raises: OSError (ssl.SSLError too) when the file can't be used.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


async def open_connection(origin: Origin, tls: ssl.SSLContext | None, connect_ms: int, owner: Owner) -> Connection:
    """A fresh connection; ``connect_ms`` covers the look-up of the name, the addresses one by one, and TLS.

    Raises: GatewayError UPSTREAM_TIMEOUT, UPSTREAM_TLS, UPSTREAM_REFUSED (name and route errors too). Nothing has been
    sent by then, so another origin may be tried.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(connect_ms / 1000):
            _, connection = await loop.create_connection(
                lambda: Connection(owner, loop),
                origin.host,
                origin.port,
                ssl=tls,
                server_hostname=origin.host if tls is not None else None,
            )
    except TimeoutError as error:
        raise GatewayError(Reason.UPSTREAM_TIMEOUT) from error
    except ssl.SSLError as error:
        raise GatewayError(Reason.UPSTREAM_TLS) from error
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that is no name
        raise GatewayError(Reason.UPSTREAM_REFUSED) from error
    return connection
