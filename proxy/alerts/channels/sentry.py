"""An event in Sentry: the SDK's envelope over our own connection.

Not its client, which hands events to a thread and forgets them: at least once needs to hear that one has arrived. Nor
is anything set up globally. Who a person is stays here: an alert of one user's budget says so, and not whose.
"""

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import ClientSession
from sentry_sdk.consts import EndpointType
from sentry_sdk.envelope import Envelope
from sentry_sdk.utils import Dsn

from proxy.alerts.answers import Answer
from proxy.alerts.channels.http import post
from proxy.alerts.scopes import impersonal, readable
from proxy.core.clock import Clock
from proxy.core.delivery import Delivery

if TYPE_CHECKING:
    from sentry_sdk.types import Event

_CLIENT: Final = "sluicegate"
_LEVELS: Final = {"warning": "warning", "critical": "error", "resolved": "info"}  # Sentry's words
_ABOUT: Final = ("route", "upstream", "certificate")
_FIGURES: Final = (
    "current",
    "limit",
    "unit",
    "lately",
    "requests",
    "window_seconds",
    "parts",
    "since",
    "incident",
    "runbook",
)


class Sentry:
    def __init__(self, name: str, dsn: str, session: ClientSession, clock: Clock) -> None:
        """Raises: ValueError for what is no DSN."""
        self.name = name
        try:
            auth = Dsn(dsn).to_auth(_CLIENT)
        except ValueError:  # BadDsn is one
            raise ValueError(f"the channel {name!r} has no Sentry DSN") from None
        self._url = str(auth.get_api_url(EndpointType.ENVELOPE))
        self._headers = {"Content-Type": "application/x-sentry-envelope", "X-Sentry-Auth": str(auth.to_header())}
        self._session = session
        self._clock = clock

    async def send(self, delivery: Delivery) -> Answer:
        event = event_of(orjson.loads(delivery.payload))
        sent_at = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        envelope = Envelope(headers={"event_id": event["event_id"], "sent_at": sent_at.isoformat()})
        envelope.add_event(event)
        return await post(self._session, self._url, envelope.serialize(), self._headers)


def event_of(alert: dict[str, Any]) -> "Event":
    """Of an alert's payload. Its id is the alert's, so that Sentry keeps one of several; alerts of one budget and scope
    are one issue, and those of one route that are not of money; all that is told of one part of the service is one,
    whichever gateway tells it."""
    if "incident" in alert:
        return _of_service(alert)
    scope = alert["scope"]
    whose = impersonal(scope) if scope else ""
    message = (
        alert["message"]
        if whose == readable(scope) or not scope
        else (
            f"Budget {alert['budget']} of {whose} for {alert['period']}: {alert['cause']}, {alert['percent']:g}% used."
        )
    )
    tags = {name: alert[name] for name in ("type", "cause", "budget", "period", "tenant") if alert[name]}
    about = alert.get("route") or alert["budget"]
    amounts = {name: alert[name] for name in ("current", "limit", "percent", "resets_at", "expected_at")}
    fingerprint = [alert["type"], alert["cause"], about, hashlib.sha256(scope.encode()).hexdigest()]
    return _event(alert, message, fingerprint, {**tags, "scope": whose}, amounts)


def _of_service(alert: dict[str, Any]) -> "Event":
    about = [alert[name] for name in _ABOUT if alert[name]]
    tags = {name: alert[name] for name in ("type", "cause", *_ABOUT, "gateway") if alert[name]}
    figures = {name: alert[name] for name in _FIGURES}
    return _event(alert, alert["message"], [alert["type"], alert["cause"], *about], tags, figures)


def _event(
    alert: dict[str, Any], message: str, fingerprint: list[str], tags: dict[str, str], extra: dict[str, object]
) -> "Event":
    return {
        "event_id": hashlib.sha256(alert["id"].encode()).hexdigest()[:32],
        "timestamp": alert["at"],
        "level": _LEVELS[alert["level"]],  # type: ignore[typeddict-item]
        "logger": "sluicegate.alerts",
        "platform": "python",
        "message": message,
        "fingerprint": fingerprint,
        "tags": tags,
        "extra": extra,
    }
