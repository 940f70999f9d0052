"""A traced request is a tree: its own span, and below it one for each phase."""

import json

import pytest

from proxy.otlp.spans import SpanKind, spans, written
from proxy.tracing.trace import Trace
from tests.otlp.test_traced import CALL, SPAN, TRACE, traced

SECOND = 1_000_000_000


def test_the_request_s_own_span_goes_on_with_its_caller_s() -> None:
    whole, *phases = spans(traced())
    assert (whole["trace"], whole["id"], whole["parent"], whole["remote"]) == (TRACE, "1" * 16, SPAN, True)
    assert (whole["kind"], whole["start"], whole["end"]) == (SpanKind.SERVER, 999 * SECOND, 1000 * SECOND)
    assert {(one["trace"], one["parent"], one["remote"]) for one in phases} == {(TRACE, "1" * 16, False)}


def test_a_trace_that_begins_here_has_no_parent() -> None:
    whole = spans(traced(trace=Trace(TRACE, "", "1" * 16, "2" * 16)))[0]
    assert (whole["parent"], whole["remote"]) == ("", False)


def test_phases_follow_one_another_and_the_forwarding_one_is_the_upstream_s_parent() -> None:
    _, *phases = spans(traced())
    assert [one["name"] for one in phases] == ["identify", "admit", "GET", "relay"]
    times = [(one["start"] - 999 * SECOND, one["end"] - 999 * SECOND) for one in phases]
    eighth = SECOND // 8
    assert times == [(eighth, 2 * eighth), (2 * eighth, 4 * eighth), (4 * eighth, 6 * eighth), (6 * eighth, 8 * eighth)]
    assert phases[2]["id"] == "2" * 16


@pytest.mark.parametrize(("asked", "kind"), [(True, SpanKind.CLIENT), (False, SpanKind.INTERNAL)])
def test_an_admission_is_a_call_of_redis_where_it_waited_for_it(asked: bool, kind: SpanKind) -> None:
    admit = spans(traced(asked_redis=asked))[2]
    assert (admit["name"], admit["kind"]) == ("admit", kind)
    assert admit["attributes"].get("db.system.name") == ("redis" if asked else None)


def test_what_waits_is_what_is_told() -> None:
    told = traced(call=CALL, status=503)
    assert json.loads(written(told)) == spans(told)
    assert [one["name"] for one in json.loads(written(told))][3] == "chat gpt-4o"
    assert spans(told)[0]["failed"]
