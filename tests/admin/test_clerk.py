"""One question, one answer: as the admin API has it."""

import asyncio
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from blockbuster import BlockBuster

from proxy.admin.clerk import answer
from proxy.admin.errands import About, Errand
from proxy.core.clock import SystemClock
from proxy.policy.compiler import load
from proxy.policy.model import Policy
from tests.admin.spent import a_call, filled, ledger_url, written_policy


@pytest.fixture(autouse=True)
def no_blocking_calls_but(no_blocking_calls: BlockBuster) -> None:
    """A clerk's loop is its own."""
    for function in no_blocking_calls.functions.values():
        function.can_block_in("tests/admin/test_clerk.py", {"asked"})
        function.can_block_in("tests/admin/spent.py", {"filled"})
        function.can_block_in("sqlite/pysqlite.py", {"create_connect_args"})
        function.can_block_in("proxy/ledger/migrate.py", {"head", "_upgrade"})


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    now_ms = SystemClock().now_ms()
    filled(ledger_url(tmp_path), [a_call("r1", now_ms, 70)], now_ms)
    return load(written_policy(tmp_path), {}).policy


def asked(policy: Policy, about: About, arguments: Mapping[str, str]) -> tuple[int, Any]:
    return asyncio.run(answer(Errand(policy, about, arguments), SystemClock().now_ms()))


def test_a_report_is_by_tenant_and_thirty_days_unless_said(policy: Policy) -> None:
    status, (line,) = asked(policy, About.USAGE, {})
    assert (status, line["tenant"], line["cost_usd"]) == (200, "acme", "0.000000070")
    status, (line,) = asked(policy, About.USAGE, {"by": "model", "since": "1h", "until": "0s"})
    assert (status, line["model"]) == (200, "gpt-4o-mini")


def test_a_wrong_question_is_400(policy: Policy) -> None:
    assert asked(policy, About.USAGE, {"by": "x"})[0] == 400
    assert asked(policy, About.USAGE, {"since": "x"})[0] == 400
    assert asked(policy, About.BUDGETS, {"scope": "x"})[0] == 400
    assert asked(policy, About.GRANT, {"scope": "tenant:acme", "amount": "$1", "until": "1d"}) == (
        400, {"error": "reason is missing"},
    )  # fmt: skip


def test_what_cannot_be_told_is_503(policy: Policy) -> None:
    """No gateway runs here: of its Redis nothing is known, and budgets are told from the ledger."""
    status, body = asked(policy, About.RECONCILE, {})
    assert (status, "no gateway does" in body["error"]) == (503, True)
    status, body = asked(policy, About.BUDGETS, {})
    assert (status, "no gateway does" in body["only_ledger"]) == (200, True)


def test_a_grant_is_on_the_record(policy: Policy) -> None:
    wanted = {"scope": "tenant:acme", "amount": "$1", "until": "1d", "reason": "why", "by": "ops"}
    status, made = asked(policy, About.GRANT, wanted)
    assert status == 200
    assert asked(policy, About.GRANTS, {}) == (200, made)
    assert asked(policy, About.GRANTS, {"scope": "tenant:zeta"}) == (200, [])


def test_an_ending_is_on_the_record_too(policy: Policy) -> None:
    wanted = {"scope": "tenant:acme", "amount": "$1", "until": "1d", "reason": "why", "by": "ops"}
    _, (made,) = asked(policy, About.GRANT, wanted)
    assert asked(policy, About.END, {"id": "1"}) == (400, {"error": "reason is missing"})
    assert asked(policy, About.END, {"id": "x", "reason": "enough"})[0] == 400
    status, (ended,) = asked(policy, About.END, {"id": str(made["id"]), "reason": "enough"})
    assert (status, ended["ended_because"], ended["ended_by"]) == (200, "enough", "admin API")
    assert asked(policy, About.GRANTS, {}) == (200, [ended])
    assert asked(policy, About.END, {"id": str(made["id"]), "reason": "enough"}) == (
        400, {"error": "grant number 1 was ended before"},
    )  # fmt: skip


def test_what_a_clerk_ends_by_is_a_line_and_says_nothing_of_the_errand(policy: Policy) -> None:
    errand = pickle.dumps(Errand(policy, "hunter2", {}))  # type: ignore[arg-type]  # no About: nobody handles that
    ended = subprocess.run(
        [sys.executable, "-m", "proxy.admin.clerk"], input=errand, capture_output=True, timeout=30, check=False
    )
    line = orjson.loads(ended.stderr)
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert line["msg"] == "the process ends by an exception"
    assert line["exception"].endswith("KeyError: …")
    assert b"hunter2" not in ended.stderr
