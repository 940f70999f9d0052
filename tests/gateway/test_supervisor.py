"""The parent's word on the policy; its life as a process is proven in tests/e2e/test_life.py and test_reload.py."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.gateway.supervisor import _FIXED, Supervisor
from proxy.policy.compiler import Loaded
from proxy.policy.model import Address, Maintenance, Policy
from proxy.policy.problems import PolicyError, PolicyProblem
from tests.gateway.lives import OTHER, POLICY


class Source:
    """Gives what the test says, or fails as a file does."""

    def __init__(self) -> None:
        self.next: Policy | Exception = POLICY

    def load(self) -> Loaded:
        if isinstance(self.next, Exception):
            raise self.next
        return Loaded(self.next, (), ())


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def supervisor(source: Source) -> Supervisor:
    return Supervisor(source, source.load())


def counted(supervisor: Supervisor, result: str) -> float:
    return supervisor.exposition.totals().get(("sluicegate_policy_reloads", (result,)), 0)


def newest_in_force(supervisor: Supervisor) -> bool:
    return supervisor.exposition.totals()[("sluicegate_policy_last_reload_successful", ())] == 1


async def test_a_good_policy_is_put_in_force_and_counted(supervisor: Supervisor, source: Source) -> None:
    source.next = OTHER
    assert await supervisor.reload()
    assert supervisor.policy is OTHER
    assert (counted(supervisor, "applied"), newest_in_force(supervisor)) == (1, True)


@pytest.mark.parametrize(
    "failure",
    [
        PolicyError([PolicyProblem("config.yaml", 3, "limits.x", "is wrong")]),
        FileNotFoundError(2, "No such file or directory", "config.yaml"),
        RecursionError("in reading config.yaml"),
    ],
)
async def test_a_bad_one_leaves_the_old_and_is_told(
    supervisor: Supervisor, source: Source, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    source.next = failure
    assert not await supervisor.reload()
    assert supervisor.policy is POLICY
    assert (counted(supervisor, "rejected"), newest_in_force(supervisor)) == (1, False)
    assert "config.yaml" in caplog.text
    source.next = OTHER
    assert await supervisor.reload()
    assert newest_in_force(supervisor)


CHANGES = {
    "listen.address": {"listen": replace(POLICY.listen, address=Address("127.0.0.1", 81))},
    "listen.workers": {"listen": replace(POLICY.listen, workers=7)},
    "metrics.address": {"metrics": Address("127.0.0.1", 82)},
    "admin": {"admin": None if POLICY.admin else replace(POLICY.admin, token="x" * 16)},
    "redis.meters": {"redis": replace(POLICY.redis, meters="redis://elsewhere")},
    "data_dir": {"data_dir": "/elsewhere"},
}


def test_every_fixed_key_is_tried_here() -> None:
    assert [name for name, _ in _FIXED] == list(CHANGES)


@pytest.mark.parametrize("name", CHANGES)
async def test_what_needs_a_restart_is_rejected_by_name(
    supervisor: Supervisor, source: Source, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    source.next = replace(OTHER, **CHANGES[name])
    assert not await supervisor.reload()
    assert f"{name} can only change with a restart" in caplog.text
    assert supervisor.policy is POLICY


async def test_maintenance_stays_over_a_reload_and_ends_with_what_the_file_says(
    supervisor: Supervisor, source: Source
) -> None:
    await supervisor.set_maintenance(Maintenance(1000, ()))
    source.next = OTHER
    assert await supervisor.reload()
    assert supervisor.policy.maintenance == Maintenance(1000, ())
    assert supervisor.policy.version != OTHER.version, "another version: refusals that were remembered are forgotten"
    await supervisor.set_maintenance(None)
    assert supervisor.policy == OTHER


async def test_a_second_maintenance_is_told_to_workers_as_another_policy(supervisor: Supervisor) -> None:
    """Workers confirm by version: with the same one the parent would believe them before they had it."""
    await supervisor.set_maintenance(Maintenance(1000, ()))
    first = supervisor.policy.version
    await supervisor.set_maintenance(Maintenance(2000, ()))
    assert supervisor.policy.version != first


async def test_a_file_that_changes_again_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    """The second change was taken for the first, and never noticed."""
    file = tmp_path / "config.yaml"
    file.write_text("first")

    class Slow:
        def load(self) -> Loaded:
            read = file.read_text()
            file.write_text(read + " and then some")
            return Loaded(POLICY if read == "first" else OTHER, (), (file,))

    supervisor = Supervisor(Slow(), Loaded(POLICY, (), (file,)))
    assert await supervisor.reload()
    assert supervisor._files.changed()


async def test_the_files_of_a_refused_policy_are_watched(
    supervisor: Supervisor, source: Source, tmp_path: Path
) -> None:
    """The fault may be in one that the policy in force does not have, and is mended there."""
    part = tmp_path / "part.yaml"
    source.next = PolicyError([PolicyProblem("part.yaml", 3, "limits.x", "is wrong")], (part,), (tmp_path / "*.d",))
    assert not await supervisor.reload()
    assert not supervisor._files.changed()
    part.write_text("mended")
    assert supervisor._files.changed()
    source.next = OTHER
    assert await supervisor.reload()
    part.write_text("another's")
    assert not supervisor._files.changed()


async def test_nothing_secret_is_logged_by_a_reload(
    supervisor: Supervisor, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    source.next = replace(OTHER, redis=replace(OTHER.redis, meters="redis://:hunter2@x"))
    await supervisor.reload()
    assert "hunter2" not in caplog.text
