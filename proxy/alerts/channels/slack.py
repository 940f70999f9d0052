"""A Slack channel, by an incoming webhook: a text for notifications and blocks to read. Its URL is a secret.

Slack forgets what it was sent, so an alert that comes twice is seen twice; its id stands below it.
"""

from typing import Any, Final

import orjson
from aiohttp import ClientSession

from proxy.alerts.answers import Answer
from proxy.alerts.channels.http import post
from proxy.core.delivery import Delivery

_SIGNS: Final = {"warning": ":warning:", "critical": ":rotating_light:", "resolved": ":white_check_mark:"}
_BELOW: Final = (("gateway", "gateway"), ("alert", "id"), ("at", "at"))
_JSON: Final = {"Content-Type": "application/json"}


class Slack:
    def __init__(self, name: str, url: str, session: ClientSession) -> None:
        self.name = name
        self._url = url
        self._session = session

    async def send(self, delivery: Delivery) -> Answer:
        return await post(self._session, self._url, orjson.dumps(message(orjson.loads(delivery.payload))), _JSON)


def message(alert: dict[str, Any]) -> dict[str, Any]:
    """Of an alert's payload: Block Kit, with what callers are called made harmless."""
    headline = f"{_SIGNS[alert['level']]} {_plain(alert['message'])}"
    context = [f"{name} {_plain(alert[key])}" for name, key in _BELOW if alert.get(key)]
    return {
        "text": headline,
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": headline}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": " · ".join(context)}]},
        ],
    }


def _plain(text: str) -> str:
    """Without what Slack would read as a mention or a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
