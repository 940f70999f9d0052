"""From the sections on the gateway's own listeners to compiled ones. Pure."""

from typing import Final

from proxy.policy import schema
from proxy.policy.findings import Findings
from proxy.policy.model import OTHER_TENANTS, Admin, Listen, Maintenance
from proxy.policy.words import is_loopback

_SHORTEST_TOKEN: Final = 16
_MOST_COUNTED: Final = 1000  # tenants: each has a series for each outcome, in each worker's counts


def compile_listen(written: schema.Listen) -> Listen:
    return Listen(
        address=written.address,
        workers=written.workers,
        trusted_proxies=tuple(written.trusted_proxies),
        max_uri=written.max_uri,
        max_header=written.max_header,
        max_fields=written.max_fields,
        max_connections=written.max_connections,
        header_timeout_ms=written.header_timeout,
        body_min_rate=written.body_min_rate,
        body_grace_ms=written.body_grace,
        keepalive_ms=written.keepalive,
        drain_ms=written.drain,
        double_slash=written.double_slash,
        encoded_slash=written.encoded_slash,
    )


def compile_admin(config: schema.Config, findings: Findings) -> Admin | None:
    """The admin listener; no two listeners may have one address."""
    _check_addresses(config, findings)
    admin = config.admin
    if admin is None:
        return None
    if admin.token and len(admin.token) < _SHORTEST_TOKEN:
        findings.error(("admin", "token"), f"is shorter than {_SHORTEST_TOKEN} characters")
    if not admin.token and not is_loopback(admin.address.host):
        findings.warn(
            ("admin",), f"without a token, all who reach {admin.address} may read; give it one, or use loopback"
        )
    return Admin(admin.address, admin.token)


def compile_counted_tenants(written: schema.Metrics | None, findings: Findings) -> frozenset[str]:
    """The tenants that metrics name. Every series costs room, here and at whoever scrapes."""
    names = written.tenants if written is not None else []
    if len(names) > _MOST_COUNTED:
        findings.error(("metrics", "tenants"), f"lists {len(names)} tenants; at most {_MOST_COUNTED} count by name")
    for index, name in enumerate(names):
        if name == OTHER_TENANTS:
            findings.error(("metrics", "tenants", index), f"{name!r} is what all that are not listed are called")
    return frozenset(names)


def compile_maintenance(written: schema.Maintenance | None) -> Maintenance | None:
    return Maintenance(written.retry_after, tuple(written.allow_ips)) if written else None


def _check_addresses(config: schema.Config, findings: Findings) -> None:
    seen = {config.listen.address: "listen"} if findings.sure(("listen", "address")) else {}
    for name, section in (("metrics", config.metrics), ("admin", config.admin)):
        if section is None:
            continue
        if section.address.port and section.address in seen:
            message = f"{name} and {seen[section.address]} cannot both listen on {section.address}"
            findings.error((name, "address"), message)
        if findings.sure((name, "address")):
            seen[section.address] = name
