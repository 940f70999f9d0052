"""What spans are made of, for tests; and that it cannot change once it has ended."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from proxy.otlp.traced import Peer, ProviderCall, Traced
from proxy.tracing.trace import Trace

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PEER = Peer("app", "https", "app.example", 443, 200)
CALL = ProviderCall("openai", "chat", "gpt-4o", True, 100, 0.25, False, 10, 5, 3, 0)


def traced(**changes: Any) -> Traced:
    """Of one second, that ended at 1000.0 since 1970."""
    whole: dict[str, Any] = {
        "trace": Trace(TRACE, SPAN, "1" * 16, "2" * 16),
        "marks": (("identify", 10.125), ("admit", 10.25), ("forward", 10.5), ("relay", 10.75)),
        "started_s": 10.0,
        "ended_s": 11.0,
        "now_s": 1000.0,
        "method": "GET",
        "scheme": "https",
        "version": "1.1",
        "status": 200,
        "path_pattern": "/a/**",
        "query": "",
        "reason": "",
        "asked_redis": True,
        "about": {"route": "app"},
        "peer": PEER,
    }
    return Traced(**whole | changes)


def test_it_stays_as_it_ended() -> None:
    with pytest.raises(FrozenInstanceError):
        traced().status = 500  # type: ignore[misc]
