"""Each channel of a policy becomes one that sends."""

import ssl
from dataclasses import replace

import pytest
from aiohttp import ClientSession

from proxy.alerts.channels.mail import Mail
from proxy.alerts.channels.registry import open_channels
from proxy.alerts.channels.sentry import Sentry
from proxy.alerts.channels.slack import Slack
from proxy.alerts.channels.webhook import Webhook
from proxy.core.clock import SystemClock
from proxy.policy.spending import Channel, ChannelKind
from tests.alerts.samples import MAIL, OPS


def test_every_kind_is_there(session: ClientSession, tls: ssl.SSLContext) -> None:
    policy = [
        OPS,
        Channel("slack-1", ChannelKind.SLACK, "https://hooks.slack.com/services/T0/B0/x"),
        MAIL,
        Channel("sentry-1", ChannelKind.SENTRY, "https://public@sentry.example.com/1"),
    ]
    opened = open_channels(policy, session, SystemClock(), tls)
    assert [type(channel) for channel in opened] == [Webhook, Slack, Mail, Sentry]
    assert [channel.name for channel in opened] == [channel.name for channel in policy]
    assert {channel.kind for channel in policy} == set(ChannelKind)


def test_a_channel_that_cannot_be_one_is_said(session: ClientSession, tls: ssl.SSLContext) -> None:
    with pytest.raises(ValueError, match="the channel 'mail' needs"):
        open_channels([replace(MAIL, url="https://mail.example.com")], session, SystemClock(), tls)
