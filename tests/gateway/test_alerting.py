"""Alerts of a running gateway: a budget that is nearly used up is told, once for each level, to who listens; and so
is an answer that names another tenant."""

import asyncio
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.gateway import Gateway, bearer, eventually, get, once, token
from tests.e2e.provider import call, post, standing
from tests.spooling.post_receiver import PostReceiver

SECRET = "a-secret-of-sixteen"
HELD = 24_000_000  # nano-dollars that the calls below hold at most


def heard_by(receiver: PostReceiver) -> list[dict[str, Any]]:
    """What the webhook's other end was told, each with its key; that it was signed is checked."""
    heard = []
    for (_, fields), body in zip(receiver.asked, receiver.raw, strict=False):
        signature = dict(part.split("=", 1) for part in fields["sluicegate-signature"].split(","))
        signed = hmac.new(SECRET.encode(), f"{signature['t']}.".encode() + body, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(signed, signature["v1"])
        heard.append(json.loads(body) | {"key": fields["idempotency-key"]})
    return heard


@pytest.fixture(scope="module")
def stand() -> Iterator[tuple[Gateway, PostReceiver]]:
    with PostReceiver.receiving() as receiver:
        rest = f"""
            budgets:
              user: {{scope: user, daily: "$0.05"}}
            alerts:
              to: [{{webhook: "{receiver.url}/hook", secret: {SECRET}}}]
            routes:
              - {{name: ai, match: {{path: "/v1/**"}}, upstream: openai, limits: [], budgets: [user]}}
              - name: reports
                match: {{path: "/reports/**"}}
                upstream: app
                cache: {{ttl: 1h, assert_tenant: {{header: X-Tenant}}}}
        """
        with standing(rest) as paid:
            paid.origin.answers["/reports/other"] = (
                b"HTTP/1.1 200 OK\r\nX-Tenant: other\r\nContent-Length: 6\r\n\r\nsecret"
            )
            yield paid.gateway, receiver


async def spend(gateway: Gateway, user: str, times: int, output: int) -> list[int]:
    """So many calls of this output, one after the other, each up to 9,000 tokens of $0.60 a million."""
    bearer = token(user=user)
    request = post(call(cap=9_000, output=output, prompt=1), bearer)
    return [(await once(gateway, request)).status for _ in range(times)]


async def test_each_level_is_told_once_and_the_end_too(stand: tuple[Gateway, PostReceiver]) -> None:
    gateway, receiver = stand
    assert await spend(gateway, "ann", 9, 8_000) == [200] * 9  # $0.0432 of $0.05: over 80 percent
    mine = [lambda: [one for one in heard_by(receiver) if one["user"] == "ann"]][0]
    await asyncio.to_thread(eventually, lambda: len(mine()) >= 1)
    assert set(await spend(gateway, "ann", 3, 8_000)) == {200, 429}  # then nothing fits any more
    await asyncio.to_thread(eventually, lambda: len(mine()) >= 3, 15)
    assert Counter(one["level"] for one in mine()) == {"warning": 1, "critical": 2}
    (first,) = (one for one in mine() if one["level"] == "warning")
    assert (first["type"], first["budget"], first["limit"]) == ("cost_alert", "user", "0.05")
    assert len({one["key"] for one in mine()}) == 3
    await asyncio.to_thread(eventually, lambda: gateway.metric(r"sluicegate_alerts_total\{.*delivered") >= 3)


async def test_an_answer_of_another_tenant_is_told_once_and_logged_each_time(
    stand: tuple[Gateway, PostReceiver],
) -> None:
    """With route and tenant, and nothing of what the answer said."""
    gateway, receiver = stand
    request = get("/reports/other?secret=1", bearer())
    assert [(await once(gateway, request)).status for _ in range(6)] == [502] * 6
    await asyncio.to_thread(eventually, lambda: any(one["type"] == "isolation_alert" for one in heard_by(receiver)))
    (told,) = (one for one in heard_by(receiver) if one["type"] == "isolation_alert")
    assert (told["level"], told["route"], told["tenant"], told["current"]) == ("critical", "reports", "acme", None)
    lines: list[dict[str, Any]] = []

    def all_logged() -> bool:
        lines[:] = [event for event in gateway.events if event["msg"] == "tenant isolation violated"]
        return len(lines) == 6

    await asyncio.to_thread(eventually, all_logged)
    assert gateway.metric("sluicegate_tenant_isolation_violations_total") == 6
    assert {(line["level"], line["route"], line["tenant"], line["path"]) for line in lines} == {
        ("error", "reports", "acme", "/reports/other")
    }
    assert "secret" not in json.dumps([lines, told])
