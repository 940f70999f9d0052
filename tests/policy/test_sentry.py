"""Words of the policy are reasons of the gateway, but for what an upstream answers itself."""

from proxy.core.errors import Reason
from proxy.policy.sentry import Reported, Sentry, Watching


def test_what_may_be_reported_is_a_reason() -> None:
    assert {word.value for word in Reported} - {reason.value for reason in Reason} == {"upstream_5xx"}


def test_a_dsn_is_not_shown() -> None:
    """It holds a key."""
    assert "hunter2" not in repr(Watching(Sentry("https://hunter2@s.example/1", "test", "1", 0.0, frozenset())))
