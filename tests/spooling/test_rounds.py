"""Of all who could send from one folder one does, again and again, and once more before it ends."""

import asyncio
import logging
from pathlib import Path

import pytest
from aiohttp import ClientSession

from proxy.spooling.rounds import Rounds
from proxy.spooling.spool import Spool
from tests.e2e.gateway import reached
from tests.spooling.test_spool import WIDE, Kind


class Sender:
    def __init__(self, folder: Path, *, last_round_s: float = 2.0) -> None:
        self.spool: Spool[Kind] = Spool(folder, WIDE)
        self.wanted = True
        self.rounds_made = 0
        self.error: Exception | None = None
        self.holds = False
        self.rounds = Rounds(self.spool, lambda: self.wanted, (self._once,), 1.0, last_round_s)

    async def _once(self, _: ClientSession) -> None:
        self.rounds_made += 1
        if self.error is not None:
            raise self.error
        if self.holds:
            await asyncio.Event().wait()


async def test_it_sends_until_its_end_and_once_more(tmp_path: Path) -> None:
    sender = Sender(tmp_path)
    async with sender.rounds.working():
        await reached(lambda: sender.rounds_made == 2)
    assert sender.rounds_made >= 3


async def test_of_two_on_one_folder_one_sends(tmp_path: Path) -> None:
    first, second = Sender(tmp_path), Sender(tmp_path)
    async with first.rounds.working():
        await reached(lambda: first.rounds_made >= 1)
        async with second.rounds.working():
            await reached(lambda: first.rounds_made >= 3)
    assert second.rounds_made == 0
    async with second.rounds.working():
        await reached(lambda: second.rounds_made >= 1)


async def test_nothing_is_locked_while_there_is_nobody_or_nothing_to_send_to(tmp_path: Path) -> None:
    nobody, nothing = Sender(tmp_path), Sender(tmp_path / "none")
    nobody.wanted = False
    async with nobody.rounds.working(), nothing.rounds.working():
        pass
    assert (nobody.rounds_made, nothing.rounds_made) == (0, 0)
    assert not await asyncio.to_thread((tmp_path / "none").exists)
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


async def test_a_disk_that_cannot_be_read_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sender = Sender(tmp_path)
    sender.error = OSError(5, "Input/output error")
    with caplog.at_level(logging.WARNING):
        async with sender.rounds.working():
            await reached(lambda: sender.rounds_made == 2)
    assert caplog.records[0].message == "what waits to be sent cannot be read"


async def test_a_mistake_of_ours_ends_nothing_and_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sender = Sender(tmp_path)
    sender.error = LookupError()
    async with sender.rounds.working():
        await reached(lambda: sender.rounds_made == 2)
    assert caplog.records[0].exc_info is not None


async def test_no_turn_waits_for_another(tmp_path: Path) -> None:
    sender, other = Sender(tmp_path, last_round_s=0.1), Sender(tmp_path)
    sender.holds = True
    sender.rounds._turns = (sender._once, other._once)
    async with sender.rounds.working():
        await reached(lambda: other.rounds_made == 3)
    assert sender.rounds_made == 1


async def test_the_end_waits_only_so_long(tmp_path: Path) -> None:
    sender = Sender(tmp_path, last_round_s=0.1)
    sender.holds = True
    async with asyncio.timeout(5), sender.rounds.working():
        await reached(lambda: sender.rounds_made == 1)
