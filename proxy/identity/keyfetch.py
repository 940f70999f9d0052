"""Reading a key set from where it is: at most 5 s and 256 KiB, no redirects, https or loopback only."""

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import aiohttp
from yarl import URL

from proxy.identity.keys import BadKey
from proxy.identity.keyschedule import MIN_LIFE_MS, life_ms

MAX_BYTES: Final = 256 * 1024
TIMEOUT_S: Final = 5.0


class FetchFailed(Exception):
    """A key set could not be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Loaded:
    raw: bytes
    life_ms: int


def checked_url(text: str) -> URL:
    """A URL that keys may come from: https, or http to this machine. Raises: BadKey."""
    try:
        url = URL(text)
    except ValueError as error:
        raise BadKey("the key set's URL is not a URL") from error
    if not url.host or url.scheme not in ("http", "https"):
        raise BadKey("the key set's URL must begin with https://")
    if url.scheme == "http" and not _is_loopback(url.host):
        raise BadKey("the key set's URL must be https: over http anybody on the way could sign in")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_file(path: Path) -> Loaded:
    """A key set from a file. Raises: FetchFailed."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FetchFailed(error.strerror or "it cannot be read") from error
    if len(raw) > MAX_BYTES:
        raise FetchFailed(f"it is larger than {MAX_BYTES} bytes")
    return Loaded(raw, MIN_LIFE_MS)


def new_session() -> aiohttp.ClientSession:
    """The client that key sets are fetched with. It keeps no cookies."""
    # Nothing is inflated: what a small answer grows to cannot be bounded before it has grown.
    return aiohttp.ClientSession(
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        headers={"Accept": "application/json, application/jwk-set+json", "Accept-Encoding": "identity"},
    )


async def fetch(session: aiohttp.ClientSession, url: URL) -> Loaded:
    """A key set by its URL. Raises: FetchFailed."""
    try:
        async with session.get(url, allow_redirects=False) as response:
            if response.status != 200:
                raise FetchFailed(f"status {response.status}")
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise FetchFailed("it is compressed, though that was not asked for")
            raw = bytearray()
            async for chunk in response.content.iter_any():
                raw += chunk
                if len(raw) > MAX_BYTES:
                    raise FetchFailed(f"it is larger than {MAX_BYTES} bytes")
            return Loaded(bytes(raw), life_ms(response.headers.get("Cache-Control", "")))
    except TimeoutError as error:
        raise FetchFailed(f"no answer within {TIMEOUT_S:g} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise FetchFailed(type(error).__name__) from error
