"""Browsers' errors and vitals through a running gateway: to the one project, by the one address, bounded."""

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.e2e.gateway import Gateway, bearer, eventually, get, once, running
from tests.e2e.origin import Origin, running_origin
from tests.e2e.policies import policy
from tests.sentry.sentry_receiver import PUBLIC_KEY, Receiver, heard

pytestmark = pytest.mark.full  # many seconds

ORIGIN = "Origin: https://app.example"
RECORDING = b'{"segment_id":0}\n\x78\x9c\x00\xff\n\x00'
TIMED = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
    b"Server-Timing: db;dur=120, made-up;dur=3\r\nServer-Timing: view;dur=7\r\n\r\nok"
)


class Stand(NamedTuple):
    gateway: Gateway
    origin: Origin
    receiver: Receiver


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with running_origin() as origin, Receiver.receiving() as receiver:
        origin.answers["/reports/7"] = TIMED
        text = policy(
            origin.port,
            f"""
            sentry: {{dsn: "{receiver.dsn}", tunnel: {{max_body: 64KiB, per_minute: 40}}}}
            vitals: {{measures: [boot], per_minute: 40}}
            server_timing: [db, view]
            cors: {{origins: ["https://app.example"], credentials: true}}
            routes:
              - {{name: reports, match: {{path: "/reports/{{id}}"}}, upstream: app, auth: none}}
              - {{name: app, match: {{path: "/app/**"}}, upstream: app, auth: none}}
            """,
            workers=1,
            listen='trusted_proxies: ["127.0.0.1"]',
        )
        with running(text) as gateway:
            yield Stand(gateway, origin, receiver)


def envelope(dsn: str, *items: tuple[dict, bytes]) -> bytes:
    lines = [json.dumps({"event_id": "9ec79c33ec9942ab8353589fcb2e04dc", "dsn": dsn}).encode()]
    for header, payload in items:
        lines += (json.dumps(header).encode(), payload)
    return b"\n".join(lines)


def error(message: str) -> tuple[dict, bytes]:
    return {"type": "event"}, json.dumps({"message": message, "tags": {"tenant": "forged"}}).encode()


def tunnelled(body: bytes, *fields: str, address: str = "192.0.2.1") -> bytes:
    return get("/_gateway/sentry", f"X-Forwarded-For: {address}", *fields, method="POST", body=body)


def beacon(told: object, *fields: str, address: str = "192.0.2.1") -> bytes:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    return get("/_gateway/vitals", f"X-Forwarded-For: {address}", *fields, method="POST", body=body)


async def test_an_error_and_a_replay_reach_the_project_with_the_callers_tenant(stand: Stand) -> None:
    recording = ({"type": "replay_recording", "length": len(RECORDING)}, RECORDING)
    body = envelope(stand.receiver.dsn, error("one"), ({"type": "replay_event"}, b'{"replay_id":"r1"}'), recording)
    answer = await once(stand.gateway, tunnelled(body, bearer(), ORIGIN))
    assert (answer.status, answer.body) == (200, b"{}")
    assert answer.get("Access-Control-Allow-Origin") == "https://app.example"
    event = heard(stand.receiver, "event", lambda one: one["message"] == "one")
    assert event["tags"]["tenant"] == "acme"
    assert stand.receiver.of("replay_event")[0]["tags"]["tenant"] == "acme"
    (kept,) = [item for item in stand.receiver.items if item.kind == "replay_recording"]
    assert kept.payload == RECORDING
    assert f"sentry_key={PUBLIC_KEY}" in stand.receiver.auth[-1]
    assert all("_gateway" not in seen.request_line for seen in stand.origin.seen)


@pytest.mark.parametrize("fields", [(), ("Authorization: Bearer no.such.token",)])
async def test_nobody_has_to_be_known(stand: Stand, fields: tuple[str, ...]) -> None:
    message = f"anonymous {len(fields)}"
    assert (await once(stand.gateway, tunnelled(envelope(stand.receiver.dsn, error(message)), *fields))).status == 200
    event = heard(stand.receiver, "event", lambda one: one["message"] == message)
    assert event["tags"] == {}


@pytest.mark.parametrize(
    "dsn",
    [
        "https://key@elsewhere.example/1",
        "http://{key}@127.0.0.1:{port}/43",
        "http://{key}@127.0.0.1:{port}/42/",
        "http://other@127.0.0.1:{port}/42",
        "",
    ],
)
async def test_no_other_project_is_reached(stand: Stand, dsn: str) -> None:
    wrong = dsn.format(key=PUBLIC_KEY, port=stand.receiver.port)
    answer = await once(stand.gateway, tunnelled(envelope(wrong, error("elsewhere"))))
    assert answer.status == 400
    assert wrong.encode() not in answer.body or not wrong
    assert not any(one["message"] == "elsewhere" for one in stand.receiver.of("event"))


async def test_what_is_no_envelope_or_too_large_is_refused(stand: Stand) -> None:
    large = envelope(stand.receiver.dsn, ({"type": "attachment"}, b"x" * 70_000))
    assert (await once(stand.gateway, tunnelled(large))).status == 413
    assert (await once(stand.gateway, tunnelled(b"not an envelope"))).status == 400
    cut = envelope(stand.receiver.dsn, ({"type": "event", "length": 999}, b"{}"))
    assert (await once(stand.gateway, tunnelled(cut))).status == 400
    nested = json.loads("[" * 400 + "]" * 400)  # which can be read, and not be written again
    deep = envelope(stand.receiver.dsn, ({"type": "event", "x": nested}, b"{}"))
    assert (await once(stand.gateway, tunnelled(deep))).status == 400
    listed = envelope(stand.receiver.dsn, ({"type": ["event"]}, b"{}"))
    assert (await once(stand.gateway, tunnelled(listed, bearer()))).status == 400
    coded = tunnelled(envelope(stand.receiver.dsn, error("x")), "Content-Encoding: gzip")
    assert (await once(stand.gateway, coded)).status == 400
    refused = await once(stand.gateway, get("/_gateway/sentry"))
    assert (refused.status, refused.get("Allow")) == (405, "POST, OPTIONS")


@pytest.mark.parametrize("path", ["sentry", "vitals"])
async def test_one_address_is_bounded_and_no_other_pays_for_it(stand: Stand, path: str) -> None:
    """Over IPv6 a customer has a whole /64 of addresses: limits count them as one."""
    body = envelope(stand.receiver.dsn, error("flood")) if path == "sentry" else b'{"path":"/","values":{"LCP":1}}'

    async def send(address: str) -> int:
        request = get(f"/_gateway/{path}", f"X-Forwarded-For: {address}", method="POST", body=body)
        answer = await once(stand.gateway, request)
        assert answer.status != 429 or answer.get("Retry-After")
        return answer.status

    statuses = [await send("203.0.113.9") for _ in range(45)]
    assert statuses.count(429) in range(3, 6)
    assert await send("203.0.113.10") != 429
    of_one_customer = [await send(f"2001:db8:1:1::{n:x}") for n in range(1, 46)]
    assert of_one_customer.count(429) in range(3, 6)
    assert await send("2001:db8:1:2::1") != 429


async def test_a_preflight_is_answered_by_the_policys_cors(stand: Stand) -> None:
    asks = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type")
    answer = await once(stand.gateway, get("/_gateway/vitals", ORIGIN, *asks, method="OPTIONS"))
    assert (answer.status, answer.get("Access-Control-Allow-Origin")) == (204, "https://app.example")
    stranger = await once(
        stand.gateway, get("/_gateway/sentry", "Origin: https://evil.example", *asks, method="OPTIONS")
    )
    assert (stranger.status, stranger.get("Access-Control-Allow-Origin")) == (204, None)


async def test_vitals_are_histograms_of_the_pages_route(stand: Stand) -> None:
    values = {"LCP": 1800, "CLS": 0.02, "boot": 40}
    answer = await once(stand.gateway, beacon({"path": "/reports/7?token=hunter2", "values": values}, ORIGIN))
    assert (answer.status, answer.get("Access-Control-Allow-Origin")) == (204, "https://app.example")
    await once(stand.gateway, beacon({"path": "/no/such/page", "values": {"TTFB": 5}}))
    metrics = stand.gateway.metrics()
    assert metrics['sluicegate_web_vital_seconds_sum{name="lcp",route="reports"}'] == 1.8
    assert metrics['sluicegate_web_vital_seconds_sum{name="boot",route="reports"}'] == 0.04
    assert metrics['sluicegate_web_vital_layout_shift_ratio_sum{route="reports"}'] == 0.02
    assert metrics['sluicegate_web_vital_seconds_count{name="ttfb",route="none"}'] >= 1
    assert (await once(stand.gateway, beacon({"path": "/", "values": {"made-up": 1}}))).status == 400
    assert (await once(stand.gateway, beacon(b"x" * 5000))).status == 413


async def test_server_timing_is_a_histogram_and_goes_on_to_the_client(stand: Stand) -> None:
    answer = await once(stand.gateway, get("/reports/7"))
    assert answer.all("Server-Timing") == ["db;dur=120, made-up;dur=3", "view;dur=7"]
    metrics = eventually(stand.gateway.metrics)
    assert metrics['sluicegate_server_timing_seconds_sum{name="db",route="reports"}'] == 0.12
    assert metrics['sluicegate_server_timing_seconds_sum{name="view",route="reports"}'] == 0.007
    assert not any("made-up" in name for name in metrics)
    status, slow = stand.gateway.admin("GET", "/slow")
    (route,) = [one for one in slow["routes"] if one["route"] == "reports"]
    assert status == 200
    assert route["server_timing"]["db"]["mean_s"] == 0.12


async def test_where_the_policy_has_none_the_paths_are_nothing() -> None:
    with running_origin() as origin:
        rest = 'routes: [{name: app, match: {path: "/**"}, upstream: app, auth: none}]'
        with running(policy(origin.port, rest, workers=1)) as gateway:
            for path in ("sentry", "vitals"):
                assert (await once(gateway, get(f"/_gateway/{path}", method="POST", body=b"{}"))).status == 404
            assert origin.seen == []
