"""What waits gets to the collector: once, in spite of outages; what does not fit is counted."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aiohttp import ClientSession
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from proxy.otlp.courier import Courier
from proxy.otlp.spans import written
from proxy.otlp.waiting import Kind, spool_in
from proxy.policy.otlp import Otlp
from proxy.spooling import patience
from proxy.spooling.spool import Spool
from proxy.telemetry.exposition import Exposition
from proxy.telemetry.metrics import SENTRY_EVENTS, Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader
from proxy.tracing.trace import Trace
from tests.e2e.gateway import reached
from tests.otlp.collector import Collector
from tests.otlp.test_traced import traced
from tests.spooling.post_receiver import Answer

HOUR_MS = 3_600_000


@dataclass
class Stand:
    collector: Collector
    spool: Spool[Kind]
    courier: Courier
    exposition: Exposition
    metrics: Metrics
    otlp: Otlp

    async def write(self, *numbers: int) -> None:
        """One file, of a trace each."""
        traces = [written(traced(trace=Trace(f"{one:032x}", "", "1" * 16, "2" * 16))) for one in numbers]
        await asyncio.to_thread(self.spool.write, Kind.TRACE, traces)

    async def get_through(self, number: int) -> None:
        await self.write(number)
        await reached(lambda: number in self.heard())

    async def waiting(self) -> int:
        return len(await asyncio.to_thread(self.spool.waiting))

    def heard(self) -> list[int]:
        return [int(span.trace, 16) for span in self.collector.spans if span.kind == 2]

    def count(self, family: str, result: str) -> float:
        return self.exposition.totals().get((f"sluicegate_otlp_{family}", (result,)), 0)


def made(folder: Path, collector: Collector, **changes: object) -> Stand:
    files, exposition = SheetFiles.make(), Exposition()
    exposition.attach(SheetReader(files))
    metrics = Metrics(Sheet(files))
    courier = Courier(str(folder), metrics, exposition.told, exposition.began_s)
    otlp = replace(Otlp(collector.url, (("api-key", "k"),), (), 0.1, HOUR_MS, 2_000), **changes)  # type: ignore[arg-type]
    courier.follow(otlp)
    return Stand(collector, spool_in(str(folder)), courier, exposition, metrics, otlp)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with Collector.receiving() as collector:
        yield made(tmp_path, collector)


async def test_all_of_it_gets_there_oldest_first(stand: Stand) -> None:
    await stand.write(1, 2, 3)
    await stand.write(4)
    async with ClientSession() as session:
        await stand.courier.round(session)
    assert stand.heard() == [1, 2, 3, 4]
    assert await stand.waiting() == 0
    assert stand.count("traces", "sent") == 4
    assert {path for path, _ in stand.collector.asked} == {"/v1/traces"}
    fields = stand.collector.asked[0][1]
    assert (fields["content-type"], fields["api-key"]) == ("application/x-protobuf", "k")


async def test_over_an_outage_nothing_is_lost_nor_told_twice(stand: Stand) -> None:
    async with stand.courier.working():
        stand.collector.stop()
        await stand.write(1)
        await asyncio.sleep(0.6)  # it tries in vain
        await stand.write(2)
        stand.collector.start()
        await reached(lambda: stand.count("traces", "sent") == 2)
    assert stand.heard() == [1, 2]
    assert await stand.waiting() == 0


async def test_a_restart_sends_what_waited(stand: Stand, tmp_path: Path) -> None:
    stand.collector.stop()
    await stand.write(1)
    async with stand.courier.working():
        pass
    assert await stand.waiting() == 1
    stand.collector.start()
    other = made(tmp_path, stand.collector)
    async with other.courier.working():
        await reached(lambda: other.heard() == [1])


@pytest.mark.parametrize("status", [500, 502, 503, 429, 401, 403, 404, 408])
async def test_what_may_be_mended_is_tried_again(stand: Stand, status: int) -> None:
    stand.collector.answers = [Answer(status), Answer(200)]
    await stand.write(1)
    async with stand.courier.working():
        await reached(lambda: stand.heard() == [1])


async def test_a_collector_may_ask_to_wait(stand: Stand) -> None:
    stand.collector.answers = [Answer(503, {"Retry-After": "2"}), Answer(200)]
    await stand.write(1)
    async with ClientSession() as session:
        started = time.monotonic()
        while not stand.heard():
            await stand.courier.round(session)
            await asyncio.sleep(0.05)
    assert time.monotonic() - started >= 1.9
    assert len(stand.collector.asked) == 2


async def test_what_is_refused_for_good_is_counted_and_holds_nobody_up(stand: Stand) -> None:
    stand.collector.answers = [Answer(400), Answer(413), Answer(200)]
    for number in (1, 2, 3):
        await stand.write(number)
    async with stand.courier.working():
        await reached(lambda: stand.heard() == [3])
    assert stand.count("traces", "refused") == 2


async def test_a_message_that_always_fails_holds_nobody_up_and_is_given_up_and_counted(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collector that always fails over one message got none of the others."""
    monkeypatch.setattr(patience, "MOST_STRIKES", 2)
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.01)
    poison = bytes.fromhex(f"{7:032x}")
    stand.collector.decides = lambda body: Answer(500) if poison in body else None
    await stand.write(7, 8)
    async with stand.courier.working():
        async with asyncio.timeout(10):
            number = 100
            while not stand.count("traces", "dropped"):
                number += 1
                await stand.get_through(number)
    assert stand.heard() == list(range(101, number + 1))
    assert (stand.count("traces", "dropped"), await stand.waiting()) == (2, 0)


async def test_another_collector_does_not_wait_as_long_as_the_one_before_asked(stand: Stand) -> None:
    stand.collector.answers = [Answer(503, {"Retry-After": "3600"})]
    await stand.write(1)
    with Collector.receiving() as other:
        async with stand.courier.working():
            await reached(lambda: "/v1/traces" in stand.collector.paths)
            stand.courier.follow(replace(stand.otlp, endpoint=other.url))
            await reached(lambda: stand.count("traces", "sent") == 1)
    assert stand.heard() == []


async def test_what_a_collector_leaves_out_is_told(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    told = ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(rejected_spans=3))
    stand.collector.answers = [Answer(200, {}, told.SerializeToString())]
    await stand.write(1)
    async with ClientSession() as session:
        await stand.courier.round(session)
    assert (stand.count("traces", "partly"), await stand.waiting()) == (1, 0)
    assert [record.message for record in caplog.records] == ["the collector left out a part of a message"]


async def test_a_file_that_is_none_of_ours_is_let_go(stand: Stand) -> None:
    await asyncio.to_thread(stand.spool.write, Kind.TRACE, [b"no json"])
    await stand.write(1)
    async with ClientSession() as session:
        await stand.courier.round(session)
    assert stand.heard() == [1]
    assert stand.count("traces", "refused") == 1


async def test_too_much_of_it_loses_the_oldest_and_counts_them(stand: Stand) -> None:
    stand.courier._spool._bounds = {Kind.TRACE: (2, 10**6)}
    for number in range(4):
        await stand.write(number, 10 + number)
    async with ClientSession() as session:
        await stand.courier.round(session)
    assert stand.heard() == [2, 12, 3, 13]
    assert stand.count("traces", "dropped") == 4


async def test_a_collector_that_does_not_answer_holds_up_one_message_for_its_time(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        stand = made(tmp_path, Collector(server.sockets[0].getsockname()[1]), timeout_ms=200)
        await stand.write(1)
        started = time.monotonic()
        async with ClientSession() as session:
            await stand.courier.round(session)
        assert time.monotonic() - started < 2
    assert await stand.waiting() == 1


async def test_without_a_collector_or_without_traces_it_all_stays(stand: Stand) -> None:
    await stand.write(1)
    for otlp in (None, replace(stand.otlp, sample_rate=None)):
        stand.courier.follow(otlp)
        async with ClientSession() as session:
            await stand.courier.round(session)
    assert (await stand.waiting(), stand.collector.asked) == (1, [])


async def test_metrics_are_told_every_so_often_with_all_that_is_counted(tmp_path: Path) -> None:
    with Collector.receiving() as collector:
        stand = made(tmp_path, collector, every_ms=50, resource=(("service.name", "edge"),))
        stand.metrics.inc(SENTRY_EVENTS, "sent", by=7)
        async with stand.courier.working():
            await reached(lambda: len(collector.pushes) >= 3)
        key = ("sluicegate_sentry_events", (("result", "sent"),))
        point = collector.points()[key]
        assert point.as_double == 7
        assert point.start_time_unix_nano == int(stand.exposition.began_s * 1e9)
        resource = collector.resources[0]
        assert (resource["service.name"], len(resource["service.instance.id"])) == ("edge", 32)
        assert "service.version" in resource
        assert stand.count("pushes", "sent") == len(collector.pushes)


async def test_metrics_that_were_not_heard_are_in_the_next(tmp_path: Path) -> None:
    """They do not wait: what is counted is all there again."""
    with Collector.receiving() as collector:
        collector.answers = [Answer(503), Answer(200)]
        stand = made(tmp_path, collector, every_ms=50)
        async with stand.courier.working():
            await reached(lambda: len(collector.pushes) >= 1)
        later = (("result", "later"),)
        assert collector.points()["sluicegate_otlp_pushes", later].as_double == 1


async def test_the_last_of_both_is_told_before_the_end(stand: Stand) -> None:
    async with stand.courier.working():
        stand.metrics.inc(SENTRY_EVENTS, "sent", by=7)
        await stand.write(1)
    assert stand.heard() == [1]
    assert stand.collector.points()["sluicegate_sentry_events", (("result", "sent"),)].as_double == 7


async def test_a_collector_that_is_named_later_hears_from_then_on(stand: Stand) -> None:
    stand.courier.follow(None)
    async with stand.courier.working():
        await stand.write(1)
        stand.courier.follow(replace(stand.otlp, every_ms=50))
        await reached(lambda: stand.heard() == [1] and len(stand.collector.pushes) >= 1)
        stand.courier.follow(replace(stand.otlp, every_ms=None))
        before = len(stand.collector.pushes)
    assert len(stand.collector.pushes) <= before + 1  # one may have been on its way
