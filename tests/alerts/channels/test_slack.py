"""Slack gets a line to notify with and blocks to read, in which nobody is called."""

import json
from dataclasses import replace

from aiohttp import ClientSession

from proxy.alerts.answers import Verdict
from proxy.alerts.channels.slack import Slack, message
from proxy.alerts.incident import News
from tests.alerts.channels.samples import A_DELIVERY, FAILING, a_delivery
from tests.alerts.receivers import receiver


async def test_a_message_has_text_and_blocks(session: ClientSession) -> None:
    async with receiver() as one:
        assert (await Slack("slack", one.url, session).send(A_DELIVERY)).verdict is Verdict.DELIVERED
    said = json.loads(one.heard[0].body)
    assert said["text"].startswith(":warning: Budget tenant of tenant acme")
    assert said["text"] == said["blocks"][0]["text"]["text"]
    assert A_DELIVERY.id in said["blocks"][1]["elements"][0]["text"]
    assert one.heard[0].headers["Content-Type"] == "application/json"


async def test_what_callers_are_called_mentions_nobody(session: ClientSession) -> None:
    """Slack reads <!channel> as a shout, in whatever text."""
    async with receiver() as one:
        await Slack("slack", one.url, session).send(a_delivery(message="<!channel> & co", level="critical"))
    assert json.loads(one.heard[0].body)["text"] == ":rotating_light: &lt;!channel&gt; &amp; co"


async def test_slacks_own_limits_are_kept(session: ClientSession) -> None:
    async with receiver(429) as one:
        answer = await Slack("slack", one.url + "/services/T0/B0/SECRET", session).send(A_DELIVERY)
    assert (answer.verdict, answer.error) == (Verdict.LATER, "HTTP 429")


def test_an_alert_of_the_service_says_which_gateway_it_is_of_and_its_end_looks_like_one() -> None:
    said = message(json.loads(FAILING.payload()))
    assert said["text"] == f":rotating_light: {FAILING.message}"
    assert said["blocks"][1]["elements"][0]["text"].startswith(f"gateway gate-1:8080 · alert {FAILING.id} · at 2026-")
    over = message(json.loads(replace(FAILING, news=News.RESOLVED).payload()))
    assert over["text"].startswith(":white_check_mark: ")
