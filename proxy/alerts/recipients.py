"""Who hears of an alert: which channels, and which addresses of those that have several. Pure.

An address that comes from a caller's claims is a stranger's word: it is taken only if it is one plain address.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from proxy.alerts.incident import Post
from proxy.core.usage import Spender
from proxy.policy.model import ScopeKind
from proxy.policy.spending import Alerts, Channel, ChannelKind

_CLAIM: Final = "claim:"
_TENANT: Final = "tenant"
_MOST: Final = 254  # RFC 5321 §4.5.3.1.3
# Dot-atoms only (RFC 5321 §4.1.2): quoted local parts and address literals are nobody's in this world.
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")


def posts(alerts: Alerts, kinds: Collection[ScopeKind], spender: Spender) -> tuple[Post, ...]:
    """Each once. ``kinds``: the scopes of the budget that it is about."""
    found: dict[Post, None] = {}
    for channel in alerts.channels:
        if channel.scopes and channel.scopes.isdisjoint(kinds):
            continue
        for recipient in _recipients(channel, alerts.contacts, spender):
            found[channel.name, recipient] = None
    return tuple(found)


def service_posts(alerts: Alerts) -> tuple[Post, ...]:
    """As ``posts``, of what is told of the service: to the channels that it names, and to nobody whom a budget would
    name."""
    named = alerts.service.to if alerts.service is not None else ()
    channels = (channel for channel in alerts.channels if channel.name in named)
    found = ((channel.name, one) for channel in channels for one in _recipients(channel, {}, Spender()))
    return tuple(dict.fromkeys(found))


def _recipients(channel: Channel, contacts: Mapping[str, tuple[str, ...]], spender: Spender) -> Iterable[str]:
    if channel.kind is not ChannelKind.EMAIL:
        return ("",)
    claims = dict(spender.notify)
    addresses: list[str] = []
    for to in channel.to:
        if to.startswith(_CLAIM):
            claimed = claims.get(to.removeprefix(_CLAIM), "")
            addresses += [claimed] if len(claimed) <= _MOST and _ADDRESS.fullmatch(claimed) else []
        elif to == _TENANT:
            addresses += contacts.get(spender.tenant or "", ())
        else:
            addresses.append(to)
    return addresses
