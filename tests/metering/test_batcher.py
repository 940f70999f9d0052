"""Admissions in batches: exact under concurrency, once, bounded in time, and nothing taken by those who gave up."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.core.clock import SystemClock
from proxy.metering.batcher import Batcher
from proxy.metering.plan import Plan, Planner
from proxy.metering.takes import MAX_BATCH, Outcome
from proxy.policy.model import Limit, ScopeKind
from proxy.store.breaker import FIRST_PROBE_MS, BreakerState
from proxy.store.client import Store, connect
from proxy.store.errors import Away, StoreAway
from tests.metering.faults import lossy
from tests.metering.samples import T0, limit, policy, rate, route, user
from tests.store.servers import BINARIES, Server, cluster, server

CLOCK = SystemClock()
WIDE = limit("wide", rate(1_000), scopes=(ScopeKind.TENANT,))
NARROW = limit("narrow", rate(100))

each_binary = pytest.mark.parametrize("binary", list(BINARIES.values()), ids=list(BINARIES))


def a_plan(*limits: Limit, factor: int = 1) -> Plan:
    made = route(*limits)
    return Planner(policy(made)).plan(made, user(), "192.0.2.1", T0, factor)


@asynccontextmanager
async def batching(store: Store, clock: SystemClock = CLOCK) -> AsyncIterator[Batcher]:
    batcher = Batcher(store, clock)
    await batcher.start()
    try:
        yield batcher
    finally:
        await batcher.stop()


def outcomes(results: list[object]) -> dict[str, int]:
    found: dict[str, int] = {}
    for result in results:
        name = result.reason.value if isinstance(result, StoreAway) else Outcome(result.outcome).name  # type: ignore[attr-defined]
        found[name] = found.get(name, 0) + 1
    return found


async def until(condition, within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - another process or task makes it true
            await asyncio.sleep(0.005)


async def test_exactly_the_capacity_is_admitted(store: Store) -> None:
    """Two workers, 300 requests at once, limits of 1000 and 100: 100 pass, and the wide one has counted just these."""
    plan = a_plan(WIDE, NARROW)
    async with batching(store) as one, batching(store) as two:
        decisions = await asyncio.gather(*((one, two)[n % 2].admit(plan) for n in range(300)))
    assert outcomes(decisions) == {"ADMITTED": 100, "REFUSED": 200}
    assert min(decision.remaining(0) for decision in decisions if decision.admitted) == 900_000
    assert one.batches + two.batches <= 2 * (1 + 150 // MAX_BATCH + 1), "they travelled together"


@each_binary
async def test_the_same_on_a_cluster(binary: str) -> None:
    """All meters of a decision are on one node, whichever that is."""
    with cluster(binary) as nodes:
        store = await connect(nodes.url, 2_000)
        plan = a_plan(WIDE, NARROW, limit("third", rate(150), scopes=(ScopeKind.IP,)))
        async with batching(store) as one, batching(store) as two:
            decisions = await asyncio.gather(*((one, two)[n % 2].admit(plan) for n in range(200)))
            for node in nodes.nodes:
                with node.client as client:
                    client.script_flush()
            assert (await one.admit(a_plan(WIDE))).remaining(0) == 899_000
        assert outcomes(decisions) == {"ADMITTED": 100, "REFUSED": 100}
        await store.close()


async def test_a_plan_without_limits_asks_nobody(store: Store) -> None:
    async with batching(store) as batcher:
        assert (await batcher.admit(a_plan())).admitted
        assert batcher.batches == 0


@each_binary
async def test_those_who_gave_up_on_a_stopped_redis_have_taken_nothing(binary: str) -> None:
    """50 clients wait in vain; when Redis goes on it reads their batch, and its deadlines have passed."""
    with server(binary) as stopped:
        store = await connect(stopped.url, 100)
        async with batching(store) as one, batching(store) as two:
            await one.admit(a_plan(WIDE))  # from here on the server knows the script, and would run it
            stopped.signal(signal.SIGSTOP)
            began = time.monotonic()
            results = await asyncio.gather(
                *((one, two)[n % 2].admit(a_plan(NARROW)) for n in range(50)), return_exceptions=True
            )
            assert outcomes(results) == {"timeout": 50}
            assert time.monotonic() - began < 1
            began = time.monotonic()
            for _ in range(100):
                with pytest.raises(StoreAway, match="breaker"):
                    await one.admit(a_plan(NARROW))
            assert time.monotonic() - began < 0.05, "once open, the breaker costs microseconds"
            stopped.signal(signal.SIGCONT)
            await until(lambda: one.breaker.closed and two.breaker.closed, 5)
            assert (await one.admit(a_plan(NARROW))).remaining(0) == 99_000
        await store.close()


@each_binary
async def test_without_deadlines_they_would_have(binary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: a batch that carries none is taken when Redis goes on."""
    monkeypatch.setattr("proxy.metering.offset.Offset.deadline", lambda self, monotonic: 0)
    with server(binary) as stopped:
        store = await connect(stopped.url, 100)
        async with batching(store) as batcher:
            await batcher.admit(a_plan(WIDE))
            stopped.signal(signal.SIGSTOP)
            await asyncio.gather(*(batcher.admit(a_plan(NARROW)) for _ in range(50)), return_exceptions=True)
            stopped.signal(signal.SIGCONT)
            await until(lambda: batcher.breaker.closed, 5)
            assert (await batcher.admit(a_plan(NARROW))).remaining(0) < 99_000
        await store.close()


@each_binary
async def test_killed_and_restarted(binary: str) -> None:
    """Within a second of its death the breaker is open, within five of its return closed, and no client probed."""
    with server(binary, "--appendonly", "yes", "--appendfsync", "always") as fragile:
        store = await connect(fragile.url, 100)
        async with batching(store) as batcher:
            assert (await batcher.admit(a_plan(NARROW))).remaining(0) == 99_000
            fragile.kill()
            began = time.monotonic()
            while batcher.breaker.closed:
                with pytest.raises(StoreAway):
                    await batcher.admit(a_plan(NARROW))
            assert time.monotonic() - began < 1
            fragile.start()
            await until(lambda: batcher.breaker.closed, 5)
            assert (await batcher.admit(a_plan(NARROW))).remaining(0) == 98_000
        await store.close()


@pytest.mark.parametrize(
    ("setting", "wrong", "right", "says"),
    [("maxmemory", 1, 0, "maxmemory"), ("min-replicas-to-write", 1, 0, "replicas")],
)
@each_binary
async def test_a_store_that_answers_but_cannot_admit_is_away_once(
    binary: str, setting: str, wrong: int, right: int, says: str
) -> None:
    """The probe asks for what admissions need: TIME is answered by a store without memory too. Its words are told."""
    told: list[StoreAway | None] = []
    with server(binary) as full, full.client as client:
        store = await connect(full.url, 1_000)
        async with batching(store) as batcher:
            batcher.breaker.on_change = told.append
            client.config_set(setting, wrong)
            async with asyncio.timeout(5):
                while (batcher.breaker.probe_in_ms(CLOCK.monotonic_ms()) or 0) < 2 * FIRST_PROBE_MS:
                    with pytest.raises(StoreAway):  # a client that asks all the time, until several probes have failed
                        await batcher.admit(a_plan(NARROW))
                    await asyncio.sleep(0.005)
            [why] = told
            assert why is not None
            assert why.reason is Away.REFUSED
            assert says in why.detail.lower()
            client.config_set(setting, right)
            await until(lambda: batcher.breaker.closed, 5)
            assert (await batcher.admit(a_plan(NARROW))).remaining(0) == 99_000
            assert told == [why, None]
        await store.close()


async def test_a_lost_reply_is_asked_for_again_and_takes_nothing_more(redis_server: Server, store: Store) -> None:
    """The batch was decided and the connection died with its reply: the same batch again gets the same answers."""
    async with lossy(redis_server.socket) as path:
        through = await connect(path.url, 1_000)
        async with batching(through) as batcher:
            for taken in range(1, 6):
                path.lose = 1
                assert (await batcher.admit(a_plan(NARROW))).remaining(0) == 100_000 - taken * 1_000
            assert path.lost == 5
            assert batcher.breaker.closed
            path.lose = 2
            with pytest.raises(StoreAway) as told:
                await batcher.admit(a_plan(NARROW))
            assert told.value.reason is Away.RESET
            path.lose = 0
        await through.close()


async def test_a_client_who_leaves_harms_no_other(store: Store) -> None:
    """Its decision is made or not; the others of its batch get theirs."""
    async with batching(store) as batcher:
        tasks = [asyncio.ensure_future(batcher.admit(a_plan(NARROW))) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
    assert all(result.admitted for result in results[1::2])


async def test_more_than_a_batch_waits_for_the_next(store: Store) -> None:
    async with batching(store) as batcher:
        decisions = await asyncio.gather(*(batcher.admit(a_plan(WIDE)) for _ in range(3 * MAX_BATCH)))
        assert batcher.batches >= 3
    assert outcomes(decisions) == {"ADMITTED": 3 * MAX_BATCH}


async def test_a_refusal_is_remembered_and_a_smaller_amount_is_asked_for(store: Store) -> None:
    """What cannot fit is refused without a round trip; what may fit is not."""
    async with batching(store) as batcher:
        assert (await batcher.admit(a_plan(NARROW, factor=95))).admitted
        refused = await batcher.admit(a_plan(NARROW, factor=10))
        assert (refused.outcome, refused.remembered) == (Outcome.REFUSED, False)
        asked = batcher.batches
        again = await batcher.admit(a_plan(NARROW, factor=10))
        assert again.remembered
        assert again.retry_after_ms is not None
        assert 0 < again.retry_after_ms <= (refused.retry_after_ms or 0)
        assert batcher.batches == asked
        assert (await batcher.admit(a_plan(NARROW, factor=5))).admitted


async def test_what_is_larger_than_the_capacity_can_never_be(store: Store) -> None:
    async with batching(store) as batcher:
        decision = await batcher.admit(a_plan(NARROW, factor=101))
    assert decision.outcome == Outcome.IMPOSSIBLE
    assert decision.retry_after_ms is None
    assert [each.name for each in decision.refused_by] == ["narrow"]


class Stepping(SystemClock):
    """A worker whose monotonic clock can be moved, so that the store's seems to step."""

    __slots__ = ("ahead_ms",)

    def __init__(self) -> None:
        self.ahead_ms = 0.0

    def monotonic_ms(self) -> float:
        return super().monotonic_ms() + self.ahead_ms


async def test_a_step_of_the_stores_clock_is_learnt_from_the_reply(store: Store) -> None:
    """All deadlines seem to have passed: the answer tells the time, and the second try is in it."""
    clock = Stepping()
    async with batching(store, clock) as batcher:
        clock.ahead_ms -= 60_000  # as seen from here, the store's clock has leapt a minute ahead
        assert (await batcher.admit(a_plan(NARROW))).remaining(0) == 99_000
        assert batcher.breaker.closed


async def test_a_worker_starts_while_the_store_is_away_and_finds_it_later(tmp_path) -> None:
    with server(next(iter(BINARIES.values()))) as late:
        store = await connect(late.url, 100)
        late.kill()
        async with batching(store) as batcher:
            assert batcher.breaker.state is not BreakerState.CLOSED
            with pytest.raises(StoreAway):
                await batcher.admit(a_plan(NARROW))
            late.start()
            await until(lambda: batcher.breaker.closed, 5)
            assert (await batcher.admit(a_plan(NARROW))).admitted
        await store.close()


async def test_who_waits_when_the_worker_ends_is_told(redis_server: Server, store: Store) -> None:
    async with batching(store) as batcher:
        redis_server.signal(signal.SIGSTOP)
        try:
            waiting = asyncio.ensure_future(batcher.admit(a_plan(NARROW)))
            await asyncio.sleep(0.01)
            await batcher.stop()
            with pytest.raises(StoreAway):
                await waiting
        finally:
            redis_server.signal(signal.SIGCONT)


async def test_a_probe_that_fails_by_our_own_fault_is_reported_and_asks_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the breaker would stay open for ever."""
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with batching(store) as batcher:
        monkeypatch.setattr(store, "forget", None)
        batcher._failed(StoreAway(Away.TIMEOUT))
        await until(lambda: reported)
        monkeypatch.undo()
        await until(lambda: batcher.breaker.closed)
        assert (await batcher.admit(a_plan(NARROW))).admitted


async def test_a_fault_of_our_own_fails_its_batch_and_not_the_lane(store: Store) -> None:
    """A lane that died in silence would hang every request after it."""
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with batching(store) as batcher:
        with pytest.raises(StoreAway):
            await batcher.admit(a_plan(NARROW), lease="not bytes")  # type: ignore[arg-type]
        assert (await batcher.admit(a_plan(NARROW))).admitted
    assert len(reported) == 1
