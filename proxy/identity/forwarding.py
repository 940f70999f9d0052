"""What the upstream is told of the caller, and what a client may never tell it itself (conformance 48). Pure."""

from typing import Final

from proxy.core.identity import Identity
from proxy.policy import model

STRIPPED_PREFIX: Final = b"sluicegate-"  # every field of this family, whatever follows
_OWN: Final = tuple(b"sluicegate-" + name for name in (b"tenant", b"user", b"tier", b"feature", b"cost-centre"))


def _telling(policy: model.Identity) -> list[tuple[str, str]]:
    """The fields that speak of identity, each with the attribute of an ``Identity`` that it tells."""
    forward = policy.forward
    telling = [(forward.tenant, "tenant"), (forward.user, "user"), (forward.tier, "tier")]
    if policy.tenant_header != forward.tenant.lower():
        telling.append((policy.tenant_header, "tenant"))
    return [(name, what) for name, what in telling if name]


def stripped_fields(policy: model.Identity) -> frozenset[bytes]:
    """Lower-case names of the fields that speak of identity: taken from every request before ours are added.

    Twins with underscores are in it too: upstreams that read fields as CGI variables cannot tell them apart.
    """
    return _with_twins({name.lower().encode() for name, _ in _telling(policy)} | set(_OWN))


def differing_fields(policy: model.Identity, same: frozenset[str]) -> frozenset[bytes]:
    """Lower-case names of those of ``forwarded_fields`` that may differ between callers who have the attributes
    ``same`` in common: no field of a request shows by what. Twins are in it too."""
    return _with_twins({name.lower().encode() for name, what in _telling(policy) if what not in same})


def _with_twins(names: set[bytes]) -> frozenset[bytes]:
    return frozenset(names | {name.replace(b"-", b"_") for name in names})


def forwarded_fields(policy: model.Identity, identity: Identity) -> list[tuple[bytes, bytes]]:
    """The fields that tell the upstream who calls. What is not known is not sent; values are UTF-8."""
    told = [(name, getattr(identity, what)) for name, what in _telling(policy)]
    return [(name.encode(), value.encode()) for name, value in told if value is not None]
