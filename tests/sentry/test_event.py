"""What an event says, and what it never says."""

import logging

import orjson

from proxy.sentry.event import About, fingerprint, of_exception, of_message, of_upstream
from proxy.telemetry.causes import MOST
from proxy.telemetry.plain import MOST_FRAMES

ABOUT = About({"tenant": "acme", "route": "app"}, {"method": "GET", "url": "/**"}, "GET app", {"trace_id": "a" * 32})


def failing(depth: int, secret: str) -> None:
    if depth:
        failing(depth - 1, secret)
    raise ValueError("no luck with", secret)


def caught(depth: int = 0, secret: str = "hunter2") -> BaseException:
    try:
        failing(depth, secret)
    except ValueError as error:
        return error
    raise AssertionError


def test_an_exception_has_its_place_and_no_values() -> None:
    event = of_exception(caught(), "unhandled error", 1_500, ABOUT)
    (value,) = event["exception"]["values"]
    assert (value["type"], value["value"]) == ("ValueError", "('no luck with', …")
    assert [frame["function"] for frame in value["stacktrace"]["frames"]] == ["caught", "failing"]
    assert value["stacktrace"]["frames"][0]["filename"] == "tests/sentry/test_event.py"
    assert value["mechanism"] == {"type": "gateway", "handled": True}
    assert event["tags"] == {"tenant": "acme", "route": "app", "where": "unhandled error"}
    assert event["timestamp"] == 1.5
    assert event["contexts"] == {"trace": {"trace_id": "a" * 32}}
    assert b"hunter2" not in orjson.dumps(event)


def test_causes_come_first_and_end() -> None:
    error: BaseException = caught()
    for number in range(20):
        outer = RuntimeError(f"at position {number}")
        outer.__cause__ = error
        error = outer
    values = of_exception(error, "", 0)["exception"]["values"]
    assert len(values) == MOST
    assert values[-1]["value"] == "at position 19"
    error.__cause__, error.__suppress_context__ = None, True
    assert len(of_exception(error, "", 0)["exception"]["values"]) == 1


def test_a_deep_stack_keeps_its_inner_end() -> None:
    frames = of_exception(caught(depth=200), "", 0)["exception"]["values"][0]["stacktrace"]["frames"]
    assert len(frames) == MOST_FRAMES
    assert frames[-1]["function"] == "failing"


def test_an_exception_that_cannot_say_what_it_is_is_told_all_the_same() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert of_exception(Broken(), "", 0)["exception"]["values"][0]["value"] == ""


def test_the_same_place_is_the_same_fault_whatever_it_says() -> None:
    first, second = (of_exception(caught(secret=one), "x", 0, ABOUT) for one in "ab")
    assert fingerprint(first) == fingerprint(second)
    assert fingerprint(first) != fingerprint(of_exception(caught(depth=1), "x", 0, ABOUT))
    elsewhere = About(transaction="GET other")
    assert fingerprint(first) != fingerprint(of_exception(caught(), "x", 0, elsewhere))


def test_a_message_keeps_the_words_of_the_record() -> None:
    event = of_message("worker died, status secret-7", "worker died, status %s", "sluicegate", 0, logging.CRITICAL)
    assert event["message"] == "worker died, status …"
    assert event["level"] == "fatal"


def test_an_upstreams_fault_is_one_issue_by_reason_upstream_and_route() -> None:
    event = of_upstream("upstream_5xx", "app", 503, 0, ABOUT)
    assert event["fingerprint"] == ["upstream_5xx", "app", "app"]
    assert event["message"] == "upstream_5xx of app: 503"
    assert event["tags"]["status"] == "503"
    assert of_upstream("upstream_reset", "app", 200, 0, ABOUT)["message"] == "upstream_reset of app"
