"""The channels that a policy names, ready to send."""

import ssl
from collections.abc import Iterable

from aiohttp import ClientSession

from proxy.alerts.channels.mail import Mail
from proxy.alerts.channels.sentry import Sentry
from proxy.alerts.channels.slack import Slack
from proxy.alerts.channels.webhook import Webhook
from proxy.alerts.dispatcher import Channel
from proxy.core.clock import Clock
from proxy.policy import spending
from proxy.policy.spending import ChannelKind


def open_channels(
    channels: Iterable[spending.Channel],
    session: ClientSession,
    clock: Clock,
    tls: ssl.SSLContext,
) -> tuple[Channel, ...]:
    """``session`` stays the caller's; ``tls`` is what mail servers' certificates are checked with.

    Raises: ValueError for a channel that cannot be one.
    """
    return tuple(_open(channel, session, clock, tls) for channel in channels)


def _open(channel: spending.Channel, session: ClientSession, clock: Clock, tls: ssl.SSLContext) -> Channel:
    match channel.kind:
        case ChannelKind.WEBHOOK:
            return Webhook(channel.name, channel.url, channel.secret, session, clock)
        case ChannelKind.SLACK:
            return Slack(channel.name, channel.url, session)
        case ChannelKind.SENTRY:
            return Sentry(channel.name, channel.url, session, clock)
        case ChannelKind.EMAIL:
            return Mail(channel.name, channel.url, channel.sender, channel.user, channel.password, tls)
