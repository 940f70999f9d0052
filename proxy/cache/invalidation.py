"""What a request that may have changed something makes invalid (RFC 9111 §4.4). Pure, never raises."""

from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from proxy.core.headers import RawHeaders, get_all

# Those that change nothing (RFC 9110 §9.2.1 and the registry); any other may have, also one that nobody knows.
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY", "PRI"})

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def invalidated(method: str, status: int, origin: str, target: str, headers: RawHeaders) -> tuple[str, ...]:
    """Targets in origin form whose stored answers are no longer valid: its own first, each once.

    ``origin`` is scheme and authority as the client named them, ``target`` what it asked for. Location and
    Content-Location count where they are of the same origin: another one's answers are not this one's to throw away.
    A failed request invalidates nothing.
    """
    if method in SAFE_METHODS or not 200 <= status < 400:
        return ()
    targets = {target: None}
    for name in (b"location", b"content-location"):
        for value in get_all(headers, name):
            other = _same_origin(origin, target, value)
            if other is not None:
                targets[other] = None
    return tuple(targets)


def names_itself(origin: str, target: str, headers: RawHeaders) -> bool:
    """Whether Content-Location says that the answer is what a GET for this target would give (RFC 9110 §8.7)."""
    lines = get_all(headers, b"content-location")
    return len(lines) == 1 and _same_origin(origin, target, lines[0]) == target


def _same_origin(origin: str, target: str, reference: bytes) -> str | None:
    """The reference's target in origin form; None where it belongs to another origin, or is no reference at all."""
    try:
        own = urlsplit(origin)
        other = urlsplit(urljoin(origin + target, reference.strip(b" \t").decode("latin-1")))
        if _identity(own) != _identity(other):
            return None
    except (ValueError, KeyError):
        return None
    return (other.path or "/") + ("?" + other.query if other.query else "")


def _identity(parts: SplitResult) -> tuple[str, str, int]:
    """Raises: KeyError for a scheme that is not HTTP's, ValueError for a port that is none."""
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _DEFAULT_PORTS[parts.scheme]
