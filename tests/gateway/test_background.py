"""The background process: it may die at any time, its successor goes on, and workers' questions are answered."""

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.books import disagreements, rows
from tests.e2e.gateway import Gateway, eventually, once, reached, token
from tests.e2e.provider import Provider, call, post, standing

ROUTES = """
budgets:
  user: {scope: user, daily: "$0.01"}
routes:
  - {name: ai, match: {path: "/v1/**"}, upstream: openai, limits: [], budgets: [user]}
"""


@dataclass
class Stand:
    gateway: Gateway
    provider: Provider

    async def post(self, user: str, cap: int = 1000) -> int:
        return (await once(self.gateway, post(call(cap=cap, output=5), token(user=user)))).status

    def pids(self) -> list[int]:
        """Of the background process: one, or none while another starts."""
        return [pid for pid in self.gateway.children() if b"proxy.gateway.background" in command_of(pid)]


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with standing(ROUTES) as paid:
        yield Stand(paid.gateway, paid.provider)


@pytest.mark.full  # many seconds
async def test_killed_again_and_again_it_loses_no_record(stand: Stand) -> None:
    """What it had taken from the outbox and not committed its successor finds."""
    killed: set[int] = set()
    for number in range(6):
        assert await stand.post(f"user-{number}") == 200
        if number % 2:
            (pid,) = stand.pids()
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)  # and may be seen for a moment yet
            await reached(lambda: set(stand.pids()) - killed)
    calls = stand.provider.calls
    await asyncio.to_thread(eventually, lambda: len(rows(stand.gateway)) == calls, 90)
    assert await asyncio.to_thread(disagreements, stand.gateway) == []
    restarts = r'sluicegate_background_restarts_total\{reason="died"'
    await asyncio.to_thread(eventually, lambda: stand.gateway.metric(restarts) == 3)


async def test_told_to_stop_it_moves_what_was_settled_last(stand: Stand) -> None:
    assert await stand.post("last") == 200
    calls, path = stand.provider.calls, stand.gateway
    assert await asyncio.to_thread(stand.gateway.stop) == 0
    assert len(rows(path)) == calls
