"""Who is told of what, and when."""

from collections.abc import Callable
from fractions import Fraction

from proxy.core.units import NANOS
from proxy.policy.model import Policy, ScopeKind
from proxy.policy.spending import Alerts, Channel, ChannelKind, Level, Unusual

Compiled = Callable[..., Policy]


def test_nothing_said_is_three_thresholds_and_nobody_to_tell(policy: Compiled) -> None:
    """As the compiled form has them by itself: a policy without the section and one made by hand agree."""
    assert policy("").alerts == policy("alerts: {}\n").alerts == Alerts()


def test_thresholds_are_in_order(policy: Compiled) -> None:
    """However they are written."""
    alerts = policy("alerts: {at: {100%: critical, 5%: warning, 50%: critical}}\n").alerts
    assert alerts.at == ((5, Level.WARNING), (50, Level.CRITICAL), (100, Level.CRITICAL))


def test_each_kind_of_channel(policy: Compiled) -> None:
    """A name of its own, or its kind's and a number among its kind."""
    channels = policy(
        "sentry: {dsn: 'https://abc@sentry.example.com/42'}\n"
        "alerts:\n"
        "  to:\n"
        "    - {slack: 'https://hooks.slack.com/services/X', scopes: [global, tenant]}\n"
        "    - {name: pager, webhook: 'https://ops.example.com/hook', secret: 0123456789abcdef}\n"
        "    - {slack: 'http://127.0.0.1:9000/'}\n"
        "    - email: {smtp: smtps://mail.example.com, user: gate, password: hush, from: gate@example.com}\n"
        "      to: [finance@example.com, 'claim:email', tenant, tenant]\n"
        "    - sentry\n"
        "    - {sentry: true, scopes: [claim]}\n"
    ).alerts.channels
    assert channels == (
        Channel(
            "slack-1",
            ChannelKind.SLACK,
            "https://hooks.slack.com/services/X",
            scopes=frozenset({ScopeKind.GLOBAL, ScopeKind.TENANT}),
        ),
        Channel("pager", ChannelKind.WEBHOOK, "https://ops.example.com/hook", secret="0123456789abcdef"),
        Channel("slack-2", ChannelKind.SLACK, "http://127.0.0.1:9000/"),
        Channel(
            "email-1",
            ChannelKind.EMAIL,
            "smtps://mail.example.com:465",
            user="gate",
            password="hush",
            sender="gate@example.com",
            to=("finance@example.com", "claim:email", "tenant"),
        ),
        Channel("sentry-1", ChannelKind.SENTRY, "https://abc@sentry.example.com/42"),
        Channel(
            "sentry-2",
            ChannelKind.SENTRY,
            "https://abc@sentry.example.com/42",
            scopes=frozenset({ScopeKind.CLAIM}),
        ),
    )
    assert "hush" not in repr(channels)


def test_an_empty_address_is_no_channel(policy: Compiled) -> None:
    """What a variable's default leaves; the others keep their names."""
    channels = policy(
        "sentry: {dsn: '${DSN:-}'}\n"
        "alerts: {to: [{slack: '${SLACK:-}'}, {slack: 'https://a'}, sentry, {webhook: '${HOOK:-}', secret: '${S:-}'},"
        " {email: {smtp: '${SMTP:-}', user: '${U:-}', from: a@b}, to: [c@d]}]}\n"
    ).alerts.channels
    assert [channel.name for channel in channels] == ["slack-2"]


def test_forecast_and_what_is_unusual(policy: Compiled) -> None:
    alerts = policy("alerts: {forecast: true, unusual: {factor: 2.5, at_least: $10}}\n").alerts
    assert alerts.forecast
    assert alerts.unusual == Unusual(Fraction(5, 2), 10 * NANOS)
    assert policy("alerts: {unusual: {}}\n").alerts.unusual == Unusual(Fraction(3), 5 * NANOS)


def test_tenants_have_contacts(policy: Compiled) -> None:
    """Whether they have exceptions or not."""
    alerts = policy(
        "tenants: {acme: {contacts: [a@acme.example, b@acme.example]}, beta: {}}\n"
        "alerts: {to: [{email: {smtp: 'smtp://localhost', from: a@b}, to: [tenant]}]}\n"
    ).alerts
    assert alerts.contacts == {"acme": ("a@acme.example", "b@acme.example")}


def test_addresses_may_be_missing_where_secrets_may(policy: Compiled) -> None:
    """A check in CI knows none of them."""
    text = (
        "sentry: {dsn: '${DSN}'}\n"
        "alerts: {to: [{slack: '${SLACK}'}, sentry, {webhook: '${HOOK}', secret: '${SECRET}'},"
        " {email: {smtp: '${SMTP}', user: '${U}', password: '${P}', from: '${FROM}'}, to: ['${TO}']}]}\n"
    )
    assert len(policy(text, allow_missing_secrets=True).alerts.channels) == 4
