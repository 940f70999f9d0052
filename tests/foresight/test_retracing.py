"""What a line says of its request, and what it does not."""

import json
from typing import Any

import pytest

from proxy.foresight.retracing import ended, facts, is_open, unsaid
from tests.foresight.lines import line


def told(**fields: Any) -> dict[str, str]:
    return dict(facts(json.loads(line(**fields))))


def test_what_every_line_says() -> None:
    said = told(ms=12.5)
    assert said == {
        "request": "GET app.example.com/api/x",
        "when": "2026-11-23 12:00:00 UTC, at its end; it took 12.5 ms",
        "identity": "tenant initech, user ada, tier trial, from 192.0.2.1",
        "route": "api",
        "policy": "0123456789ab",
        "outcome": "200, forwarded: the upstream's answer was relayed whole",
    }


@pytest.mark.parametrize(
    ("fields", "name", "words"),
    [
        ({"limits": ["per-user", "per-ip"]}, "limits", "refused by per-user, per-ip"),
        ({"reason": "quota_exceeded"}, "reason", "quota_exceeded: Quota exceeded"),
        ({"reason": "of-tomorrow"}, "reason", "of-tomorrow"),
        ({"cache": "miss", "cache_why": "expired"}, "cache", "miss: expired"),
        ({"upstream": "a:1", "upstream_ms": 3.0}, "upstream", "a:1, 3 ms, at the first attempt"),
        (
            {
                "upstream": "a:1",
                "upstream_ms": 3.0,
                "retries": 2,
                "failed": [
                    {"upstream": "b:1", "why": "upstream_refused"},
                    {"upstream": "a:1", "why": "upstream_reset"},
                ],
            },
            "upstream",
            "a:1, 3 ms; failed: b:1 (upstream_refused), a:1 (upstream_reset)",
        ),
        ({"cost_usd": 0.5, "tokens_in": 1, "estimated": True}, "call", "$0.500000000, 1 tokens in, 0 out, estimated"),
        (
            {"cost_usd": 0.5, "tokens_out": 2, "held_usd": 0.75, "held_tokens": 90},
            "call",
            "$0.500000000, 0 tokens in, 2 out, held $0.750000000 and 90 tokens",
        ),
        (
            {"held_usd": 0.75, "held_tokens": 90, "outcome": "refused"},
            "call",
            "would have held $0.750000000 and 90 tokens",
        ),
        ({"cost_usd": 0, "saved_usd": 0.25}, "call", "none: a stored answer spared $0.250000000"),
        ({"redis_ms": 0.4}, "redis", "0.4 ms"),
        ({"trace": "abc"}, "trace", "abc"),
        ({"tenant": None, "user": None}, "identity", "nobody in particular, tier trial, from 192.0.2.1"),
        ({"key": "robot"}, "identity", "tenant initech, user ada, key robot, tier trial, from 192.0.2.1"),
    ],
)
def test_what_some_lines_say(fields: dict[str, Any], name: str, words: str) -> None:
    assert told(**fields)[name] == words


def test_what_a_line_does_not_hold_is_said() -> None:
    bare = unsaid(json.loads(line()), replayed=False)
    assert [one.split(":")[0] for one in bare] == [
        "each meter before and after",
        "a decision of the cache",
        "an upstream",
        "query, fields, claims and bodies",
    ]
    full = json.loads(line(cache="hit", upstream="a:1"))
    assert [one.split(":")[0] for one in unsaid(full, replayed=True)] == ["query, fields, claims and bodies"]
    call: dict[str, Any] = {"cache": "miss", "upstream": "a:1", "held_usd": 0.5}
    for fields, words in (
        ({"outcome": "client_gone", "status": 499}, ["what the call came to", "grants"]),
        ({"outcome": "refused", "status": 429}, ["grants"]),
        ({"cost_usd": 0.25}, ["grants"]),
    ):
        said = unsaid(json.loads(line(**call, **fields)), replayed=True)
        assert [one.split(":")[0] for one in said] == [*words, "query, fields, claims and bodies"]


@pytest.mark.parametrize(
    ("fields", "is_so"),
    [
        ({"held_usd": 0.5, "outcome": "client_gone"}, True),
        ({"held_usd": 0.5, "outcome": "refused"}, False),
        ({"held_usd": 0.5, "cost_usd": 0.25}, False),
        ({}, False),
    ],
)
def test_a_line_that_was_written_before_its_call_had_ended_is_open(fields: dict[str, Any], is_so: bool) -> None:
    assert is_open(json.loads(line(**fields))) is is_so


def test_what_is_told_later_ends_it() -> None:
    whole = ended({"id": "r1", "held_usd": 0.5}, {"id": "r1", "msg": "call settled", "cost_usd": 0.25, "tokens_in": 7})
    assert whole == {"id": "r1", "held_usd": 0.5, "cost_usd": 0.25, "tokens_in": 7}
