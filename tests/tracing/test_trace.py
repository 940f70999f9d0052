"""Which requests are traced, and what their upstreams are told."""

from itertools import pairwise
from math import inf
from random import Random
from typing import Any

import pytest
from multidict import CIMultiDict

from proxy.tracing.sampling import Sampling
from proxy.tracing.trace import MOST_BAGGAGE, MOST_MARKS, Trace, Tracer, incoming

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SCOPE = {"public_key": "key", "environment": "test", "release": "app@1"}


ASKED = {"sentry-trace": f"{TRACE}-{SPAN}-1"}


def tracer(rate: float | None = 0.0, *, otlp: float | None = None, seed: int = 1, **options: Any) -> Tracer:
    wanted: dict[str, Any] = {"over": lambda: None, "most_per_s": 10**9, "heeds": lambda _: True, **options}
    return Tracer(Sampling(rate, otlp, SCOPE), Random(seed), **wanted)


def shared(sentry: float | None, otlp: float | None) -> Tracer:
    return tracer(sentry, otlp=otlp)


@pytest.mark.parametrize(
    ("name", "value", "sampled"),
    [
        ("sentry-trace", f"{TRACE}-{SPAN}-1", True),
        ("sentry-trace", f"{TRACE}-{SPAN}-0", False),
        ("sentry-trace", f"{TRACE}-{SPAN}", None),
        ("sentry-trace", f" {TRACE}-{SPAN}-1 ", True),
        ("traceparent", f"00-{TRACE}-{SPAN}-01", True),
        ("traceparent", f"00-{TRACE}-{SPAN}-00", False),
        ("traceparent", f"00-{TRACE}-{SPAN}-03", True),
        ("traceparent", f"cc-{TRACE}-{SPAN}-01-more", True),
    ],
)
def test_a_decision_is_read(name: str, value: str, sampled: bool | None) -> None:
    """W3C Trace Context §3.2: what a later version adds at the end is passed over."""
    found = incoming(CIMultiDict({name.title(): value}))
    assert found is not None
    assert (found.trace_id, found.span_id, found.sampled, found.form) == (TRACE, SPAN, sampled, name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sentry-trace", "no"),
        ("sentry-trace", f"{'0' * 32}-{SPAN}-1"),
        ("sentry-trace", f"{TRACE.upper()}-{SPAN}-1"),
        ("traceparent", f"ff-{TRACE}-{SPAN}-01"),
        ("traceparent", f"00-{TRACE}-{'0' * 16}-01"),
        ("traceparent", f"00-{TRACE}-{SPAN}-01-more"),
        ("traceparent", f"00-{TRACE}-{SPAN}-1"),
        ("other", f"{TRACE}-{SPAN}-1"),
    ],
)
def test_what_is_none_is_none(name: str, value: str) -> None:
    assert incoming(CIMultiDict({name: value})) is None
    assert tracer().begin(CIMultiDict({name: value}), 0.0) is None


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
def test_the_share_that_is_drawn_is_the_rate(rate: float) -> None:
    """And the draws are independent: the mean gap is 1 / rate, and its variance that of a geometric one."""
    one, requests = tracer(rate), 200_000
    at = [n for n in range(requests) if one.begin({}, 0.0) is not None]
    assert len(at) / requests == pytest.approx(rate, rel=0.08)
    gaps = [later - earlier for earlier, later in pairwise(at)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert variance == pytest.approx((1 - rate) / rate**2, rel=0.15)


def test_none_and_all() -> None:
    none, every = tracer(0.0), tracer(1.0)
    assert none.left == inf
    assert not any(none.begin({}, 0.0) for _ in range(1000))
    assert all(every.begin({}, float(n)) for n in range(1000))


def test_a_decision_that_comes_along_is_kept_whatever_the_rate() -> None:
    yes, no = {"sentry-trace": f"{TRACE}-{SPAN}-1"}, {"traceparent": f"00-{TRACE}-{SPAN}-00"}
    traced = tracer(0.0).begin(yes, 0.0)
    assert traced is not None
    assert (traced.trace_id, traced.parent_id, traced.rate) == (TRACE, SPAN, None)
    assert tracer(1.0).begin(no, 0.0) is None
    undecided = tracer(1.0).begin({"sentry-trace": f"{TRACE}-{SPAN}"}, 0.0)
    assert undecided is not None
    assert (undecided.trace_id, undecided.rate) == (TRACE, 1.0)


def test_whoever_asks_for_every_trace_does_not_get_them() -> None:
    over: list[int] = []
    one = tracer(0.0, over=lambda: over.append(1), most_per_s=6)
    made = [one.begin(ASKED, second) for second in (5.0, 5.1, 5.2, 5.3, 6.0)]
    assert [trace is not None for trace in made] == [True, True, True, False, True]
    assert len(over) == 1


def test_those_that_are_drawn_keep_half_of_what_may_be_made() -> None:
    """Found in review: whoever sent decisions took all traces of a second, and those drawn had none."""
    one = tracer(1.0, most_per_s=10)
    asked = [one.begin(ASKED, 5.0) is not None for _ in range(50)]
    drawn = [one.begin({}, 5.0) is not None for _ in range(50)]
    assert (sum(asked), sum(drawn)) == (5, 5)
    assert sum(one.begin({}, 6.0) is not None for _ in range(50)) == 10
    assert tracer(0.0, most_per_s=1).begin(ASKED, 5.0) is not None


def test_a_decision_counts_only_where_the_policy_heeds_its_sender() -> None:
    """Of one that it does not, the trace goes on all the same if it is drawn."""
    none, every = (tracer(rate, heeds=lambda peer: peer == "10.0.0.1") for rate in (0.0, 1.0))
    assert none.begin(ASKED, 5.0, "10.0.0.1") is not None
    assert none.begin(ASKED, 5.0, "203.0.113.9") is None
    refused = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
    trace = every.begin(refused, 5.0, "203.0.113.9")
    assert trace is not None
    assert (trace.trace_id, trace.parent_id, trace.rate) == (TRACE, SPAN, 1.0)
    assert every.begin(refused, 5.0, "10.0.0.1") is None


def told(trace: Trace | None) -> dict[str, str]:
    assert trace is not None
    return {name.decode(): value.decode() for name, value in trace.told}


def test_the_upstream_gets_our_span_as_its_parent() -> None:
    trace = tracer().begin({"sentry-trace": f"{TRACE}-{SPAN}-1"}, 0.0)
    assert trace is not None
    fields = told(trace)
    assert fields["sentry-trace"] == f"{TRACE}-{trace.forward_id}-1"
    assert fields["traceparent"] == f"00-{TRACE}-{trace.forward_id}-01"
    assert len({SPAN, trace.span_id, trace.forward_id}) == 3


def test_baggage_of_a_trace_that_began_elsewhere_stays_as_it_is() -> None:
    """Whoever begins a trace says what Sentry samples it by."""
    headers = CIMultiDict({"traceparent": f"00-{TRACE}-{SPAN}-01"})
    headers.extend([("Baggage", "other=1, sentry-trace_id=x"), ("baggage", "third=2;p=q")])
    assert told(tracer().begin(headers, 0.0))["baggage"] == "other=1,sentry-trace_id=x,third=2;p=q"
    assert "baggage" not in told(tracer().begin({"sentry-trace": f"{TRACE}-{SPAN}-1"}, 0.0))


def test_baggage_of_a_trace_that_begins_here() -> None:
    trace = tracer(1.0).begin({"baggage": "other=1"}, 0.0)
    assert trace is not None
    assert told(trace)["baggage"] == (
        f"other=1,sentry-trace_id={trace.trace_id},sentry-public_key=key,sentry-environment=test,"
        "sentry-release=app%401,sentry-sampled=true,sentry-sample_rate=1"
    )


def test_baggage_that_is_too_long_loses_whole_members() -> None:
    members = [f"m{n}={'x' * 3000}" for n in range(4)]
    fields = told(tracer(1.0).begin({"baggage": ",".join(members)}, 0.0))
    kept = fields["baggage"].split(",")
    assert kept[:2] == members[:2]
    assert len(fields["baggage"]) <= MOST_BAGGAGE
    assert any(one.startswith("sentry-trace_id=") for one in kept)


def test_phases_are_bounded() -> None:
    trace = Trace(TRACE, "", "1" * 16, "2" * 16)
    for _ in range(100):
        trace.mark("x")
    assert len(trace.marks) == MOST_MARKS


def test_a_phase_ends_where_the_next_begins() -> None:
    """Each has an id of its own; the upstream's spans belong to the first that forwards."""
    trace = Trace(TRACE, "", "1" * 16, "2" * 16)
    marks = [("identify", 10.1), ("", 10.2), ("forward", 10.3), ("forward", 10.4), ("relay", 10.6)]
    phases = trace.phases(marks, 10.5)
    assert [(one.name, one.started_s, one.ended_s) for one in phases] == [
        ("identify", 10.1, 10.2), ("forward", 10.3, 10.4), ("forward", 10.4, 10.6), ("relay", 10.6, 10.6),
    ]  # fmt: skip
    assert phases[1].span_id == "2" * 16
    assert len({one.span_id for one in phases} | {"1" * 16}) == 5


def test_each_hears_of_its_own_share_and_the_smaller_one_lies_in_the_larger() -> None:
    one = shared(0.05, 0.4)
    traces = [trace for _ in range(100_000) if (trace := one.begin({}, 0.0)) is not None]
    assert len(traces) == pytest.approx(40_000, rel=0.05)
    assert all(trace.to_otlp for trace in traces)
    assert sum(trace.to_sentry for trace in traces) == pytest.approx(5_000, rel=0.1)
    assert {trace.rate for trace in traces} == {0.05}


@pytest.mark.parametrize("header", [{"traceparent": f"00-{TRACE}-{SPAN}-01"}, {"sentry-trace": f"{TRACE}-{SPAN}-1"}])
def test_a_decision_that_came_along_is_for_both(header: dict[str, str]) -> None:
    trace = shared(0.0, 0.0).begin(header, 0.0)
    assert trace is not None
    assert (trace.to_sentry, trace.to_otlp, trace.trace_id) == (True, True, TRACE)
    assert shared(1.0, 1.0).begin({"traceparent": f"00-{TRACE}-{SPAN}-00"}, 0.0) is None


def test_who_does_not_hear_of_a_trace_is_not_led_to_it() -> None:
    """Its field says so to the upstream: a span whose parent nobody has would hang in the air."""
    only_otlp = told(shared(0.0, 1.0).begin({}, 0.0))
    assert only_otlp["sentry-trace"].endswith("-0")
    assert only_otlp["traceparent"].endswith("-01")
    assert "sentry-sampled=false" in only_otlp["baggage"]
    only_sentry = told(shared(1.0, 0.0).begin({}, 0.0))
    assert only_sentry["sentry-trace"].endswith("-1")
    assert only_sentry["traceparent"].endswith("-00")
    assert "sentry-sampled=true" in only_sentry["baggage"]


def test_without_sentry_its_fields_are_none_of_our_business() -> None:
    """They neither decide nor are replaced."""
    tracer = shared(None, 0.0)
    assert tracer.begin({"sentry-trace": f"{TRACE}-{SPAN}-1"}, 0.0) is None
    trace = tracer.begin({"traceparent": f"00-{TRACE}-{SPAN}-01", "sentry-trace": "x", "baggage": "a=1"}, 0.0)
    assert trace is not None
    assert told(trace) == {"traceparent": f"00-{TRACE}-{trace.forward_id}-01"}
    assert trace.replaced == (b"traceparent",)
    assert (trace.to_sentry, trace.to_otlp) == (False, True)
