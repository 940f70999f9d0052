"""`sluicegate reconcile`: counters beside the ledger, on a real Redis."""

import json
import struct
from pathlib import Path

import pytest
from redis import Redis

from proxy.cli.main import main
from proxy.core.clock import SystemClock
from proxy.core.usage import Charge
from proxy.policy.model import MeterKind
from tests.admin.spent import a_call, filled, ledger_url, written_policy
from tests.store.servers import Server

KEY = "{m0}b:counter:1:2"


def counter(settled: int, held: int = 0) -> bytes:
    return struct.pack("<Bdd", MeterKind.HOLD, settled, held)


@pytest.fixture
def config(tmp_path: Path, redis_server: Server) -> Path:
    now_ms = SystemClock().now_ms()
    charge = Charge("tenant", "tenant:acme", "2026-11", KEY, now_ms + 3_600_000)
    filled(ledger_url(tmp_path), [a_call("r1", now_ms, 70, charge), a_call("r2", now_ms, 30, charge)], now_ms)
    return written_policy(tmp_path, redis=f'meters: "{redis_server.url}"')


@pytest.fixture
def redis(redis_server: Server) -> Redis:
    client = Redis.from_url(redis_server.url)
    client.flushall()
    return client


def said(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str, code: int = 0) -> str:
    assert main(["reconcile", "--config", str(config), *arguments]) == code
    out, err = capsys.readouterr()
    return out or err


def test_what_agrees_is_counted(config: Path, redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    redis.set(KEY, counter(100))
    assert said(capsys, config) == "agree: 1 counters\n"
    assert json.loads(said(capsys, config, "--json")) == {"agree": True, "counters": 1, "differences": []}


def test_each_difference_is_told_and_is_1(config: Path, redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    redis.set(KEY, counter(90, 5))
    head, line, last = said(capsys, config, code=1).splitlines()
    told = dict(zip(head.split(), line.split(), strict=True))
    assert told["budget"] == "tenant"
    assert (told["counter"], told["ledger"]) == ("0.000000090", "0.000000100")
    assert (told["settled_off"], told["held_off"]) == ("-0.000000010", "0.000000005")
    assert last == "1 of 1 counters differ, in dollars"
    assert json.loads(said(capsys, config, "--json", code=1))["differences"][0]["scope"] == "tenant:acme"


def test_a_redis_that_is_away_is_one_line(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written_policy(tmp_path, redis='meters: "redis://gate:geheim@127.0.0.1:1"')
    told = said(capsys, config, code=1)
    assert told == "sluicegate: Redis (standalone at 127.0.0.1:1) cannot be asked: ConnectionError\n"


def test_an_embedded_redis_runs_with_its_gateway(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written_policy(tmp_path)
    assert "no gateway does" in said(capsys, config, code=1)
