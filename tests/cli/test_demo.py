"""`sluicegate demo`: what it prints works, and Ctrl-C ends all of it."""

import fcntl
import os
import re
import shlex
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from proxy.cli.demo import free_port
from tests.e2e.gateway import Gateway, eventually, is_alive, running_command


class Curl(NamedTuple):
    """A printed curl line."""

    url: str
    headers: dict[str, str]
    body: bytes | None

    def send(self) -> tuple[int, bytes]:
        request = urllib.request.Request(self.url, self.body, self.headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.read()


def printed_curls(guide: str) -> list[Curl]:
    """The curl lines as a shell would read them, the variables above them set."""
    variables = dict(re.findall(r"^  ([A-Z_]+)=(\S+)$", guide, re.MULTILINE))
    guide = re.sub(r"\$([A-Z_]+)", lambda found: variables[found[1]], guide.replace("\\\n", " "))
    curls = []
    for line in re.findall(r"^ *(curl .*)$", guide, re.MULTILINE):
        words = iter(shlex.split(line.partition(" | ")[0])[1:])
        url, headers, body = "", {}, None
        for word in words:
            if word == "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            elif word == "-d":
                body = next(words).encode()
            elif word in ("-o", "-w"):
                next(words)
            elif not word.startswith("-"):
                url = word
        curls.append(Curl(url, headers, body))
    return curls


def guide_of(demo: Gateway) -> str:
    return "".join(demo.other_output)


@pytest.fixture(autouse=True)
def one_demo_at_a_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """It looks for ports that nobody has yet: two at once, in other processes of the tests, would find the same."""
    with (tmp_path_factory.getbasetemp().parent / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_the_printed_lines_work_and_ctrl_c_ends_everything(tmp_path: Path) -> None:
    """Allowed, refused, streamed, metrics: exactly as printed. Then no process and no folder is left."""
    port = free_port(18_000 + os.getpid() % 1_000)
    with (
        socket.create_server(("127.0.0.1", free_port(9901))),  # somebody else has the admin's port, or takes it now
        running_command(["demo", "--port", str(port)], tmp_path / "none") as demo,
    ):
        eventually(lambda: "Ctrl-C ends it all." in guide_of(demo))
        allowed, refused, chat, metrics = printed_curls(guide_of(demo))
        status, body = allowed.send()
        assert (status, b'"X-Tenant-ID": "acme"' in body, b'"X-Tier": "enterprise"' in body) == (200, True, True)
        assert [refused.send()[0] for _ in range(6)] == [200] * 5 + [429]
        status, body = chat.send()
        assert status == 200
        assert body.count(b"data: ") > 3
        assert body.endswith(b"data: [DONE]\n\n")
        status, body = metrics.send()
        assert status == 200
        assert b"sluicegate_requests_total" in body
        folder = Path(re.search(r"Its policy: (\S+)", guide_of(demo))[1]).parent
        assert folder.exists()
        children = demo.children()
        assert len(children) == 4  # the app, Redis, two workers
        os.killpg(demo.process.pid, signal.SIGINT)
        assert demo.process.wait(15) == 0
        eventually(lambda: not any(is_alive(child) for child in children))
        assert not folder.exists()
        assert "Traceback" not in guide_of(demo)


def test_a_killed_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    port = free_port(19_000 + os.getpid() % 1_000)
    with running_command(["demo", "--port", str(port)], tmp_path / "none") as demo:
        children = demo.children()
        demo.process.kill()
        eventually(lambda: not any(is_alive(child) for child in children))
