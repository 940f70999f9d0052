"""What log lines say, by format."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.foresight.loglines import Entry, entry_of
from tests.foresight.lines import NOON_MS, entry, line


def seen(told: Entry | None, *names: str) -> dict[str, Any]:
    assert told is not None
    return {name: getattr(told, name) for name in names}


def test_our_own_lines_say_all() -> None:
    told = entry(
        5,
        ms=1500.4,
        cost_usd=0.000000123,
        tokens_in=3,
        tokens_out=4,
        key="robot",
    )
    assert (told.start_ms, told.end_ms) == (NOON_MS + 3500, NOON_MS + 5000)
    assert seen(told, "method", "path", "host", "address", "tenant", "user", "tier", "key", "route", "status") == {
        "method": "GET",
        "path": "/api/x",
        "host": "app.example.com",
        "address": "192.0.2.1",
        "tenant": "initech",
        "user": "ada",
        "tier": "trial",
        "key": "robot",
        "route": "api",
        "status": 200,
    }
    assert (told.nanousd, told.tokens, told.knows_callers) == (123, 7, True)


def test_an_answer_from_the_store_is_no_call() -> None:
    assert entry(cost_usd=0, saved_usd=0.5).nanousd is None


@pytest.mark.parametrize(
    "other",
    [
        line(method=None, path=None),
        b'{"ts":"2026-11-23T12:00:00.000+00:00","level":"info","msg":"redis is back","logger":"sluicegate"}\n',
        b"\n",
        b'192.0.2.1 - - [23/Nov/2026:12:00:00 +0000] "\\x16\\x03" 400 0 "-" "-"\n',
        b'{"start_time":"2026-11-23T12:00:00.000Z","method":null,"path":null}',
    ],
)
def test_lines_of_something_else(other: bytes) -> None:
    assert entry_of(other) is None


COMBINED = '192.0.2.7 - bob [23/Nov/2026:14:00:01 +0200] "GET /api/x?a=1 HTTP/1.1" 200 512 "https://x/\\"" "curl/8"'


def test_nginx_combined_names_no_callers() -> None:
    told = entry_of(COMBINED.encode() + b"\n")
    assert seen(told, "address", "user", "path", "query", "status", "start_ms", "knows_callers", "tier") == {
        "address": "192.0.2.7",
        "user": "bob",
        "path": "/api/x",
        "query": "a=1",
        "status": 200,
        "start_ms": NOON_MS + 1000,
        "knows_callers": False,
        "tier": "none",
    }


def test_nginx_with_fields_names_them() -> None:
    extra = ' host="app.example.com" time=0.250 tenant="initech" user="a b" tier="trial" key="-"'
    iso = COMBINED.replace("23/Nov/2026:14:00:01 +0200", "2026-11-23T12:00:01+00:00")
    told = entry_of((iso + extra).encode())
    assert seen(told, "start_ms", "end_ms", "host", "tenant", "user", "tier", "key", "knows_callers") == {
        "start_ms": NOON_MS + 750,
        "end_ms": NOON_MS + 1000,
        "host": "app.example.com",
        "tenant": "initech",
        "user": "a b",
        "tier": "trial",
        "key": None,
        "knows_callers": True,
    }


def test_envoys_default() -> None:
    text = (
        '[2026-11-23T12:00:00.310Z] "POST /api/v1/locations HTTP/2" 204 - 154 0 226 100 "10.0.35.28, 10.1.1.1" '
        '"nsq2http" "cc21d9b0-cf5c-432b" "locations" "tcp://10.0.2.1:80"\n'
    )
    told = entry_of(text.encode())
    assert seen(
        told, "start_ms", "end_ms", "method", "path", "status", "address", "forwarded", "host", "request_id"
    ) == {
        "start_ms": NOON_MS + 310,
        "end_ms": NOON_MS + 536,
        "method": "POST",
        "path": "/api/v1/locations",
        "status": 204,
        "address": "",
        "forwarded": "10.0.35.28, 10.1.1.1",
        "host": "locations",
        "request_id": "cc21d9b0-cf5c-432b",
    }


def test_envoys_json() -> None:
    told = entry_of(
        json.dumps(
            {
                "start_time": "2026-11-23T12:00:00.310Z",
                "method": "GET",
                "path": "/api/x?y=2",
                "authority": "app",
                "response_code": 200,
                "duration": 12,
                "x_forwarded_for": None,
                "downstream_remote_address": "[2001:db8::1]:4711",
                "request_id": "r9",
                "tenant": "initech",
                "tier": "trial",
            }
        ).encode()
    )
    assert seen(told, "path", "query", "address", "tenant", "user", "tier", "end_ms", "knows_callers") == {
        "path": "/api/x",
        "query": "y=2",
        "address": "2001:db8::1",
        "tenant": "initech",
        "user": None,
        "tier": "trial",
        "end_ms": NOON_MS + 322,
        "knows_callers": True,
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{secret", "not JSON"),
        (line(cost_usd="secret").decode(), "of another type"),
        (line(tenant=["secret"]).decode(), "of another type"),
        (line(ms=1e300).decode(), "out of bounds"),
        (line(ms=-1).decode(), "out of bounds"),
        (line(at_s=1e12).decode(), "out of bounds"),
        ('{"secret": 1}', "JSON of neither"),
        (line(cost_usd=1e300).decode(), "its cost or its tokens are out of bounds"),
        (line(cost_usd=-1).decode(), "its cost or its tokens are out of bounds"),
        (line(cost_usd=1, tokens_in=1e300).decode(), "its cost or its tokens are out of bounds"),
        (line(status=1e300).decode(), "its status is none"),
        ('{"start_time":"2026-11-23T12:00:00Z","method":"GET","path":"/","response_code":"inf"}', "its status is none"),
        ('{"start_time":"2026-11-23T12:00:00Z","method":"GET","path":"/","duration":"nan"}', "out of bounds"),
        (line(status=None).decode(), "a field of a request's line is missing"),
        ("secret", "neither nginx's combined format nor Envoy's nor JSON"),
        ("[secret", "begins as Envoy's default format does"),
        (COMBINED.replace("23/Nov/2026", "23/Secret/2026"), "neither \\$time_local nor"),
        (COMBINED + " time=secret", "is not a number"),
        ('{"start_time":"secret","method":"GET","path":"/"}', "not in ISO 8601"),
    ],
)
def test_what_cannot_be_read_is_told_without_quoting_it(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as told:
        entry_of(text.encode())
    assert "secret" not in str(told.value).lower()


NUMBERS = st.sampled_from(["inf", "-inf", "nan", "1e400", 1e300, -1])
WORDS = st.one_of(
    st.none(), NUMBERS, st.text(max_size=5), st.integers(), st.floats(allow_nan=False), st.lists(st.none())
)
NAMES = [
    "ts",
    "ms",
    "path",
    "method",
    "status",
    "cost_usd",
    "tokens_in",
    "response_code",
    "tenant",
    "tier",
    "start_time",
    "duration",
]


@given(
    st.one_of(
        st.binary(max_size=80),
        st.dictionaries(st.sampled_from(NAMES), WORDS).map(lambda fields: line(0, **fields)),
        st.dictionaries(st.sampled_from(NAMES), WORDS).map(
            lambda fields: json.dumps(
                {"start_time": "2026-11-23T12:00:00Z", "method": "GET", "path": "/", **fields}
            ).encode()
        ),
        st.tuples(st.integers(0, len(COMBINED)), st.text(max_size=4)).map(
            lambda cut: (COMBINED[: cut[0]] + cut[1] + COMBINED[cut[0] :]).encode("utf-8", "surrogatepass")
        ),
    )
)
def test_whatever_a_line_holds_it_is_a_request_or_not_or_unreadable(text: bytes) -> None:
    try:
        told = entry_of(text)
    except ValueError:
        return
    if told is not None:
        assert told.path.startswith("/") or text[:1] == b"{"
        assert told.end_ms - told.start_ms >= 0
