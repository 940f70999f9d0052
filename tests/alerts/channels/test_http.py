"""What a receiver's answer means, and that nothing of its URL is ever told."""

import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from aiohttp import ClientSession, web

from proxy.alerts.answers import Answer, Verdict
from proxy.alerts.channels.http import judged, post
from tests.alerts.receivers import receiver

NOW_S = 1_795_003_200.0


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, "delivered"), (202, "delivered"), (204, "delivered")]
    + [(status, "never") for status in (301, 307, 400, 401, 403, 404, 410, 413)]
    + [(status, "later") for status in (408, 425, 429, 500, 502, 503, 504, 599)],
)
def test_a_status_says_whether_to_come_back(status: int, verdict: str) -> None:
    answer = judged(status, None, NOW_S)
    assert answer.verdict == verdict
    assert answer.error == ("" if verdict == "delivered" else f"HTTP {status}")


@pytest.mark.parametrize(
    ("retry_after", "ms"),
    [
        ("120", 120_000), ("0", 0), ("soon", 0), ("-5", 0), ("1" * 30, 111_111_111_000), ("²", 0),
        (format_datetime(datetime.fromtimestamp(NOW_S + 90, UTC), usegmt=True), 90_000),
        (format_datetime(datetime.fromtimestamp(NOW_S - 90, UTC), usegmt=True), 0),
    ],
)  # fmt: skip
def test_a_receiver_that_asks_to_wait_is_heard(retry_after: str, ms: int) -> None:
    assert judged(429, retry_after, NOW_S).after_ms == judged(503, retry_after, NOW_S).after_ms == ms
    assert judged(404, retry_after, NOW_S).after_ms == 0


async def test_a_redirect_is_not_followed(session: ClientSession) -> None:
    """What was meant for one receiver is not another's, signed or not."""
    async with receiver() as elsewhere, receiver(web.Response(status=307)) as first:
        first.answers[0].headers["Location"] = elsewhere.url
        assert (await post(session, first.url, b"{}", {})).verdict is Verdict.NEVER
        assert elsewhere.heard == []


async def test_who_is_down_or_says_nothing_is_asked_again(session: ClientSession) -> None:
    async with receiver() as one:
        url = one.url
    answer = await post(session, url + "/services/T0/SECRET", b"{}", {})
    assert answer == Answer(Verdict.LATER, "ClientConnectorError")
    began = time.monotonic()
    assert (await post(session, "not a url SECRET", b"{}", {})).verdict is Verdict.NEVER
    assert time.monotonic() - began < 5
