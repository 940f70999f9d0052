"""The number of live workers, as each of them last knew it."""

from proxy.metering.heartbeats import Heartbeats
from proxy.store.client import Store, connect
from tests.metering.test_batcher import until
from tests.store.servers import BINARIES, server


async def test_each_worker_learns_of_those_that_come_and_go(store: Store) -> None:
    one, two = Heartbeats(store, every_s=0.02), Heartbeats(store, every_s=0.02)
    await one.start()
    assert one.workers == 1
    await two.start()
    assert two.workers == 2
    await until(lambda: one.workers == 2)
    await two.stop()
    await until(lambda: one.workers == 1)
    await one.stop()


async def test_the_last_number_known_stands_while_the_store_is_away() -> None:
    with server(next(iter(BINARIES.values()))) as fragile:
        store = await connect(fragile.url, 100)
        one, two = Heartbeats(store, every_s=0.02), Heartbeats(store)
        await two.start()
        await one.start()
        fragile.kill()
        await until(lambda: not store._idle)
        assert one.workers == 2
        await one.stop()
        await two.stop()
        await store.close()


async def test_a_gateway_knows_at_least_its_own_workers(store: Store) -> None:
    """Before the others have been heard of, or with a store that never answered, none takes the whole limit."""
    one = Heartbeats(store, at_least=4)
    assert one.workers == 4
    await one.start()
    assert one.workers == 4
    await one.stop()
