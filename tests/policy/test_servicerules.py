"""What a policy watches of the service, and who hears of it."""

from collections.abc import Callable

import pytest

from proxy.policy.compiler import Loaded
from proxy.policy.model import Policy
from proxy.policy.service import HOUR_MS, MINUTE_MS, Bound, Kind, Measure, Rule, Service
from proxy.policy.servicerules import ISOLATION
from proxy.policy.spending import Level

OPS = "{name: ops, webhook: 'https://ops.example.com/hook'}"
WARNING, CRITICAL = Level.WARNING, Level.CRITICAL


def service(policy: Callable[..., Policy], written: str, to: str = OPS) -> Service:
    found = policy(f"alerts: {{to: [{to}], service: {written}}}\n").alerts.service
    assert found is not None
    return found


def test_nothing_said_watches_nothing(policy: Callable[..., Policy]) -> None:
    """Channels alone are for budgets: nobody gets what they did not ask for."""
    assert policy(f"alerts: {{to: [{OPS}]}}\n").alerts.service is None
    assert policy(f"alerts: {{to: [{OPS}], service: off}}\n").alerts.service is None


def test_on_is_the_service_levels(policy: Callable[..., Policy]) -> None:
    """A warning waits for as long as a whole outage needs to become critical."""
    five, one = 5 * MINUTE_MS, MINUTE_MS
    found = service(policy, "on")
    assert (found.to, found.repeat_ms) == (("ops",), None)
    assert found.rules == {
        Kind.UPSTREAM: Rule(
            Measure.SHARE,
            (Bound(WARNING, 0.05, one, one // 5, one // 2), Bound(CRITICAL, 0.5, one, one // 5)),
            one,
            10,
            5,
        ),
        Kind.REDIS: Rule(Measure.ABOVE, (Bound(CRITICAL, 0, for_ms=30_000),), 30_000),
        Kind.ERROR_RATE: Rule(
            Measure.SHARE, (Bound(WARNING, 0.01, five, one, one), Bound(CRITICAL, 0.05, five, one)), five, 50, 5
        ),
        Kind.AVAILABILITY: Rule(
            Measure.SHARE,
            (
                Bound(WARNING, pytest.approx(0.006), 6 * HOUR_MS, 30 * MINUTE_MS, 15 * MINUTE_MS),  # type: ignore[arg-type]
                Bound(CRITICAL, pytest.approx(0.0144), HOUR_MS, 5 * MINUTE_MS, 2 * MINUTE_MS),  # type: ignore[arg-type]
            ),
            15 * MINUTE_MS,
            50,
            5,
        ),
        Kind.LATENCY: Rule(
            Measure.MEAN, (Bound(WARNING, 0.5, five, one, one), Bound(CRITICAL, 2.0, five, one)), five, 50, 5
        ),
        Kind.WORKERS: Rule(Measure.COUNT, (Bound(CRITICAL, 2, 15 * MINUTE_MS, 15 * MINUTE_MS),), 0),
        Kind.LEDGER: Rule(Measure.ABOVE, (Bound(WARNING, 300.0, for_ms=60_000),), 60_000),
        Kind.CERTIFICATE: Rule(
            Measure.BELOW, (Bound(WARNING, 21 * 86_400.0), Bound(CRITICAL, 2 * 86_400.0)), MINUTE_MS
        ),
        Kind.RELOAD: Rule(Measure.ABOVE, (Bound(WARNING, 0, for_ms=60_000),), 60_000),
        Kind.ISOLATION: ISOLATION,
    }


def test_what_is_off_is_not_watched_and_a_level_may_be_the_only_one(policy: Callable[..., Policy]) -> None:
    found = service(policy, "{availability: off, redis: off, latency: {critical: off, leave_out: [app]}, repeat: 4h}")
    assert not {Kind.AVAILABILITY, Kind.REDIS} & found.rules.keys()
    latency = found.rules[Kind.LATENCY]
    assert ([bound.level for bound in latency.bounds], latency.leave_out) == ([WARNING], frozenset({"app"}))
    assert found.repeat_ms == 4 * HOUR_MS


def test_channels_of_all_hear_where_none_is_named(policy: Callable[..., Policy]) -> None:
    """One of some budgets alone has to be named to hear of what is no budget."""
    tenants, everybody = (f"{{slack: 'https://hooks.slack.com/x', scopes: [{kind}]}}" for kind in ("tenant", "global"))
    to = f"{OPS}, {tenants}, {everybody}"
    assert service(policy, "on", to).to == ("ops", "slack-2")
    assert service(policy, "{to: [slack-1]}", to).to == ("slack-1",)


MAIL = "email: {smtp: 'smtps://mail.example.com', from: gate@example.com}"


@pytest.mark.parametrize(
    ("to", "written", "warned"),
    [
        ("", "on", True),
        ("{slack: 'https://hooks.slack.com/x', scopes: [tenant]}", "on", True),
        (f"{{{MAIL}, to: [tenant, 'claim:email']}}", "on", True),
        (f"{{{MAIL}, to: [tenant, ops@example.com]}}", "on", False),
        (f"{OPS}, {{name: mail, {MAIL}, to: [tenant]}}", "{to: [mail]}", True),
        (OPS, "on", False),
        ("{webhook: ''}", "on", False),  # a variable's default: here nobody is told, elsewhere somebody is
        ("", "off", False),
    ],
)
def test_who_watches_and_tells_nobody_is_warned(
    loaded: Callable[..., Loaded], to: str, written: str, warned: bool
) -> None:
    found = loaded(f"alerts: {{to: [{to}], service: {written}}}\n").warnings
    told = [str(one) for one in found if "alerts.service: tells nobody" in str(one)]
    assert bool(told) is warned
