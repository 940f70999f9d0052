"""A webhook of the user's own: the alert as JSON, signed, so that nobody else can raise one.

``Sluicegate-Signature: t=1795000000,v1=…``: the instant of this attempt (epoch seconds) and, in hex, the HMAC-SHA256
with the channel's secret of ``t``, a dot and the body's bytes. Receivers compare it in constant time, refuse what is
minutes old, and know a repetition by its ``Idempotency-Key``, which is the alert's id.
"""

import hashlib
import hmac
from typing import Final

from aiohttp import ClientSession

from proxy.alerts.answers import Answer
from proxy.alerts.channels.http import post
from proxy.core.clock import Clock
from proxy.core.delivery import Delivery

SIGNATURE: Final = "Sluicegate-Signature"


class Webhook:
    def __init__(self, name: str, url: str, secret: str, session: ClientSession, clock: Clock) -> None:
        """Without a secret nothing is signed."""
        self.name = name
        self._url = url
        self._secret = secret.encode()
        self._session = session
        self._clock = clock

    async def send(self, delivery: Delivery) -> Answer:
        body = delivery.payload.encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": delivery.id}
        if self._secret:
            headers[SIGNATURE] = signature(self._secret, self._clock.now_ms() // 1000, body)
        return await post(self._session, self._url, body, headers)


def signature(secret: bytes, at_s: int, body: bytes) -> str:
    digest = hmac.new(secret, b"%d." % at_s + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"
