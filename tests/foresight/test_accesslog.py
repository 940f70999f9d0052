"""A log's requests in order, and when nothing should be concluded from them."""

from pathlib import Path

from proxy.foresight.accesslog import AccessLog, Log
from proxy.foresight.logfile import Reading
from tests.foresight.lines import line


def test_requests_come_in_order_and_the_gateways_own_are_counted_apart(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(line(5, id="b") + line(6, path="/_gateway/usage") + line(9, ms=8000, id="a"))
    files = AccessLog([tmp_path / "a.log"])
    assert [entry.request_id for entry in files.requests()] == ["a", "b"]
    assert (files.log.requests, files.log.own, files.log.late, files.log.reading.lines) == (2, 1, 0, 3)


def test_a_few_that_are_late_are_no_reason_for_doubt() -> None:
    assert Log(Reading(), requests=1000, late=10).doubt is None
    assert "11 of 1,000 requests (1.1%) stand in no order of time" in str(Log(Reading(), requests=1000, late=11).doubt)


def test_a_log_with_more_than_a_few_unreadable_lines_is_no_ground_for_a_verdict() -> None:
    assert Log(Reading(unreadable=10), requests=90).doubt is None
    assert "11 lines could not be read beside 89 requests" in str(Log(Reading(unreadable=11), requests=89).doubt)


def test_a_log_without_requests_has_nothing_to_tell() -> None:
    assert Log(Reading(lines=1), requests=1).nothing is None
    assert Log(Reading()).nothing == "is empty"
    assert "none of its 3 lines" in str(Log(Reading(lines=3, unreadable=3)).nothing)


def test_lines_that_come_later_than_can_be_waited_for_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(line(0) + line(2000) + line(3000) + line(1))
    files = AccessLog([tmp_path / "a.log"])
    assert len(list(files.requests())) == 4
    assert files.log.late == 1
