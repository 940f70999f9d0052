"""From the alerts as written to compiled ones: thresholds in order, and ways to tell somebody that can work. Pure."""

import re
from collections import Counter
from typing import Final

from proxy.policy import money, schema
from proxy.policy.findings import Findings
from proxy.policy.problems import KeyPath
from proxy.policy.servicerules import compile_service
from proxy.policy.spending import Alerts, Channel, ChannelKind, Level, Unusual

_KINDS: Final = tuple(kind.value for kind in ChannelKind)
_SHORTEST_SECRET: Final = 16


def compile_alerts(config: schema.Config, findings: Findings) -> Alerts:
    written = config.alerts
    _check_reach(config, findings)
    unusual = written.unusual
    channels, named = _channels(config, findings)
    return Alerts(
        at=_thresholds(written.at, findings),
        channels=channels,
        contacts={tenant: tuple(one.contacts) for tenant, one in config.tenants.items() if one.contacts},
        forecast=written.forecast,
        unusual=None if unusual is None else Unusual(unusual.factor, unusual.at_least),
        service=compile_service(config, named, findings),
    )


def _thresholds(written: dict[str, Level], findings: Findings) -> tuple[tuple[int, Level], ...]:
    path: KeyPath = ("alerts", "at")
    if not written:
        findings.error(path, "names no percent; leave the key out for 80%, 95% and 100%", path)
    out: dict[int, Level] = {}
    for spelled, level in written.items():
        if not re.fullmatch(r"[1-9][0-9]?%|100%", spelled):
            findings.error((*path, spelled), f"{spelled!r} is not a whole percent from 1% to 100%")
            continue
        out[int(spelled.removesuffix("%"))] = level
    return tuple(sorted(out.items()))


def _channels(config: schema.Config, findings: Findings) -> tuple[tuple[Channel, ...], dict[str, money.Channel]]:
    """Those with somewhere to go: an address that is empty, as a variable's default may be, is no channel. And all, as
    written, by their names."""
    out = []
    numbers: Counter[ChannelKind] = Counter()
    named: dict[str, money.Channel] = {}
    for n, written in enumerate(config.alerts.to):
        path: KeyPath = ("alerts", "to", n)
        kinds = [kind for kind in ChannelKind if getattr(written, kind) not in (None, False)]
        if len(kinds) != 1:
            many = "is one of slack, webhook, email and sentry"
            message = many if kinds else "names no slack, webhook, email or sentry"
            findings.error(path, message, *((*path, kind) for kind in _KINDS))
            continue
        (kind,) = kinds
        numbers[kind] += 1
        name = written.name or f"{kind}-{numbers[kind]}"
        findings.check_name((*path, "name"), name)
        if name in named:
            findings.error((*path, "name"), f"the channel {name!r} is there twice")
        named[name] = written
        channel = _channel(path, name, kind, written, config, findings)
        if channel.url:
            out.append(channel)
    return tuple(out), named


def _channel(
    path: KeyPath, name: str, kind: ChannelKind, written: money.Channel, config: schema.Config, findings: Findings
) -> Channel:
    for key, owner in (("secret", ChannelKind.WEBHOOK), ("to", ChannelKind.EMAIL)):
        if key in written.model_fields_set and kind is not owner:
            findings.error((*path, key), f"is for {owner}")
    if kind is ChannelKind.WEBHOOK and 0 < len(written.secret) < _SHORTEST_SECRET:
        findings.error((*path, "secret"), f"is shorter than {_SHORTEST_SECRET} characters")
    findings.check_filled(path, written, {"scopes": "all budgets"})
    server = written.email
    match kind:
        case ChannelKind.EMAIL:
            assert server is not None
            url = server.smtp
            if not written.to:
                findings.error(path, "names nobody in `to`", (*path, "to"))
            if bool(server.user) != bool(server.password):
                findings.error((*path, "email"), "takes both user and password, or neither", (*path, "email"))
        case ChannelKind.SENTRY:
            url = config.sentry.dsn if config.sentry is not None else ""
            if config.sentry is None:
                findings.error(path, "needs sentry: {dsn: …} at the top of the file", ("sentry",))
        case ChannelKind.SLACK | ChannelKind.WEBHOOK:
            url = getattr(written, kind)
    return Channel(
        name=name,
        kind=kind,
        url=url,
        secret=written.secret,
        user=server.user if server else "",
        password=server.password if server else "",
        sender=server.sender if server else "",
        to=tuple(dict.fromkeys(written.to)),
        scopes=frozenset(written.scopes),
    )


def _check_reach(config: schema.Config, findings: Findings) -> None:
    """Contacts are told by e-mail, where a channel says so."""
    if any("tenant" in channel.to for channel in config.alerts.to) or not findings.wholly_sure(("alerts", "to")):
        return
    for tenant, written in config.tenants.items():
        if written.contacts:
            message = "no channel of alerts.to writes to them; add `tenant` to an e-mail's `to`"
            findings.warn(("tenants", tenant, "contacts"), message)
