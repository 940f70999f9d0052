"""A reload is whole or not at all, and no request notices it."""

import asyncio
import itertools
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.gateway import (
    Client,
    Gateway,
    bearer,
    get,
    once,
    reached,
    running,
    running_command,
    statuses,
    volley,
)
from tests.e2e.origin import Origin, running_origin
from tests.e2e.policies import policy

pytestmark = pytest.mark.full  # many seconds


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Origin, Gateway]]:
    with running_origin() as origin, running(limited(origin, "10000/1m")) as gateway:
        yield origin, gateway


@pytest.fixture
def first(shared: tuple[Origin, Gateway]) -> tuple[Origin, Gateway]:
    """A gateway whose policy says 10,000."""
    origin, gateway = shared
    gateway.reload(limited(origin, "10000/1m"))
    return shared


APPLIED = 'sluicegate_policy_reloads_total{result="applied"'
REJECTED = 'sluicegate_policy_reloads_total{result="rejected"'
NEWEST = "sluicegate_policy_last_reload_successful"


def limited(origin: Origin, rate: str, **more: str) -> str:
    rest = f"""
limits: {{per-user: {{scope: user, rate: {rate}}}}}
routes: [{{name: app, match: {{path: "/**"}}, upstream: app, limits: [per-user]}}]
"""
    return policy(origin.port, rest, **more)


async def quota(gateway: Gateway) -> str:
    answer = await once(gateway, get("/", bearer(user="watcher")))
    return answer.get("RateLimit-Policy").partition("q=")[2].partition(";")[0]


async def all_workers_say(gateway: Gateway, wanted: str) -> bool:
    """Connections land on workers by chance: enough of them reach each."""
    return {await quota(gateway) for _ in range(12)} == {wanted}


async def test_40_sighup_puts_the_file_in_force_in_every_worker(first: tuple[Origin, Gateway]) -> None:
    origin, gateway = first
    before = gateway.metric(APPLIED)
    assert await all_workers_say(gateway, "10000")
    gateway.reload(limited(origin, "20000/1m"))
    assert await all_workers_say(gateway, "20000")
    assert gateway.metric(APPLIED) == before + 1
    assert gateway.metric(NEWEST) == 1


async def test_a_changed_file_is_noticed(first: tuple[Origin, Gateway]) -> None:
    origin, gateway = first
    before = gateway.metric(APPLIED)
    gateway.write_policy(limited(origin, "20000/1m"))
    await reached(lambda: gateway.metric(APPLIED) > before, 5)
    assert await all_workers_say(gateway, "20000")


async def test_a_configmaps_symlink_swap_is_noticed(origin: Origin, tmp_path: Path) -> None:
    """Kubernetes mounts config.yaml → ..data/config.yaml, ..data → ..1, and then swaps ..data for a link to ..2."""
    for number, rate in ((1, "10000/1m"), (2, "20000/1m")):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "config.yaml").write_text(limited(origin, rate))
    (tmp_path / "..data").symlink_to("..1")
    config = tmp_path / "config.yaml"
    config.symlink_to(Path("..data") / "config.yaml")
    with running_command(["run", "--config", str(config)], config) as gateway:
        assert await quota(gateway) == "10000"
        (tmp_path / "..new").symlink_to("..2")
        (tmp_path / "..new").rename(tmp_path / "..data")
        await reached(lambda: gateway.metric(APPLIED) == 1, 5)
        assert await all_workers_say(gateway, "20000")


BROKEN = {
    "not YAML": "version: 1\nroutes: [",
    "an unknown key": "version: 1\nunheard_of: 1\n",
    "not text": b"\xff\xfe\x00",
    "empty": "",
}


async def test_40_a_bad_file_leaves_the_old_policy_in_force(first: tuple[Origin, Gateway]) -> None:
    """Log and metrics say so; a good file afterwards is taken."""
    origin, gateway = first
    before = gateway.metric(REJECTED)
    for count, broken in enumerate(BROKEN.values(), 1):
        if isinstance(broken, bytes):
            gateway.config.write_bytes(broken)
        else:
            gateway.config.write_text(broken)
        gateway.process.send_signal(signal.SIGHUP)
        await reached(lambda goal=before + count: gateway.metric(REJECTED) >= goal)
        assert gateway.metric(NEWEST) == 0
        assert await all_workers_say(gateway, "10000")
    assert any(e["msg"].startswith("policy rejected") and e["level"] == "error" for e in gateway.events)
    gateway.reload(limited(origin, "20000/1m"))
    assert gateway.metric(NEWEST) == 1
    assert await all_workers_say(gateway, "20000")


async def test_40_a_file_that_vanishes_leaves_the_old_policy_in_force(first: tuple[Origin, Gateway]) -> None:
    origin, gateway = first
    gateway.config.unlink()
    await reached(lambda: gateway.metric(NEWEST) == 0, 5)
    assert await all_workers_say(gateway, "10000")
    gateway.write_policy(limited(origin, "20000/1m"))
    await reached(lambda: gateway.metric(NEWEST) == 1, 5)
    assert await all_workers_say(gateway, "20000")


async def test_40_what_only_a_restart_can_change_is_rejected_by_name(first: tuple[Origin, Gateway]) -> None:
    origin, gateway = first
    gateway.write_policy(limited(origin, "20000/1m", address="127.0.0.1:1").replace("workers: 2", "workers: 3"))
    gateway.process.send_signal(signal.SIGHUP)
    for key in ("listen.address", "listen.workers"):
        said = f"policy rejected, the old one stays: {key} can only change with a restart"
        await asyncio.to_thread(gateway.event, said)
    assert await all_workers_say(gateway, "10000")


async def test_a_changed_keys_file_is_a_reload(origin: Origin, tmp_path: Path) -> None:
    """As `sluicegate keys` writes it beside a running gateway."""
    config = tmp_path / "config.yaml"
    rest = 'routes: [{name: app, match: {path: "/**"}, upstream: app, limits: []}]'
    config.write_text(policy(origin.port, rest, identity="keys_file: keys.yaml"))
    keys = tmp_path / "keys.yaml"
    keys.write_text("")
    with running_command(["run", "--config", str(config)], config) as gateway:
        assert (await once(gateway, get("/", "x-api-key: not-a-key"))).status == 401
        key = await sluicegate_keys(tmp_path, "create", "robot", "--tenant", "acme")
        await reached(lambda: gateway.metric(APPLIED) == 1, 5)
        assert statuses(await volley(gateway, get("/", f"x-api-key: {key}"), 12)) == {200: 12}
        await sluicegate_keys(tmp_path, "revoke", "robot")
        await reached(lambda: gateway.metric(APPLIED) == 2, 5)
        assert statuses(await volley(gateway, get("/", f"x-api-key: {key}"), 12)) == {401: 12}


async def sluicegate_keys(folder: Path, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy",
        "keys",
        *arguments,
        "--file",
        str(folder / "keys.yaml"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode().strip()


WINDOWS = {"300ms": (300, 30), "1s": (1000, 60), "2s": (2000, 110), "3s": (3000, 140)}
"""Windows in milliseconds and their capacities."""

ORDER = random.Random(2).choices(list(WINDOWS), k=30)


async def test_40_a_reload_every_200_ms_fails_no_request_and_windows_stay_strict(origin: Origin) -> None:
    """Truth 2 across reloads (proxy/metering/reference.py): what is admitted under a window W at t, with the takes in
    (t-W, t] that no admission under a shorter window had seen leave before, is never more than its capacity.

    The RateLimit-Policy of each answer says which window admitted it, and it was admitted between request and answer.
    """
    admissions: list[tuple[float, float, int, int]] = []  # (sent, answered, window_s, capacity)
    wrong: list[str] = []
    stop = False
    who = get("/load", bearer(user="loader"))

    async def client(gateway: Gateway) -> None:
        async with await Client.connect(gateway) as connection:
            while not stop:
                sent = time.monotonic()
                await connection.send(who)
                answer = await connection.answer()
                answered = time.monotonic()
                if answer.status == 200:
                    named = answer.get("RateLimit-Policy")
                    capacity = int(named.partition("q=")[2].partition(";")[0])
                    window_ms = next(window for window, quota in WINDOWS.values() if quota == capacity)
                    admissions.append((sent, answered, window_ms, capacity))
                elif answer.status != 429:
                    wrong.append(f"{answer.status} {answer.body!r}")

    with running(limited(origin, "30/300ms")) as gateway:
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(client(gateway))
            started = time.monotonic()
            for number, window in enumerate(itertools.cycle(ORDER)):
                # Once through, and then until each window has admitted something: a slow machine needs longer.
                if number >= len(ORDER) and len({seen for _, _, seen, _ in admissions}) == len(WINDOWS):
                    break
                assert number < 10 * len(ORDER)
                capacity = WINDOWS[window][1]
                gateway.write_policy(limited(origin, f"{capacity}/{window}"))
                gateway.process.send_signal(signal.SIGHUP)
                await asyncio.sleep(max(0.0, started + (number + 1) * 0.2 - time.monotonic()))
            stop = True
        assert wrong == []
        assert gateway.metric(APPLIED) >= 20
        assert gateway.metric("sluicegate_worker_restarts_total") == 0
        assert gateway.metric(REJECTED) == 0
    assert len(admissions) > 100
    assert overfull(admissions) == []


def overfull(admissions: list[tuple[float, float, int, int]]) -> list[str]:
    """Admissions that truth 2 forbids, whichever moments between request and answer they happened at.

    A take surely lies in (t-W, t] if it was answered before t's request was sent, and sent after t's answer minus W.
    It may be forgotten if, at an admission v between them under a shorter window, it may have left that window.
    """
    found = []
    for sent, answered, window_ms, capacity in admissions:
        window_s = window_ms / 1000
        shorter = (one[1] - one[2] / 1000 for one in admissions if one[2] < window_ms and one[0] <= answered)
        seen_leave = max(shorter, default=float("-inf"))
        counted = [one for one in admissions if one[1] <= sent and one[0] > answered - window_s and one[0] > seen_leave]
        if len(counted) + 1 > capacity:
            found.append(f"{len(counted) + 1} of {capacity} in {window_s} s")
    return found


def test_the_judge_of_windows_finds_a_limit_that_was_exceeded() -> None:
    """Shown first on a record of 11 admissions of 10, and of two windows that are both kept."""
    ten = [(n / 100, n / 100 + 0.001, 1000, 10) for n in range(11)]
    assert overfull(ten) == ["11 of 10 in 1.0 s"]
    assert overfull(ten[:10]) == []
    # Eight under a short window, seen to have left it, and then as many as the longer one has.
    short = [(n / 100, n / 100 + 0.001, 100, 8) for n in range(8)]
    longer = [(0.5, 0.501, 100, 8)] + [(0.6 + n / 100, 0.6 + n / 100 + 0.001, 1000, 9) for n in range(8)]
    assert overfull(short + longer) == []
    assert overfull(short + longer + [(0.7, 0.701, 1000, 9)] * 2) != []


async def test_40_a_reload_fails_no_request_under_load(first: tuple[Origin, Gateway]) -> None:
    """Old routes are answered by the old policy, new ones by the new; nothing in between is an error."""
    origin, gateway = first
    stop = asyncio.Event()
    seen: set[int] = set()

    async def client() -> None:
        async with await Client.connect(gateway) as connection:
            while not stop.is_set():
                await connection.send(get("/", bearer(user="x")))
                seen.add((await connection.answer()).status)

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(client())
        for number in range(5):
            await asyncio.to_thread(gateway.reload, limited(origin, f"{1000001 + number}/1m"))
        stop.set()
    assert seen == {200}
