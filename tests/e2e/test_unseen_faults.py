"""An upstream's fault is told of to Sentry, though its client got what is stored."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.crowds import hears_purges
from tests.e2e.gateway import bearer, eventually, get, once, running
from tests.e2e.origin import running_origin
from tests.e2e.test_sentry import sentry_policy
from tests.sentry.sentry_receiver import Receiver, heard

pytestmark = pytest.mark.full  # many seconds


def has(reason: str) -> Callable[[Any], bool]:
    return lambda event: event["tags"].get("reason") == reason


async def test_faults_that_stored_answers_spare_clients_are_events() -> None:
    """Found in review: neither 503s behind stale-if-error nor timeouts behind stale-while-revalidate were any."""
    stale = "HTTP/1.1 200 OK\r\nAge: 10\r\nCache-Control: public, max-age=1, {}=600\r\nContent-Length: 2\r\n\r\nok"
    with running_origin() as origin, Receiver.receiving() as receiver:
        text = sentry_policy(origin, receiver, workers=1).replace("auth: optional", "auth: required, cache: {}")
        with running(text) as gateway:
            eventually(lambda: hears_purges(gateway))  # what was fetched before is not reused
            for path, window in (("/error", "stale-if-error"), ("/behind", "stale-while-revalidate")):
                origin.answers[path] = stale.format(window).encode()
                await once(gateway, get(path, bearer()))
            origin.answers["/error"] = b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"
            origin.answers["/behind"] = lambda exchange: exchange.pause_then_ok(3)
            for path in ("/error", "/behind"):
                assert (await once(gateway, get(path, bearer()))).status == 200
            for holds in (has("upstream_5xx"), has("upstream_timeout")):
                event = heard(receiver, "event", holds)
                assert (event["tags"]["upstream"], event["tags"]["served"]) == ("app", "stored")
