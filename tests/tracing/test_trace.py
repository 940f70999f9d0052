"""Which requests are traced, and what their upstreams are told."""

from dataclasses import replace
from itertools import pairwise
from math import inf
from random import Random
from typing import Any

import pytest
from multidict import CIMultiDict

from proxy.policy.sentry import Sentry
from proxy.tracing.trace import MOST_BAGGAGE, MOST_MARKS, Trace, Tracer, incoming

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENTRY = Sentry("https://key@sentry.example/1", "test", "app@1", 0.0, frozenset())


def tracer(rate: float = 0.0, seed: int = 1, **options: Any) -> Tracer:
    return Tracer(replace(SENTRY, traces_sample_rate=rate), Random(seed), **options)


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
    one, requests = tracer(rate, most_per_s=10**9), 200_000
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
    one = tracer(0.0, over=lambda: over.append(1), most_per_s=3)
    made = [one.begin({"sentry-trace": f"{TRACE}-{SPAN}-1"}, second) for second in (5.0, 5.1, 5.2, 5.3, 6.0)]
    assert [trace is not None for trace in made] == [True, True, True, False, True]
    assert len(over) == 1


def told(trace: Trace | None) -> dict[str, str]:
    assert trace is not None
    return {name.decode(): value.decode() for name, value in trace.told()}


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
