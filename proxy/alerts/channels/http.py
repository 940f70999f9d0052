"""A POST to somebody who wants to hear of alerts, and what the answer means for another attempt.

Redirects are not followed (a receiver's secret stays with the receiver), answers are not read, and what is said of a
failure is a status or the name of an error: some receivers' URLs are secrets.
"""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, InvalidURL

from proxy.alerts.answers import DELIVERED, Answer, later, never
from proxy.alerts.dispatcher import ATTEMPT_S

# Beside every 5xx: RFC 9110 §15.5.9, RFC 8470 §5.2, RFC 6585 §4.
PASSING: Final = frozenset({408, 425, 429})
_TIMEOUT: Final = ClientTimeout(total=ATTEMPT_S, sock_connect=ATTEMPT_S / 2)


async def post(session: ClientSession, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    try:
        async with session.post(url, data=body, headers=headers, allow_redirects=False, timeout=_TIMEOUT) as response:
            return judged(response.status, response.headers.get("Retry-After"), time.time())
    except InvalidURL:
        return never("InvalidURL")
    except TimeoutError:
        return later("timeout")
    except (ClientError, OSError) as error:
        return later(type(error).__name__)


def judged(status: int, retry_after: str | None, now_s: float) -> Answer:
    """What a status means (RFC 9110 §15)."""
    if 200 <= status < 300:
        return DELIVERED
    if status >= 500 or status in PASSING:
        return later(f"HTTP {status}", _wait_ms(retry_after, now_s))
    return never(f"HTTP {status}")


def _wait_ms(retry_after: str | None, now_s: float) -> int:
    """Seconds or a date (RFC 9110 §10.2.3); 0 for what is neither."""
    if retry_after is None:
        return 0
    if retry_after.isascii() and retry_after.isdigit():
        return int(retry_after[:9]) * 1000
    try:
        return max(0, round((parsedate_to_datetime(retry_after).timestamp() - now_s) * 1000))
    except (ValueError, OverflowError):
        return 0
