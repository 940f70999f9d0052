"""What a process hears of is written down once, bounded, and without what nobody may know."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.policy.compiler import compile_text
from proxy.policy.model import Policy
from proxy.sentry.event import About
from proxy.sentry.waiting import Kind, spool_in
from proxy.sentry.witness import ABOUT, REPORT, Witness
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader
from tests.sentry.sentry_receiver import Item, parsed

POLICY = """
version: 1
sentry: {dsn: "%s", environment: test, release: "app@1"}
upstreams: {app: {primary: ["http://127.0.0.1:1"]}}
routes: [{name: app, match: {path: "/**"}, upstream: app, auth: none}]
"""
SECRET = "hunter2"
DSN = "https://key@sentry.example/1"


def policy_of(folder: Path, dsn: str = DSN) -> Policy:
    return replace(compile_text(POLICY % dsn, "c.yaml", {}).policy, data_dir=str(folder))


class Heard:
    def __init__(self, folder: Path, dsn: str = DSN) -> None:
        self._files = SheetFiles.make()
        self.metrics = Metrics(Sheet(self._files))
        self.witness = Witness("worker", self.metrics)
        self.policy = policy_of(folder, dsn)
        self.witness.follow(self.policy)
        self.spool = spool_in(str(folder))

    def items(self) -> list[Item]:
        """All that was written, once the witness has closed."""
        self.witness.close()
        found = [self.spool.read(one.name) or [] for one in self.spool.waiting()]
        return [item for bodies in found for body in bodies for item in parsed(body)]

    def count(self, result: str, of: str = "events") -> float:
        counts = dict(SheetReader(self._files).series())
        return counts.get((f"sluicegate_sentry_{of}", (result,)), 0)


def test_an_exception_that_is_logged_is_an_event(tmp_path: Path) -> None:
    heard = Heard(tmp_path)
    log = logging.getLogger("sluicegate.handler")
    try:
        raise ValueError(f"{SECRET} and more")
    except ValueError:
        log.exception("unhandled error", extra={"fields": {"id": "r1"}, ABOUT: About({"tenant": "acme"})})
        log.exception("an answer's usage could not be settled", extra={"fields": {"id": "r2"}})
    told = heard.items()
    first, second = (item.json() for item in told)
    assert first["tags"] == {
        "process": "worker", "policy": heard.policy.version, "tenant": "acme", "where": "unhandled error",
    }  # fmt: skip
    assert (first["environment"], first["release"], first["level"]) == ("test", "app@1", "error")
    assert second["tags"]["request_id"] == "r2"
    assert not any(SECRET.encode() in item.payload for item in told)
    assert heard.count("captured") == 2


def test_what_is_only_said_is_no_event_unless_it_asks(tmp_path: Path) -> None:
    heard = Heard(tmp_path)
    log = logging.getLogger("sluicegate.x")
    log.error("Redis is away", extra={"fields": {"id": "r"}})
    log.warning("not so bad", exc_info=ValueError("x"))
    log.error("worker died, starting another", extra={REPORT: True})
    log.critical("the ledger cannot be used: %s", "hunter2")
    found = [item.json() for item in heard.items()]
    assert [one["message"] for one in found] == ["worker died, starting another", "the ledger cannot be used: …"]
    assert [one["level"] for one in found] == ["error", "fatal"]


async def test_a_task_that_nobody_awaits_is_heard_of(tmp_path: Path) -> None:
    heard = Heard(tmp_path)

    async def fails(secret: str) -> None:
        raise LookupError(secret)

    task = asyncio.create_task(fails("hunter2"))
    await asyncio.wait({task})
    del task
    asyncio.get_running_loop().call_exception_handler({"message": "a lane ended", "exception": OSError("hunter2")})
    told = await asyncio.to_thread(heard.items)
    assert [one.json()["tags"]["where"] for one in told] == ["Task exception was never retrieved", "a lane ended"]
    assert not any(SECRET.encode() in one.payload for one in told)


def test_a_strangers_words_are_not_trusted(tmp_path: Path) -> None:
    """A library's logger may put anything into its message."""
    heard = Heard(tmp_path)
    logging.getLogger("library").error("failed for hunter2", exc_info=ValueError())
    (item,) = heard.items()
    assert item.json()["tags"]["where"] == "failed for …"


def test_a_strangers_message_has_no_more_words_for_being_the_record_itself(tmp_path: Path) -> None:
    heard = Heard(tmp_path)
    made = f"failed for {SECRET}"
    logging.getLogger("library").critical(made)
    (item,) = heard.items()
    assert item.json()["message"] == "failed for …"


def test_a_flood_is_counted_and_the_first_of_another_kind_gets_through(tmp_path: Path) -> None:
    heard = Heard(tmp_path)
    for _ in range(30):
        heard.witness.exception(ValueError("a"), "here")
    heard.witness.exception(KeyError("b"), "here")
    assert len(heard.items()) == 21
    assert (heard.count("captured"), heard.count("repeated")) == (21, 10)


def test_what_a_process_ends_by_is_written_before_it_ends(tmp_path: Path) -> None:
    heard = Heard(tmp_path)
    with pytest.raises(RuntimeError), heard.witness.witnessing():
        raise RuntimeError("hunter2")
    (waiting,) = heard.spool.waiting()
    (item,) = parsed((heard.spool.read(waiting.name) or [])[0])
    assert item.json()["level"] == "fatal"
    assert item.json()["exception"]["values"][0]["mechanism"]["handled"] is False


def test_without_a_project_nothing_is_heard(tmp_path: Path) -> None:
    heard = Heard(tmp_path, dsn="")
    heard.witness.exception(ValueError("a"), "here")
    logging.getLogger("sluicegate").critical("the end")
    assert heard.items() == []
    assert not heard.spool.folder.exists()


def test_a_disk_that_takes_nothing_costs_nothing_but_the_event_which_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "sentry").write_text("a file where the folder should be")
    heard = Heard(tmp_path)
    heard.witness.exception(ValueError("a"), "here")
    heard.witness.put(Kind.TRACE, [bytes, bytes])
    heard.witness.close()
    assert [record.message for record in caplog.records] == ["what Sentry should hear cannot be kept"]
    assert (heard.count("captured"), heard.count("dropped"), heard.count("dropped", of="traces")) == (1, 1, 2)
