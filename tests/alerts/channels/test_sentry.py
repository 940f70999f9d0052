"""Sentry gets one event an alert, one issue a budget, and nobody's name."""

import json
from dataclasses import replace

import pytest
from aiohttp import ClientSession

from proxy.alerts.answers import Verdict
from proxy.alerts.channels.mail import message as mail
from proxy.alerts.channels.sentry import Sentry, event_of
from proxy.alerts.channels.slack import message as slack
from proxy.alerts.incident import News
from proxy.alerts.samples import Subject
from proxy.alerts.watch import Watch
from proxy.core.clock import SystemClock
from proxy.policy.service import Kind
from tests.alerts import samples
from tests.alerts.channels.samples import A_DELIVERY, FAILING, PERSONAL, a_delivery
from tests.alerts.receivers import receiver


async def test_an_event_arrives_in_its_envelope(session: ClientSession) -> None:
    async with receiver() as one:
        dsn = f"http://public@127.0.0.1:{one.port}/42"
        assert (await Sentry("sentry", dsn, session, SystemClock()).send(A_DELIVERY)).verdict is Verdict.DELIVERED
    (heard,) = one.heard
    assert heard.path == "/api/42/envelope/"
    assert "sentry_key=public" in heard.headers["X-Sentry-Auth"]
    head, item, event = (json.loads(line) for line in heard.body.splitlines())
    assert item["type"] == "event"
    assert head["event_id"] == event["event_id"]
    assert event["level"] == "warning"
    assert event["message"].startswith("Budget tenant of tenant acme")
    assert event["tags"]["budget"] == "tenant"
    assert event["extra"]["current"] == "160.00"


def test_an_event_is_the_alerts_and_an_issue_the_budgets() -> None:
    """What comes twice is kept once; 95 percent is another event of the issue that 80 percent opened."""
    first = event_of(json.loads(A_DELIVERY.payload))
    again = event_of(json.loads(A_DELIVERY.payload))
    other = event_of(json.loads(a_delivery(id="alert-other", level="critical").payload))
    assert first["event_id"] == again["event_id"] != other["event_id"]
    assert len(first["event_id"]) == 32
    assert first["fingerprint"] == other["fingerprint"]
    assert other["level"] == "error"


def test_nobody_is_named() -> None:
    """A user's name may be an address. Alerts of two users are two issues all the same."""
    alert = json.loads(PERSONAL.payload)
    event = event_of(alert)
    assert "jane" not in json.dumps(event)
    assert event["tags"]["scope"] == "one user"
    assert event["message"] == "Budget user of one user for 2026-11-18: threshold, 80% used."
    assert event["fingerprint"] != event_of(alert | {"scope": "user:https://id.example joe"})["fingerprint"]


def test_a_violation_is_an_issue_of_its_route() -> None:
    """It has no amounts, and a tenant of any name."""
    alerts = [
        json.loads(firing.payload)
        for firing in Watch([], samples.alerts()).judge_violations(
            [("reports", "ac me"), ("reports", "other"), ("pages", "other")], samples.NOW_MS
        )
    ]
    first, again, other = map(event_of, alerts)
    assert first["message"] == alerts[0]["message"]
    assert (first["level"], first["tags"]["tenant"], first["extra"]["current"]) == ("error", "ac me", None)
    assert first["fingerprint"] == again["fingerprint"] != other["fingerprint"]
    for alert in alerts:
        assert slack(alert)["text"].endswith(alert["message"])
        assert "spent" not in mail(json.dumps(alert), "id", "a@b.example", "c@d.example", "b.example").get_content()


def test_an_alert_of_the_service_is_an_issue_whichever_gateway_tells_it() -> None:
    """Another route's is another; its end is an event of the same, and no error."""
    first = event_of(json.loads(FAILING.payload()))
    elsewhere = event_of(json.loads(replace(FAILING, gateway="gate-2:8080").payload()))
    end = event_of(json.loads(replace(FAILING, news=News.RESOLVED).payload()))
    other = event_of(json.loads(replace(FAILING, subject=Subject(Kind.ERROR_RATE, "shop")).payload()))
    assert first["fingerprint"] == elsewhere["fingerprint"] == end["fingerprint"] != other["fingerprint"]
    assert len({one["event_id"] for one in (first, elsewhere, end, other)}) == 4
    assert (first["level"], end["level"], first["message"]) == ("error", "info", FAILING.message)
    assert first["tags"] == {"type": "service_alert", "cause": "error_rate", "gateway": "gate-1:8080"}
    assert other["tags"]["route"] == "shop"
    assert (first["extra"]["current"], first["extra"]["requests"]) == (0.052, 1500)


@pytest.mark.parametrize(
    "dsn", ["", "https://example.com/1", "ftp://x@example.com/1", "https://x@example.com:99999/1", "no"]
)
def test_what_is_no_dsn_is_said_without_it(session: ClientSession, dsn: str) -> None:
    with pytest.raises(ValueError, match=r"^the channel 'sentry' has no Sentry DSN$"):
        Sentry("sentry", dsn, session, SystemClock())
