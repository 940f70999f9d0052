"""A webhook hears the alert as it is, knows that it is ours, and knows a repetition."""

import hashlib
import hmac
import json

from aiohttp import ClientSession

from proxy.alerts.answers import Verdict
from proxy.alerts.channels.webhook import Webhook, signature
from proxy.core.clock import SystemClock
from tests.alerts.channels.samples import A_DELIVERY, PAYLOAD
from tests.alerts.receivers import Heard, receiver
from tests.alerts.samples import NOW_MS


class StoppedClock(SystemClock):
    def now_ms(self) -> int:
        return NOW_MS


def verified(heard: Heard, secret: str) -> bool:
    """As a receiver does it, from the documentation alone."""
    parts = dict(part.split("=", 1) for part in heard.headers["Sluicegate-Signature"].split(","))
    signed = parts["t"].encode() + b"." + heard.body
    return hmac.compare_digest(parts["v1"], hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest())


async def test_what_is_sent_can_be_verified(session: ClientSession) -> None:
    async with receiver() as one:
        channel = Webhook("ops", one.url + "/hook?x=1", "hush", session, StoppedClock())
        assert (await channel.send(A_DELIVERY)).verdict is Verdict.DELIVERED
    (heard,) = one.heard
    assert (heard.path, heard.body) == ("/hook?x=1", PAYLOAD.encode())
    assert heard.headers["Content-Type"] == "application/json"
    assert heard.headers["Idempotency-Key"] == json.loads(heard.body)["id"] == A_DELIVERY.id
    assert f"t={NOW_MS // 1000}," in heard.headers["Sluicegate-Signature"]
    assert verified(heard, "hush")
    assert not verified(heard, "other")
    assert not verified(Heard(heard.path, heard.headers, heard.body + b" "), "hush")


def test_a_signature_is_as_documented() -> None:
    """Pinned: receivers have their own code for it."""
    assert signature(b"hush", 1_795_003_200, b"{}") == (
        "t=1795003200,v1=" + hmac.new(b"hush", b"1795003200.{}", "sha256").hexdigest()
    )


async def test_without_a_secret_nothing_is_signed(session: ClientSession) -> None:
    async with receiver(503) as one:
        answer = await Webhook("ops", one.url, "", session, StoppedClock()).send(A_DELIVERY)
    assert (answer.verdict, answer.error) == (Verdict.LATER, "HTTP 503")
    assert "Sluicegate-Signature" not in one.heard[0].headers
