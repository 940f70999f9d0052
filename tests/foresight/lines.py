"""Log lines for tests."""

import json
from typing import Any

from proxy.foresight.loglines import Entry, entry_of

NOON_MS = 1_795_435_200_000  # 2026-11-23 12:00 UTC


def line(at_s: float = 0, **fields: Any) -> bytes:
    """One of ours, of a request that ended so many seconds after noon; None leaves a field out."""
    told = {
        "ts": NOON_MS / 1000 + at_s,
        "id": "r1",
        "path": "/api/x",
        "status": 200,
        "ms": 0,
        "in": 0,
        "out": 10,
        "msg": "request",
        "method": "GET",
        "host": "app.example.com",
        "route": "api",
        "outcome": "forwarded",
        "tier": "trial",
        "ip": "192.0.2.1",
        "policy": "0123456789ab",
        "tenant": "initech",
        "user": "ada",
        **fields,
    }
    return json.dumps({name: value for name, value in told.items() if value is not None}).encode() + b"\n"


def entry(at_s: float = 0, **fields: Any) -> Entry:
    found = entry_of(line(at_s, **fields))
    assert found is not None
    return found
