"""A real gateway for tests: `sluicegate run` as a process, raw connections to it, a scripted origin behind it."""

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from joserfc import jwt
from joserfc.jwk import OctKey

SECRET = "s" * 32
ISSUER = "test-issuer"
ROOT = Path(__file__).parents[2]
START_S = 30.0


def eventually(condition: Callable[[], Any], within_s: float = 10.0) -> Any:
    """What the condition returns once it is true; fails after ``within_s``."""
    deadline = time.monotonic() + within_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"did not come true within {within_s} s"
        time.sleep(0.01)


async def reached(condition: Callable[[], Any], within_s: float = 10.0) -> None:
    """As ``eventually``, for tests whose clients run on the same loop."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.005)


def token(user: str = "u1", tenant: str | None = "acme", tier: str | None = "growth_team", **claims: Any) -> str:
    metadata = {"company_id": tenant, "subscription_tier": tier}
    whole = {
        "iss": ISSUER,
        "sub": user,
        "exp": int(time.time()) + 3600,
        "app_metadata": {key: value for key, value in metadata.items() if value is not None},
    } | claims
    return jwt.encode({"alg": "HS256"}, whole, OctKey.import_key(SECRET))


@dataclass
class Gateway:
    """A running gateway. ``events`` are its own log lines, ``requests`` those of requests."""

    process: subprocess.Popen
    config: Path
    events: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    other_output: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.event("ready")["address"].rpartition(":")[2])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def event(self, message: str) -> dict[str, Any]:
        """The first log event with this message; waits for it."""
        return eventually(lambda: next((event for event in self.events if event["msg"] == message), None), START_S)

    def listener(self, name: str) -> str:
        def find() -> dict[str, Any] | None:
            return next((e for e in self.events if e["msg"] == "listening" and e["listener"] == name), None)

        return f"http://{eventually(find, START_S)['address']}"

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(self.listener("metrics") + "/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def metric(self, pattern: str) -> float:
        """The sum of all samples whose name and labels match the regular expression from their start."""
        return sum(value for name, value in self.metrics().items() if re.match(pattern, name))

    def request_line(self, request_id: str) -> dict[str, Any]:
        return eventually(lambda: next((line for line in self.requests if line["id"] == request_id), None))

    def worker_pids(self) -> list[int]:
        with urllib.request.urlopen(self.listener("admin") + "/status", timeout=5) as answer:
            return list(json.load(answer)["workers"])

    def write_policy(self, text: str) -> None:
        """Replaces the policy file as an editor or a ConfigMap would: whole."""
        new = self.config.with_suffix(".new")
        new.write_text(text)
        new.replace(self.config)

    def reload(self, text: str) -> None:
        """Replaces the policy and waits until it is in force in every worker."""
        before = sum(event["msg"] == "policy in force" for event in self.events)
        self.write_policy(text)
        self.process.send_signal(signal.SIGHUP)
        eventually(lambda: sum(event["msg"] == "policy in force" for event in self.events) > before)

    def admin(self, method: str, path: str, token: str | None = None, body: bytes | None = None) -> tuple[int, Any]:
        """A call of the admin API: status and body."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(self.listener("admin") + path, body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, json.load(answer)

    def children(self) -> list[int]:
        """Pids of all processes under it: workers and the embedded Redis."""
        return descendants(self.process.pid)

    def stop(self, within_s: float = 15) -> int:
        """Ends it politely and returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)

    def read(self, stream: Any, *, requests: bool) -> None:
        for line in stream:
            try:
                entry = json.loads(line)
            except ValueError:
                self.other_output.append(line)
                continue
            (self.requests if requests else self.events).append(entry)


@contextlib.contextmanager
def running(policy: str, env: dict[str, str] | None = None) -> Iterator[Gateway]:
    """A gateway by this policy, ready; ended by SIGTERM, by SIGKILL if that does not do."""
    with tempfile.TemporaryDirectory(prefix="sg-") as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(policy)
        with running_command(["run", "--config", str(config)], config, env) as gateway:
            yield gateway


@contextlib.contextmanager
def running_command(arguments: list[str], config: Path, env: dict[str, str] | None = None) -> Iterator[Gateway]:
    """As ``running``, for any command that serves. ``config``: the policy file, and where the command is run.

    The process leads a process group of its own, as a shell's job does.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=config.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        process_group=0,
    )
    gateway = Gateway(process, config)
    readers = [
        threading.Thread(target=gateway.read, args=(process.stdout,), kwargs={"requests": True}, daemon=True),
        threading.Thread(target=gateway.read, args=(process.stderr,), kwargs={"requests": False}, daemon=True),
    ]
    for reader in readers:
        reader.start()
    try:
        eventually(lambda: process.poll() is not None or any(e["msg"] == "ready" for e in gateway.events), START_S)
        assert process.poll() is None, f"it ended: {gateway.events} {gateway.other_output}"
        yield gateway
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for reader in readers:
            reader.join(5)
        process.stdout.close()
        process.stderr.close()


def descendants(pid: int) -> list[int]:
    try:
        own = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(child) for child in own] + [below for child in own for below in descendants(int(child))]


def is_alive(pid: int) -> bool:
    """Whether it runs: one that ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# --- raw HTTP ---


@dataclass
class Answer:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    interim: list[tuple[int, list[tuple[str, str]]]] = field(default_factory=list)
    whole: bool = True  # its framing was complete

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, gateway: Gateway) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", gateway.port))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, head: bool = False, within_s: float = 10) -> Answer:
        """The next final answer. Raises: asyncio.IncompleteReadError when the connection ends before its head."""
        async with asyncio.timeout(within_s):
            interim = []
            while True:
                status, reason, headers = await self._head()
                if status >= 200 or status == 101:
                    break
                interim.append((status, headers))
            answer = Answer(status, reason, headers, b"", interim)
            try:
                answer.body = b"" if head or status in (204, 304) else await self._body(answer)
            except (asyncio.IncompleteReadError, ConnectionError) as exc:
                answer.body, answer.whole = getattr(exc, "partial", b""), False
            return answer

    async def _head(self) -> tuple[int, str, list[tuple[str, str]]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        _, status, reason = (lines[0] + " ").split(" ", 2)
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        return int(status), reason.strip(), headers

    async def _body(self, answer: Answer) -> bytes:
        if answer.get("Transfer-Encoding") == "chunked":
            body = b""
            while True:
                size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
                chunk = await self.reader.readexactly(size + 2)
                if size == 0:
                    return body
                body += chunk[:-2]
        length = answer.get("Content-Length")
        return await (self.reader.read() if length is None else self.reader.readexactly(int(length)))

    async def answer_head(self, within_s: float = 10) -> Answer:
        """The next answer's head alone; its body is left to be read."""
        async with asyncio.timeout(within_s):
            return Answer(*await self._head(), b"")

    async def closed(self, within_s: float = 10) -> bool:
        """Whether the gateway ends the connection, after whatever it still sends."""
        async with asyncio.timeout(within_s):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                pass
            return True


async def once(gateway: Gateway, data: bytes, *, head: bool = False) -> Answer:
    """One request on a connection of its own."""
    async with await Client.connect(gateway) as client:
        await client.send(data)
        return await client.answer(head=head)


async def volley(
    gateway: Gateway, request: bytes | Callable[[int], bytes], total: int, connections: int = 16
) -> list[Answer]:
    """The answers to so many requests over so many kept-alive connections, each busy all the time."""
    numbers = iter(range(total))
    answers: list[Answer] = []

    async def one() -> None:
        async with await Client.connect(gateway) as client:
            for number in numbers:
                await client.send(request(number) if callable(request) else request)
                answers.append(await client.answer())

    async with asyncio.TaskGroup() as group:
        for _ in range(min(connections, total)):
            group.create_task(one())
    return answers


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


def get(path: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: app.test", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def bearer(**claims: Any) -> str:
    return f"Authorization: Bearer {token(**claims)}"


_strangers = itertools.count(1)


def stranger(**claims: Any) -> str:
    """The Authorization field of somebody who has not been here before, of a tenant of their own."""
    number = next(_strangers)
    return bearer(**{"user": f"user-{number}", "tenant": f"tenant-{number}", **claims})
