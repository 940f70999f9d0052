"""Sentry hears of each fault once, with whose it was and nothing private, also of what happened while it was away."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.e2e.gateway import ROOT, Gateway, bearer, eventually, get, once, running, token
from tests.e2e.origin import Origin, running_origin
from tests.e2e.policies import policy
from tests.otlp.collector import Collector
from tests.sentry.sentry_receiver import PROJECT, PUBLIC_KEY, Receiver, heard

pytestmark = pytest.mark.full  # many seconds

FAULTS = {"PYTHONPATH": f"{ROOT / 'tests/sentry/faults'}:{ROOT}", "PASSWORD_OF_A_PROCESS": "hunter2-of-a-process"}
TOKEN = token(user="somebody@private.example")
SECRETS = {
    "Authorization": f"Bearer {TOKEN}",
    "Cookie": "sb-project-auth-token=base64-c2Vzc2lvbg; theme=dark-and-private",
    "X-Api-Key": "sk-live-4242424242424242",
    "X-Session": "correct horse battery staple",
    "Referer": "https://elsewhere.example/reset?code=918273645",
}
BODY = b"""{"password": "p4ssw0rd-in-a-body", "note": "meine Diagnose ist geheim",
 "card": "4242 4242 4242 4242 cvc 123"}"""
QUERY = "invitation=join-us-quietly&email=ann%40private.example&bareword"
PRIVATE = [
    TOKEN,
    TOKEN.split(".")[1],
    TOKEN.split(".")[2],
    "somebody@private.example",
    "c2Vzc2lvbg",
    "dark-and-private",
    "4242424242424242",
    "4242 4242",
    "cvc 123",
    "horse",
    "staple",
    "918273645",
    "p4ssw0rd-in-a-body",
    "Diagnose",
    "geheim",
    "join-us-quietly",
    "ann%40private",
    "bareword",
    "private.example",
    "hunter2",
    "path-segment-of-a-reset",
    "password-of-the-upstream",
]


def sentry_policy(origin: Origin, receiver: Receiver, rest: str = "", **options) -> str:
    return policy(
        origin.port,
        f"""
        sentry: {{dsn: "{receiver.dsn}", environment: test, release: "app@1.2.3", {rest}}}
        routes:
          - {{name: app, match: {{path: "/**"}}, upstream: app, auth: optional, timeouts: {{first_byte: 1s}}}}
        """,
        upstream='headers: {X-Upstream: "password-of-the-upstream"}',
        **options,
    )


def faulty(fault: str, path: str = "/reset/path-segment-of-a-reset") -> bytes:
    fields = [f"{name}: {value}" for name, value in SECRETS.items()]
    return get(f"{path}?{QUERY}", f"X-Fault: {fault}", *fields, method="POST", body=BODY)


def nothing_private(receiver: Receiver, gateway: Gateway | None = None, said: str = "") -> None:
    """In what Sentry has, in what waits for it, and in what the processes said on standard error."""
    kept = [said.encode()]
    if gateway is not None:
        kept += [file.read_bytes() for file in spool(gateway).rglob("*") if file.is_file()]
        kept.append("".join([*map(str, gateway.events), *gateway.other_output]).encode())
    for secret in PRIVATE:
        assert not any(secret.encode() in body for body in [*receiver.raw, *kept]), secret


def events(receiver: Receiver) -> list:
    return receiver.of("event")


def spool(gateway: Gateway) -> Path:
    return gateway.config.parent / "data" / "sentry"


async def test_each_fault_is_one_event_with_tags_and_nothing_private() -> None:
    """A request's, a chain's, a task's, a worker's end; an upstream's 5xx and timeout."""
    with running_origin() as origin, Receiver.receiving() as receiver:
        origin.answers["/bad"] = b"HTTP/1.1 503 No\r\nContent-Length: 6\r\n\r\ngeheim"
        origin.answers["/slow"] = lambda exchange: exchange.pause_then_ok(3)
        with running(sentry_policy(origin, receiver, workers=1), FAULTS) as gateway:
            ids = {}
            for fault in ("request", "chained", "task"):
                answer = await once(gateway, faulty(fault))
                ids[fault] = answer.get("X-Request-ID")
            for path in ("/bad", "/slow"):
                ids[path] = (await once(gateway, faulty("", path))).get("X-Request-ID")
            eventually(lambda: len(events(receiver)) == 5)  # a worker that is killed loses its last milliseconds
            with pytest.raises((EOFError, ConnectionError)):
                await once(gateway, faulty("process"))
            heard(receiver, "event", lambda one: "worker died" in one.get("message", ""))
            found = {one["tags"].get("request_id"): one for one in events(receiver)}
            broken = found[ids["request"]]
            assert broken["exception"]["values"][0]["type"] == "RuntimeError"
            assert broken["exception"]["values"][0]["value"].startswith("('it … with …")
            tags = broken["tags"]
            assert tags == {
                "process": "worker",
                "policy": gateway.event("ready")["policy"],
                "route": "app",
                "tier": "growth_team",
                "tenant": "acme",
                "request_id": ids["request"],
                "where": "unhandled error",
            }
            assert broken["environment"] == "test"
            assert broken["release"] == "app@1.2.3"
            assert broken["transaction"] == "POST app"
            assert broken["request"]["url"] == "/**"
            assert broken["request"]["query_string"] == "invitation=[Filtered]&email=[Filtered]"
            frames = broken["exception"]["values"][0]["stacktrace"]["frames"]
            assert frames[0]["module"] == "proxy.gateway.handler"
            assert all(set(frame) == {"filename", "function", "module", "lineno", "in_app"} for frame in frames)
            chained = [value["type"] for value in found[ids["chained"]]["exception"]["values"]]
            assert chained == ["KeyError", "ValueError"]
            (task,) = [one for one in events(receiver) if "never retrieved" in one["tags"].get("where", "")]
            assert task["exception"]["values"][0]["type"] == "LookupError"
            assert found[ids["/bad"]]["tags"]["reason"] == "upstream_5xx"
            assert found[ids["/slow"]]["tags"]["reason"] == "upstream_timeout"
            assert found[ids["/slow"]]["tags"]["upstream"] == "app"
            assert len(events(receiver)) == 6
            assert set(receiver.paths) == {f"/api/{PROJECT}/envelope/"}
            assert all(f"sentry_key={PUBLIC_KEY}" in auth for auth in receiver.auth)
            eventually(lambda: gateway.metric(r'sluicegate_sentry_events_total\{result="sent"\}') == 6)
            unhandled = [one["exception"] for one in gateway.events if "exception" in one]
            assert len(unhandled) == 3  # the request's, the chain's, the task's: where they failed stays readable
            assert all("in admit\n" in one or "in _failing\n" in one for one in unhandled)
            nothing_private(receiver, gateway)


async def test_none_is_lost_while_sentry_is_away_nor_over_a_restart() -> None:
    """What happened meanwhile is sent when it is back, once each; what the gateway ended with, by its successor."""
    with running_origin() as origin, Receiver.receiving() as receiver:
        text = sentry_policy(origin, receiver, workers=1)
        with running(text, FAULTS) as gateway:
            receiver.stop()
            early = [(await once(gateway, faulty("request"))).get("X-Request-ID") for _ in range(3)]
            eventually(lambda: len(list(spool(gateway).glob("error-*"))) == 3)
            receiver.start()
            for request_id in early:
                heard(receiver, "event", lambda one, wanted=request_id: one["tags"].get("request_id") == wanted)
            receiver.stop()
            late = (await once(gateway, faulty("chained"))).get("X-Request-ID")
            eventually(lambda: list(spool(gateway).glob("error-*")))
            nothing_private(receiver, gateway)
            gateway.stop()
            assert list(spool(gateway).glob("error-*"))
            receiver.start()
            with running(text.replace("data_dir: data", f"data_dir: {gateway.config.parent / 'data'}")):
                heard(receiver, "event", lambda one: one["tags"].get("request_id") == late)
        assert sorted(one["tags"]["request_id"] for one in events(receiver)) == sorted([*early, late])
        nothing_private(receiver)


@pytest.mark.parametrize("process", ["parent", "background"])
def test_a_process_that_ends_by_a_fault_is_told_of(process: str, tmp_path: Path) -> None:
    """Of the parent, too, which sends what it ends by before it is gone."""
    ledger = f"ledger: {{url: 'sqlite:///{tmp_path}/ledger.db'}}\n"
    with running_origin() as origin, Receiver.receiving() as receiver:
        text = ledger + sentry_policy(origin, receiver, workers=1)
        gateway, said = None, ""
        try:
            with running(text, {**FAULTS, "SLUICEGATE_FAULT": process}) as gateway:
                event = heard(receiver, "event", lambda one: one["tags"]["process"] == process)
                ended = "the process ends by an exception"
                eventually(lambda: any(one["msg"] == ended for one in gateway.events))
        except AssertionError as error:
            if process == "background":
                raise
            said = str(error)
            event = heard(receiver, "event", lambda one: one["tags"]["process"] == process)
        assert event["level"] == "fatal"
        assert event["exception"]["values"][-1]["value"] == "the process cannot go on with …"
        nothing_private(receiver, gateway, said)


async def test_the_same_fault_over_and_over_is_counted() -> None:
    """The first is never held back, and of a flood each process sends a few."""
    with (
        running_origin() as origin,
        Receiver.receiving() as receiver,
        running(sentry_policy(origin, receiver, workers=1), FAULTS) as gateway,
    ):
        for _ in range(50):
            await once(gateway, faulty("request"))
        other = (await once(gateway, faulty("chained"))).get("X-Request-ID")
        heard(receiver, "event", lambda one: one["tags"].get("request_id") == other)
        eventually(lambda: len(events(receiver)) == 21)  # they go beside one another
        assert gateway.metric(r'sluicegate_sentry_events_total\{result="repeated"\}') == 30


async def test_a_killed_worker_is_told_of_and_what_the_policy_leaves_out_is_not() -> None:
    with running_origin() as origin, Receiver.receiving() as receiver:
        origin.answers["/bad"] = b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"
        with running(sentry_policy(origin, receiver, "report: []", workers=1)) as gateway:
            await once(gateway, get("/bad", bearer()))
            (pid,) = gateway.worker_pids()
            os.kill(pid, signal.SIGKILL)
            event = heard(receiver, "event", lambda one: "worker died" in one.get("message", ""))
            assert event["tags"]["process"] == "parent"
            assert (event["tags"]["died"], event["tags"]["status"]) == ("worker", "-9")
            await asyncio.sleep(0.6)  # two rounds of the courier: nothing else comes
            assert len(events(receiver)) == 1


async def test_a_tenant_that_is_somebodys_address_is_told_by_no_way() -> None:
    """Of one request: the event, its transaction, the collector's span, and what its browser sends."""
    with running_origin() as origin, Receiver.receiving() as receiver, Collector.receiving() as collector:
        origin.answers["/bad"] = b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"
        text = sentry_policy(origin, receiver, "traces_sample_rate: 1, tunnel: true", workers=1)
        with running(
            text + f"otlp: {{endpoint: '{collector.url}', traces: {{sample_rate: 1}}, metrics: off}}\n"
        ) as gateway:
            credential = f"Authorization: Bearer {token(tenant='ann@private.example')}"
            await once(gateway, get("/bad", credential))
            body = b'{"dsn":"%b"}\n{"type":"event"}\n{"message":"browser"}\n' % receiver.dsn.encode()
            await once(gateway, get("/_gateway/sentry", credential, method="POST", body=body))
            told = [heard(receiver, "event", lambda one: one["message"] != "browser")]
            told.append(heard(receiver, "event", lambda one: one["message"] == "browser"))
            told.append(heard(receiver, "transaction", lambda one: one["transaction"] == "GET app"))
            assert [one["tags"]["tenant"] for one in told] == ["[Filtered]"] * 3
            seen = eventually(lambda: [s for s in collector.spans if "sluicegate.tenant" in s.attributes])
            assert [span.attributes["sluicegate.tenant"] for span in seen] == ["[Filtered]"] * len(seen)
            nothing_private(receiver, gateway)
