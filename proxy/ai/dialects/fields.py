"""Which of a client's fields a provider is sent. Data.

A list of what may go, not of what may not: what an app's proxies, logins and browsers put into a request (addresses,
assertions of identity, cookies, referrers, traces) has names without number, and none of them is a provider's business.
What the gateway adds itself (Host, the framing, Via, X-Request-ID) and what the policy sets for the upstream
(``upstreams.NAME.headers``) is not asked here.
"""

from typing import Final

_ANY: Final = frozenset(
    {
        b"accept",
        b"accept-encoding",  # of free calls; a priced one's answer is asked for as it is
        b"content-encoding",
        b"content-type",
        b"idempotency-key",  # so that a client's retry is known to the provider
        b"user-agent",  # names a library, and providers' support asks for it
        # What says something of the body's bytes goes on with them (RFC 9530, RFC 9421).
        b"content-digest",
        b"content-md5",
        b"digest",
        b"repr-digest",
        b"signature",
        b"signature-input",
        # Ids that clients choose for providers' support.
        b"x-client-request-id",
        b"x-ms-client-request-id",
        # Google's, by name: X-Goog-FieldMask would choose which members an answer has, those of its usage too.
        b"x-goog-api-client",
        b"x-goog-user-project",
    }
)
PREFIXES: Final = (
    b"anthropic-",  # version, betas
    b"openai-",  # organisation, project, betas
    b"x-stainless-",  # how the clients of several providers describe themselves
)
_CREDENTIALS: Final[dict[str, frozenset[bytes]]] = {
    "openai": frozenset({b"authorization"}),
    "azure": frozenset({b"authorization", b"api-key"}),
    "anthropic": frozenset({b"authorization", b"x-api-key"}),
    "gemini": frozenset({b"authorization", b"x-goog-api-key"}),
    "groq": frozenset({b"authorization"}),
    "mistral": frozenset({b"authorization"}),
}
"""Where a provider looks for its key."""


def sent(dialect: str, *, own_credential: bool) -> frozenset[bytes]:
    """Lower-case names that go on, beside all that begin as ``PREFIXES``. ``own_credential``: callers bring the
    provider's key themselves, since nothing of ours is asked of them."""
    return _ANY | _CREDENTIALS[dialect] if own_credential else _ANY


def reaches_provider(name: str) -> bool:
    """Whether a field of this lower-case name goes on where callers are identified."""
    return name.encode("utf-8", "surrogateescape") in _ANY or name.encode("utf-8", "surrogateescape").startswith(
        PREFIXES
    )
