"""A policy in several files: each is watched, each fault is told where it stands, and no request notices."""

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e.gateway import Client, Gateway, bearer, eventually, get, once, reached, running_command
from tests.e2e.origin import Origin
from tests.e2e.policies import policy

pytestmark = pytest.mark.full  # processes, and seconds of load

NEWEST = "sluicegate_policy_last_reload_successful"
APPLIED = 'sluicegate_policy_reloads_total{result="applied"'
REJECTED = 'sluicegate_policy_reloads_total{result="rejected"'

LIMITS = "limits: {{per-user: {{scope: user, rate: {0}/1m}}}}\n"
ROUTE = (
    "routes:\n- {{name: {0}, match: {{path: /{0}}}, upstream: app, auth: none, limits: [], rewrite: {{strip: /{0}}}}}\n"
)
LAST = 'routes: [{name: app, match: {path: "/"}, upstream: app, limits: [per-user]}]\n'


def replace(path: Path, text: str) -> None:
    """As an editor does: whole."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.replace(path)


@pytest.fixture
def folder(origin: Origin, tmp_path: Path) -> Path:
    """config.yaml with limits.yaml and routes.d/, and prod.yaml over them."""
    (tmp_path / "routes.d").mkdir()
    (tmp_path / "config.yaml").write_text(policy(origin.port, "include: [limits.yaml, routes.d/*.yaml]"))
    (tmp_path / "limits.yaml").write_text(LIMITS.format(100_000))
    (tmp_path / "routes.d/99-app.yaml").write_text(LAST)
    (tmp_path / "prod.yaml").write_text("answers: {legacy_reset: delta}\n")
    return tmp_path


@pytest.fixture
def gateway(folder: Path) -> Iterator[Gateway]:
    config = folder / "config.yaml"
    with running_command(["run", "--config", str(config), "--overlay", "prod.yaml"], config) as gateway:
        yield gateway


async def quota(gateway: Gateway) -> str:
    answer = await once(gateway, get("/", bearer(user="watcher")))
    return (answer.get("RateLimit-Policy") or "").partition("q=")[2].partition(";")[0]


async def status(gateway: Gateway, path: str) -> int:
    return (await once(gateway, get(path))).status


async def in_force(gateway: Gateway, before: float) -> None:
    """Waits until a reload more than ``before`` was taken: every worker has it then."""
    await reached(lambda: gateway.metric(APPLIED) > before, 10)


@contextlib.asynccontextmanager
async def load(gateway: Gateway, connections: int = 6) -> AsyncIterator[Counter[int]]:
    """Clients that ask all the time; how many answers of each status they got."""
    stop, seen = asyncio.Event(), Counter[int]()

    async def client(number: int) -> None:
        async with await Client.connect(gateway) as connection:
            while not stop.is_set():
                await connection.send(get("/", bearer(user=f"u{number}")))
                seen[(await connection.answer()).status] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(client(number))
        try:
            yield seen
        finally:
            stop.set()


async def test_each_file_takes_effect_by_itself_and_no_request_fails(folder: Path, gateway: Gateway) -> None:
    """One is edited, one comes, one goes, the overlay is edited: under load, without a signal."""
    assert await quota(gateway) == "100000"
    async with load(gateway) as seen:
        before = gateway.metric(APPLIED)
        replace(folder / "limits.yaml", LIMITS.format(200_000))
        await in_force(gateway, before)
        assert {await quota(gateway) for _ in range(12)} == {"200000"}

        assert await status(gateway, "/extra") == 404
        before = gateway.metric(APPLIED)
        replace(folder / "routes.d/10-extra.yaml", ROUTE.format("extra"))
        await in_force(gateway, before)
        assert {await status(gateway, "/extra") for _ in range(12)} == {200}

        before = gateway.metric(APPLIED)
        (folder / "routes.d/10-extra.yaml").unlink()
        await in_force(gateway, before)
        assert {await status(gateway, "/extra") for _ in range(12)} == {404}

        before = gateway.metric(APPLIED)
        replace(folder / "prod.yaml", "limits: {per-user: {rate: 300_000/1m}}\n")
        await in_force(gateway, before)
        assert {await quota(gateway) for _ in range(12)} == {"300000"}
    assert set(seen) == {200}
    assert seen[200] > 200


async def test_a_fault_in_one_file_is_told_with_its_line_and_the_old_policy_stays(
    folder: Path, gateway: Gateway
) -> None:
    """Under load; and mended where it is, it is taken: also in a file that the policy in force never had."""
    async with load(gateway) as seen:
        rejected = gateway.metric(REJECTED)
        replace(folder / "routes.d/10-extra.yaml", "\n" + ROUTE.format("extra").replace("upstream:", "upstreem:"))
        await reached(lambda: gateway.metric(REJECTED) > rejected, 10)
        assert gateway.metric(NEWEST) == 0
        place = f"{folder}/routes.d/10-extra.yaml:3: routes[0].upstreem: unknown key 'upstreem'"
        eventually(lambda: any(f"the old one stays: {place}" in event["msg"] for event in gateway.events))
        assert await quota(gateway) == "100000"
        assert await status(gateway, "/extra") == 404

        before = gateway.metric(APPLIED)
        replace(folder / "routes.d/10-extra.yaml", ROUTE.format("extra"))
        await in_force(gateway, before)
        assert await status(gateway, "/extra") == 200

        rejected = gateway.metric(REJECTED)
        config = (folder / "config.yaml").read_text()
        replace(folder / "config.yaml", config.replace("[limits.yaml,", "[limits.yaml, more.yaml,"))
        await reached(lambda: gateway.metric(REJECTED) > rejected, 10)
        before = gateway.metric(APPLIED)
        replace(folder / "more.yaml", ROUTE.format("more"))
        await in_force(gateway, before)
        assert await status(gateway, "/more") == 200
    assert set(seen) == {200}


async def test_a_pipe_in_an_included_folder_holds_up_no_reload(folder: Path, gateway: Gateway) -> None:
    """It is told as a fault, and once it is gone the next change is taken."""
    rejected = gateway.metric(REJECTED)
    os.mkfifo(folder / "routes.d/50-pipe.yaml")
    await reached(lambda: gateway.metric(REJECTED) > rejected, 10)
    named = "the file 'routes.d/50-pipe.yaml' cannot be read: it is no regular file"
    eventually(lambda: any(named in event["msg"] for event in gateway.events))
    assert await quota(gateway) == "100000"
    before = gateway.metric(APPLIED)
    (folder / "routes.d/50-pipe.yaml").unlink()
    replace(folder / "limits.yaml", LIMITS.format(200_000))
    await in_force(gateway, before)
    await reached(lambda: gateway.metric(NEWEST) == 1, 10)
    assert await quota(gateway) == "200000"


async def test_a_configmaps_swap_brings_changed_and_new_files_and_takes_some(origin: Origin, tmp_path: Path) -> None:
    """routes.d is a ConfigMap: its files are links through ..data, which is swapped, and links that come or go after.

    A link that leads nowhere for the moment is a file that cannot be read: until it is gone the old policy stays.
    """
    routes = tmp_path / "routes.d"
    first = {"app": LIMITS.format(10_000) + LAST}
    second = {"app": LIMITS.format(20_000) + LAST, "a": ROUTE.format("a")}
    for version, files in (("..1", first), ("..2", second), ("..3", first)):
        (routes / version).mkdir(parents=True)
        for name, text in files.items():
            (routes / version / f"{name}.yaml").write_text(text)

    def swap(version: str) -> None:
        (routes / "..new").symlink_to(version)
        (routes / "..new").rename(routes / "..data")

    swap("..1")
    (routes / "app.yaml").symlink_to("..data/app.yaml")
    config = tmp_path / "config.yaml"
    config.write_text(policy(origin.port, "include: routes.d/*.yaml"))
    with running_command(["run", "--config", str(config)], config) as gateway:
        assert await quota(gateway) == "10000"
        swap("..2")
        (routes / "a.yaml").symlink_to("..data/a.yaml")
        async with asyncio.timeout(10):
            while {await status(gateway, "/a") for _ in range(12)} != {200}:
                pass
        assert {await quota(gateway) for _ in range(12)} == {"20000"}
        assert gateway.metric(REJECTED) == 0

        swap("..3")
        await reached(lambda: gateway.metric(REJECTED) == 1, 10)
        assert await quota(gateway) == "20000"
        (routes / "a.yaml").unlink()
        await reached(lambda: gateway.metric(NEWEST) == 1, 10)
        assert {await status(gateway, "/a") for _ in range(12)} == {404}
        assert {await quota(gateway) for _ in range(12)} == {"10000"}


async def test_a_signal_and_the_admin_listener_read_the_overlays_too(origin: Origin, tmp_path: Path) -> None:
    """A reload without them would be another policy."""
    config, over = tmp_path / "config.yaml", tmp_path / "over.yaml"
    token = "t" * 16
    config.write_text(policy(origin.port, LIMITS.format(100) + LAST, admin_token=token))
    over.write_text("limits: {per-user: {rate: 10_000/1m}}\n")
    with running_command(["run", "--config", str(config), "--overlay", str(over)], config) as gateway:
        version = gateway.event("ready")["policy"]
        assert await quota(gateway) == "10000"
        before = gateway.metric(APPLIED)
        gateway.process.send_signal(signal.SIGHUP)
        await in_force(gateway, before)
        assert await quota(gateway) == "10000"
        assert gateway.event("policy in force")["policy"] == version
        done, _ = await asyncio.to_thread(gateway.admin, "POST", "/reload", token)
        assert done == 200
        assert gateway.metric(APPLIED) == before + 2
        assert await quota(gateway) == "10000"
        answer = await once(gateway, get("/", bearer(user="who")))
        assert gateway.request_line(answer.get("X-Request-ID") or "")["policy"] == version
