"""From the upstreams as written to compiled ones. Pure."""

from collections.abc import Callable
from typing import Final

from proxy.core.headers import HOP_BY_HOP
from proxy.policy import schema
from proxy.policy.findings import Findings
from proxy.policy.model import HostMode, Upstream
from proxy.policy.problems import KeyPath
from proxy.policy.routes import BUILT_IN_TIMEOUTS, merged_timeouts

# A message's framing and its way are the gateway's; Host has a key of its own.
_OWN_FIELDS: Final = frozenset(name.decode() for name in HOP_BY_HOP | {b"content-length", b"host"})


def compile_upstreams(
    config: schema.Config, resolved: Callable[[KeyPath, str], str], findings: Findings
) -> dict[str, Upstream]:
    """By name; ``resolved`` makes absolute the name of a file that stands at a path."""
    out = {}
    for name, written in config.upstreams.items():
        path: KeyPath = ("upstreams", name)
        findings.check_name(path, name)
        if not written.primary:
            findings.error((*path, "primary"), "names no URL")
            continue
        _check_headers(path, written, findings)
        encrypted = any(origin.scheme == "https" for origin in written.primary)
        if written.ca_file is not None and not encrypted:
            findings.error((*path, "ca_file"), "no URL here is https: it would not be used", (*path, "primary"))
        out[name] = Upstream(
            name=name,
            primary=tuple(written.primary),
            timeouts=merged_timeouts(BUILT_IN_TIMEOUTS, config.defaults.timeouts, written.timeouts),
            # An app of one's own wants the name that its users typed; a provider on https answers only to its own.
            host=written.host or (HostMode.UPSTREAM if encrypted else HostMode.PRESERVE),
            headers=tuple(written.headers.items()),
            max_connections=written.max_connections,
            keepalive_ms=written.keepalive,
            ca_file=resolved((*path, "ca_file"), written.ca_file) if written.ca_file and encrypted else None,
        )
    return out


def _check_headers(path: KeyPath, written: schema.Upstream, findings: Findings) -> None:
    seen: set[str] = set()
    for field in written.headers:
        name = field.lower()
        if name in _OWN_FIELDS:
            own = "; say host: preserve or upstream" if name == "host" else ""
            findings.error((*path, "headers", field), f"the field {field!r} is the gateway's own{own}")
        if name in seen:
            findings.error((*path, "headers", field), f"the field {field!r} is there twice")
        seen.add(name)
