"""What of a request may be told outside: of a query its names, and no text that has the form of a secret. Pure."""

import re
from typing import Final

FILTERED: Final = "[Filtered]"  # as Sentry's own clients say it

# What is a secret by its form, wherever it stands: tokens, keys with a maker's prefix, credentials in a URL, addresses.
_FORMS: Final = re.compile(
    r"eyJ[A-Za-z0-9_-]{4,}[A-Za-z0-9_.-]*"
    r"|(?i:bearer|basic|token|apikey)\s+[A-Za-z0-9+/=._~-]{8,}"
    r"|\b(?:sk|pk|rk|xox[a-z]|ghp|gho|sg|sb|key)[-_][A-Za-z0-9_-]{8,}"
    r"|\bAKIA[A-Z0-9]{12,}|\bAIza[A-Za-z0-9_-]{20,}"
    r"|(?<=://)[^\s/@]+@"
    r"|[\w.+-]+@[\w-]+\.[\w.-]+"
    r"|(?i:password|passwd|secret|cookie|authorization|api[_-]?key)\s*[=:]\s*\S+"
)


def scrubbed(text: str) -> str:
    """The text without what is a secret by its form."""
    return _FORMS.sub(FILTERED, text)


def query_names(query: str) -> str:
    """A query whose values are gone; names too long or odd to be names go with them."""
    names = [name for name, equals, _ in (part.partition("=") for part in query.split("&")[:50]) if equals]
    kept = [name for name in names if re.fullmatch(r"[A-Za-z][A-Za-z_.-]{0,23}", name)]
    return "&".join(f"{name}={FILTERED}" for name in kept)
