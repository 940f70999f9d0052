"""What the upstream is told of the caller, and what a client may never tell it itself (conformance 48). Pure."""

from typing import Final

from proxy.core.identity import Identity
from proxy.policy import model

STRIPPED_PREFIX: Final = b"sluicegate-"  # every field of this family, whatever follows
_OWN: Final = tuple(b"sluicegate-" + name for name in (b"tenant", b"user", b"tier", b"feature", b"cost-centre"))


def stripped_fields(policy: model.Identity) -> frozenset[bytes]:
    """Lower-case names of the fields that speak of identity: taken from every request before ours are added.

    Twins with underscores are in it too: upstreams that read fields as CGI variables cannot tell them apart.
    """
    forward = policy.forward
    named = (forward.tenant, forward.user, forward.tier, policy.tenant_header)
    names = {name.lower().encode() for name in named if name} | set(_OWN)
    return frozenset(names | {name.replace(b"-", b"_") for name in names})


def forwarded_fields(policy: model.Identity, identity: Identity) -> list[tuple[bytes, bytes]]:
    """The fields that tell the upstream who calls. What is not known is not sent; values are UTF-8."""
    forward = policy.forward
    told = [(forward.tenant, identity.tenant), (forward.user, identity.user), (forward.tier, identity.tier)]
    if policy.tenant_header != forward.tenant.lower():
        told.append((policy.tenant_header, identity.tenant))
    return [(name.encode(), value.encode()) for name, value in told if name and value is not None]
