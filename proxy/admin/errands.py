"""Questions about money, asked by the gateway's parent and answered by a process of their own (``admin.clerk``).

The parent stays for months and speaks no SQL: to know how costs more memory than all else that it does. The background
process could be asked, but what it moves and rebuilds must not wait for a report. So questions have a process, which
stays for a while: who looks at the dashboard asks again, and to start costs more than to answer. Each question brings
its policy along, on a pipe and not on a command line: it may hold passwords.
"""

import asyncio
import contextlib
import json
import pickle
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from proxy.policy.model import Policy

ANSWER_S: Final = 60.0
MAX_WAITING: Final = 4  # one is answered at a time
STAY_S: Final = 30.0  # without a question
LENGTH: Final = struct.Struct("<Q")  # before each answer: its bytes

Answer = tuple[int, Any]  # HTTP's status, and what becomes JSON


class About(StrEnum):
    USAGE = "usage"
    BUDGETS = "budgets"
    GRANTS = "grants"
    GRANT = "grant"
    END = "end"
    RECONCILE = "reconcile"
    OVERVIEW = "overview"  # these three for the dashboard
    TENANTS = "tenants"
    BURNDOWN = "burndown"


@dataclass(frozen=True, slots=True)
class Errand:
    policy: Policy
    about: About
    arguments: Mapping[str, str]


class Errands:
    """One at a time, so that whoever asks often asks slowly."""

    def __init__(self, stay_s: float = STAY_S) -> None:
        self._stay_s = stay_s
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._clerk: asyncio.subprocess.Process | None = None
        self._leaving: asyncio.Task[None] | None = None

    async def run(self, errand: Errand) -> Answer:
        if self._waiting >= MAX_WAITING:
            return 503, {"error": "too many questions at once; ask again later"}
        self._waiting += 1
        try:
            async with self._turn:
                if self._leaving is not None:
                    self._leaving.cancel()
                answer = await self._asked(errand)
                self._leaving = asyncio.create_task(self._leave(), name="the clerk's leave")
                return answer
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Ends the clerk, whatever it does."""
        if self._leaving is not None:
            self._leaving.cancel()
        await self._end()

    async def _asked(self, errand: Errand) -> Answer:
        done = False
        try:
            async with asyncio.timeout(ANSWER_S):
                said = await self._said(pickle.dumps(errand, protocol=pickle.HIGHEST_PROTOCOL))
            done = True
        except TimeoutError:
            return 504, {"error": f"no answer within {ANSWER_S:g} s"}
        except (asyncio.IncompleteReadError, ConnectionError):
            return 500, {"error": "the answer could not be found; the gateway's standard error says why"}
        finally:
            if not done:  # what it says now would be taken for the answer to the next question
                await self._end()
        status, body = json.loads(said)
        return status, body

    async def _said(self, question: bytes) -> bytes:
        if self._clerk is None or self._clerk.returncode is not None:
            self._clerk = await _started()
        clerk = self._clerk
        assert clerk.stdin is not None
        assert clerk.stdout is not None
        clerk.stdin.write(question)
        await clerk.stdin.drain()
        (length,) = LENGTH.unpack(await clerk.stdout.readexactly(LENGTH.size))
        return await clerk.stdout.readexactly(length)

    async def _leave(self) -> None:
        await asyncio.sleep(self._stay_s)
        async with self._turn:
            await self._end()

    async def _end(self) -> None:
        clerk, self._clerk = self._clerk, None
        if clerk is None:
            return
        if clerk.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended just now
                clerk.kill()
        await clerk.communicate()  # reaps it, and closes what led to it


async def _started() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy.admin.clerk",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the parent
    )
