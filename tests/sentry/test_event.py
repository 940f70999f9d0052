"""What an event says, and what it never says."""

import asyncio
import json
import logging
from collections.abc import Callable

import orjson

from proxy.sentry.event import About, Event, fingerprint, of_exception, of_message, of_upstream
from proxy.sentry.private import sealed
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
    assert value["mechanism"] == {"type": "gateway", "handled": True, "exception_id": 0}
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


def watch() -> None:
    orjson.loads("{")


def move() -> None:
    orjson.loads("{")


def parse(text: str) -> None:
    json.loads(text)


def parse_elsewhere(text: str) -> None:
    json.loads(text)


def ended(call: Callable[[], None], where: str = "a task failed") -> str:
    try:
        call()
    except ValueError as error:
        return fingerprint(of_exception(error, where, 0))
    raise AssertionError


def test_what_fails_in_a_library_is_its_callers_fault() -> None:
    """However many frames of the library lie between, and whatever else fails in it."""
    assert ended(lambda: parse("{")) == ended(lambda: parse("{"))
    assert ended(lambda: parse("{")) != ended(lambda: parse_elsewhere("{"))
    assert ended(watch) != ended(move)


def test_where_it_ended_makes_another_fault() -> None:
    assert ended(watch, "the policy is not watched") != ended(watch, "nothing moves")


def test_how_deep_a_function_called_itself_makes_none() -> None:
    assert ended(lambda: failing(3, "")) == ended(lambda: failing(9, ""))


async def failed_group(*kinds: type[Exception], secret: str = "") -> Event:
    async def fail(kind: type[Exception]) -> None:
        raise kind(secret)

    try:
        async with asyncio.TaskGroup() as tasks:
            for kind in kinds:
                tasks.create_task(fail(kind))
    except ExceptionGroup as error:
        return of_exception(error, "", 0)
    raise AssertionError


async def test_a_groups_members_are_told() -> None:
    """What a group says of itself is how many there are; the faults are its members."""
    event = sealed(await failed_group(KeyError, ZeroDivisionError, secret="hunter2"))
    told = [(one["type"], one["mechanism"].get("source")) for one in event["exception"]["values"]]
    assert told == [
        ("ZeroDivisionError", "exceptions[1]"), ("KeyError", "exceptions[0]"), ("ExceptionGroup", None),
    ]  # fmt: skip
    group = event["exception"]["values"][-1]["mechanism"]
    assert (group["exception_id"], group["is_exception_group"]) == (0, True)
    assert [one["mechanism"].get("parent_id") for one in event["exception"]["values"]] == [0, 0, None]
    assert b"hunter2" not in orjson.dumps(event)


async def test_groups_of_other_members_are_other_faults() -> None:
    assert fingerprint(await failed_group(KeyError)) == fingerprint(await failed_group(KeyError))
    assert fingerprint(await failed_group(KeyError)) != fingerprint(await failed_group(ZeroDivisionError))


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
