"""Questions about money, asked by the gateway's parent and answered by a process of their own (``admin.clerk``).

The parent stays for months and speaks no SQL: to know how costs more memory than all else that it does. The background
process could be asked, but what it moves and rebuilds must not wait for a report. So each question has a process, which
gets the policy as workers do, on a pipe and not on its command line: it may hold passwords.
"""

import asyncio
import json
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from proxy.policy.model import Policy

ANSWER_S: Final = 60.0
MAX_WAITING: Final = 4  # one is answered at a time

Answer = tuple[int, Any]  # HTTP's status, and what becomes JSON


class About(StrEnum):
    USAGE = "usage"
    BUDGETS = "budgets"
    GRANTS = "grants"
    GRANT = "grant"
    RECONCILE = "reconcile"


@dataclass(frozen=True, slots=True)
class Errand:
    policy: Policy
    about: About
    arguments: Mapping[str, str]


class Errands:
    """One at a time, so that whoever asks often asks slowly."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def run(self, errand: Errand) -> Answer:
        if self._waiting >= MAX_WAITING:
            return 503, {"error": "too many questions at once; ask again later"}
        self._waiting += 1
        try:
            async with self._turn:
                return await _sent(errand)
        finally:
            self._waiting -= 1


async def _sent(errand: Errand) -> Answer:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy.admin.clerk",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the parent
    )
    try:
        async with asyncio.timeout(ANSWER_S):
            said, _ = await process.communicate(pickle.dumps(errand, protocol=pickle.HIGHEST_PROTOCOL))
    except TimeoutError:
        return 504, {"error": f"no answer within {ANSWER_S:g} s"}
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        return 500, {"error": "the answer could not be found; the gateway's standard error says why"}
    status, body = json.loads(said)
    return status, body
