"""A traced request is told of phase by phase and its upstream goes on with the trace; a provider hears nothing."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.gateway import Gateway, bearer, eventually, get, once, volley
from tests.e2e.origin import Origin
from tests.e2e.provider import call, post, standing
from tests.sentry.sentry_receiver import PUBLIC_KEY, Receiver, heard

pytestmark = pytest.mark.full  # many seconds

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CACHED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: max-age=600\r\n\r\nok"
Stand = tuple[Gateway, Origin, Receiver]


@contextmanager
def stand(rate: float) -> Iterator[Stand]:
    with Receiver.receiving() as receiver:
        rest = f"""
            sentry: {{dsn: "{receiver.dsn}", environment: test, traces_sample_rate: {rate}, report: []}}
            limits: {{wide: {{scope: ip, rate: 1000000/1m}}}}
            routes:
              - {{name: ai, match: {{path: "/v1/**"}}, upstream: openai, auth: required, max_output_tokens: 100}}
              - {{name: cached, match: {{path: /cached}}, upstream: app, auth: none, limits: [wide],
                  cache: {{scope: public, early_refresh: false, hits_pay: false}}}}
              - {{name: app, match: {{path: "/**"}}, upstream: app, auth: optional, limits: [wide]}}
        """
        with standing(rest, workers=1) as paid:
            paid.origin.answers["/cached"] = CACHED
            yield paid.gateway, paid.origin, receiver


def of_trace(trace_id: str) -> Callable[[dict], bool]:
    return lambda one: one["contexts"]["trace"]["trace_id"] == trace_id


async def test_a_trace_that_came_along_is_told_of_and_passed_on() -> None:
    """At a rate of 0, too. The client's fields are replaced, its baggage and tracestate kept."""
    with stand(0) as (gateway, origin, receiver):
        answer = await once(
            gateway,
            get(
                "/a?token=hunter2", bearer(), f"sentry-trace: {TRACE}-{SPAN}-1",
                f"baggage: other=1,sentry-trace_id={TRACE}", "tracestate: vendor=1",
            ),
        )  # fmt: skip
        payload = heard(receiver, "transaction", of_trace(TRACE))
        seen = origin.last()
        context = payload["contexts"]["trace"]
        assert context["parent_span_id"] == SPAN
        spans = {span["description"]: span for span in payload["spans"]}
        assert list(spans) == ["identify", "admit", "forward app", "relay"]
        assert seen.all("sentry-trace") == [f"{TRACE}-{spans['forward app']['span_id']}-1"]
        assert seen.all("traceparent") == [f"00-{TRACE}-{spans['forward app']['span_id']}-01"]
        assert seen.all("baggage") == [f"other=1,sentry-trace_id={TRACE}"]
        assert seen.get("tracestate") == "vendor=1"
        assert all(span["parent_span_id"] == context["span_id"] for span in spans.values())
        times = [(span["start_timestamp"], span["timestamp"]) for span in spans.values()]
        assert all(payload["start_timestamp"] <= start <= end <= payload["timestamp"] for start, end in times)
        assert payload["tags"]["tenant"] == "acme"
        assert payload["tags"]["request_id"] == answer.get("X-Request-ID")
        assert payload["transaction"] == "GET app"
        line = eventually(lambda: gateway.request_line(answer.get("X-Request-ID")))
        assert line["trace"] == TRACE
        assert not any(b"hunter2" in body for body in receiver.raw)


@pytest.mark.parametrize(
    "fields", [(), (f"sentry-trace: {TRACE}-{SPAN}-0", "baggage: a=1"), (f"traceparent: 00-{TRACE}-{SPAN}-00",)]
)
async def test_what_is_not_traced_passes_on_untouched(fields: tuple[str, ...]) -> None:
    with stand(0) as (gateway, origin, receiver):
        answer = await once(gateway, get("/a", *fields))
        seen = origin.last()
        names = ("sentry-trace", "traceparent", "baggage")
        assert [f"{name}: {value}" for name in names for value in seen.all(name)] == list(fields)
        assert "trace" not in gateway.request_line(answer.get("X-Request-ID"))
        assert receiver.items == []


async def test_a_decision_against_it_wins_over_any_rate() -> None:
    with stand(1) as (gateway, _, receiver):
        await once(gateway, get("/a", f"sentry-trace: {TRACE}-{SPAN}-0"))
        await once(gateway, get("/a", f"traceparent: 00-{'1' * 32}-{SPAN}-01"))
        heard(receiver, "transaction", of_trace("1" * 32))
        assert len(receiver.of("transaction")) == 1


async def test_a_trace_that_begins_here_says_what_it_is_sampled_by() -> None:
    with stand(1) as (gateway, origin, receiver):
        await once(gateway, get("/a", "baggage: other=1"))
        seen = origin.last()
        trace_id = seen.get("sentry-trace").partition("-")[0]
        heard(receiver, "transaction", of_trace(trace_id))
        (item,) = [item for item in receiver.items if item.kind == "transaction"]
        assert item.envelope["trace"]["public_key"] == PUBLIC_KEY
        assert item.envelope["trace"]["sample_rate"] == "1"
        assert f"sentry-trace_id={trace_id}" in seen.get("baggage")
        assert seen.get("baggage").startswith("other=1,")


async def test_a_provider_hears_nothing_and_its_call_is_settled_in_a_phase() -> None:
    with stand(1) as (gateway, origin, receiver):
        request = post(call(prompt=10, output=5), bearer().rpartition(" ")[2])
        traced = request.replace(b"\r\n\r\n", f"\r\nsentry-trace: {TRACE}-{SPAN}-1\r\nbaggage: a=1\r\n\r\n".encode(), 1)
        assert (await once(gateway, traced)).status == 200
        payload = heard(receiver, "transaction", of_trace(TRACE))
        assert [span["description"] for span in payload["spans"]] == [
            "identify", "admit", "forward openai", "relay", "settle",
        ]  # fmt: skip
        seen = origin.last()
        assert [seen.get(name) for name in ("sentry-trace", "traceparent", "baggage")] == [None] * 3


async def test_recalled_hits_lose_no_sample() -> None:
    """The same bytes over and over are drawn as often as any other request, and the others are still recalled."""
    rate, total = 0.05, 1000
    with stand(rate) as (gateway, _, receiver):
        answers = await volley(gateway, get("/cached"), total, connections=4)
        assert all(answer.status == 200 for answer in answers)
        recalled = sum("r" in answer.get("X-Request-ID") for answer in answers)
        eventually(lambda: gateway.metric(r'sluicegate_sentry_traces_total\{result="sent"\}') >= 1)
        traced = gateway.metric(r'sluicegate_sentry_traces_total\{result="captured"\}')
        spread = 5 * math.sqrt(total * rate * (1 - rate))
        assert abs(traced - total * rate) < spread
        assert recalled > total * (1 - rate) - spread - 50
        hit = heard(receiver, "transaction", lambda one: len(one["spans"]) == 2)
        assert [span["description"] for span in hit["spans"]] == ["identify", "look up"]


async def test_a_hit_that_asks_to_be_traced_is_never_recalled() -> None:
    with stand(0) as (gateway, _, receiver):
        request = get("/cached", f"sentry-trace: {TRACE}-{SPAN}-1")
        for _ in range(5):
            assert "r" not in (await once(gateway, request)).get("X-Request-ID")
        eventually(lambda: len(receiver.of("transaction")) == 5)
