"""A traced request goes to those that hear of it, with all that OpenTelemetry's spans need."""

import asyncio
import json
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.ai.dialects.call import Kind as CallKind
from proxy.core.errors import Reason
from proxy.core.usage import Tokens
from proxy.gateway.exchange import CacheResult, Exchange, Outcome
from proxy.gateway.traces import Traces
from proxy.otlp.waiting import spool_in
from proxy.policy.model import Origin, Policy
from proxy.policy.otlp import Otlp
from proxy.policy.tracing import Heeded, Tracing
from proxy.sentry.waiting import spool_in as sentrys_spool_in
from proxy.sentry.witness import Witness
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader
from proxy.tracing.trace import Trace
from tests.gateway.test_about import ended
from tests.sentry.test_witness import DSN, policy_of

OTLP = Otlp("https://otlp.example", (), (), 1.0, None, 1_000)
ATTEMPT = SimpleNamespace(origin=Origin("https", "app.example", 8443), retried=True, failed_connects=1)


class Stand:
    def __init__(self, folder: Path, *, sentry: float | None = None, otlp: float | None = 1.0) -> None:
        policy = policy_of(folder, DSN if sentry is not None else "")
        watching = replace(policy.watching, otlp=replace(OTLP, sample_rate=otlp))
        if watching.sentry is not None and sentry is not None:
            watching = replace(watching, sentry=replace(watching.sentry, traces_sample_rate=sentry))
        self.policy: Policy = replace(policy, watching=watching)
        self._folder, self._files = folder, SheetFiles.make()
        metrics = Metrics(Sheet(self._files))
        self.witness = Witness("worker", metrics)
        self.witness.follow(self.policy)
        self.traces = Traces(self.witness, metrics)
        self.traces.follow(self.policy)

    def begin(self, headers: dict[str, str] | None = None) -> Trace:
        assert self.traces.tracer is not None
        trace = self.traces.tracer.begin(headers or {}, 0.0)
        assert trace is not None
        return trace

    def end(self, trace: Trace, **changes: object) -> Exchange:
        exchange = ended(self.policy, trace=trace, **changes)
        self.traces.ended(exchange, self.policy)
        return exchange

    async def spans(self) -> list[list[dict[str, Any]]]:
        """Of each trace."""
        self.traces.flush()
        await asyncio.to_thread(self.traces.close)
        spool = spool_in(str(self._folder))
        waiting = await asyncio.to_thread(lambda: [spool.read(one.name) or [] for one in spool.waiting()])
        return [json.loads(trace) for traces in waiting for trace in traces]

    async def transactions(self) -> int:
        await asyncio.to_thread(self.witness.close)
        spool = sentrys_spool_in(str(self._folder))
        return await asyncio.to_thread(lambda: sum(len(spool.read(one.name) or []) for one in spool.waiting()))

    def count(self, who: str, result: str) -> float:
        return dict(SheetReader(self._files).series()).get((f"sluicegate_{who}_traces", (result,)), 0)


async def test_it_waits_as_spans_with_what_is_known_of_the_request(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    trace = stand.begin()
    trace.mark("forward")
    stand.end(trace, attempt=ATTEMPT, cache=CacheResult.MISS)
    ((whole, asked),) = await stand.spans()
    assert (whole["trace"], whole["name"]) == (trace.trace_id, "GET /**")
    assert whole["attributes"]["url.query"] == "token=[Filtered]"
    own = {name: value for name, value in whole["attributes"].items() if name.startswith("sluicegate.")}
    assert own == {
        "sluicegate.request_id": "r1", "sluicegate.route": "app", "sluicegate.policy": stand.policy.version,
        "sluicegate.tier": "gold", "sluicegate.tenant": "acme", "sluicegate.outcome": "forwarded",
        "sluicegate.cache": "miss",
    }  # fmt: skip
    told = asked["attributes"]
    assert (told["server.address"], told["server.port"], told["url.scheme"]) == ("app.example", 8443, "https")
    assert (told["http.request.resend_count"], told["http.response.status_code"]) == (2, 200)
    assert stand.count("otlp", "captured") == 1


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"outcome": Outcome.CUT, "status": 200, "reason": Reason.UPSTREAM_RESET}, 200),
        ({"outcome": Outcome.CLIENT_GONE, "status": 200, "reason": Reason.CLIENT_GONE}, 200),
        ({"outcome": Outcome.CLIENT_GONE, "status": 499, "reason": Reason.CLIENT_GONE}, None),
        ({"outcome": Outcome.FAILED, "status": 504, "reason": Reason.UPSTREAM_TIMEOUT}, None),
        ({"outcome": Outcome.CACHED, "status": 200}, None),
    ],
)
async def test_an_upstream_s_status_is_its_own(tmp_path: Path, changes: dict[str, Any], status: int | None) -> None:
    """What the gateway answered in its place is none."""
    stand = Stand(tmp_path)
    trace = stand.begin()
    trace.mark("forward")
    stand.end(trace, attempt=ATTEMPT, **changes)
    ((_, asked),) = await stand.spans()
    assert asked["attributes"].get("http.response.status_code") == status


async def test_a_call_of_a_provider_is_told_with_what_it_came_to(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    call = SimpleNamespace(provider="openai", kind=CallKind.CHAT, model="gpt-4o", stream=False, output_cap=None)
    spent = SimpleNamespace(nanousd=2_500_000, tokens=Tokens(input=10, output=5), estimated=False)
    for more in ({"spent": spent}, {}):
        trace = stand.begin()
        trace.mark("forward")
        stand.end(trace, attempt=ATTEMPT, call=call, violated=("per-user",), **more)
    (whole, settled), (_, unsettled) = await stand.spans()
    assert settled["name"] == unsettled["name"] == "chat gpt-4o"
    assert (settled["attributes"]["sluicegate.cost_usd"], settled["attributes"]["gen_ai.usage.input_tokens"]) == (
        0.0025, 10,
    )  # fmt: skip
    assert "gen_ai.usage.input_tokens" not in unsettled["attributes"]
    assert whole["attributes"]["sluicegate.limits"] == "per-user"


async def test_each_hears_of_those_that_are_for_it(tmp_path: Path) -> None:
    """Drawn for one, a trace is not told to the other; one that came along is told to both."""
    stand = Stand(tmp_path, sentry=0.0, otlp=1.0)
    stand.end(stand.begin())
    both = stand.begin({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    stand.end(both)
    assert len(await stand.spans()) == 2
    assert await stand.transactions() == 1
    assert (stand.count("otlp", "captured"), stand.count("sentry", "captured")) == (2, 1)


async def test_traces_beyond_what_a_worker_makes_are_counted_for_each(tmp_path: Path) -> None:
    stand = Stand(tmp_path, sentry=0.5)
    assert stand.traces.tracer is not None
    made = [stand.traces.tracer.begin({}, 7.5) for _ in range(110)]
    assert sum(trace is None for trace in made) == 10
    assert (stand.count("otlp", "over"), stand.count("sentry", "over")) == (10, 10)


@pytest.mark.parametrize(("decisions", "heeded"), [(Heeded.ANYONE, 2), (Heeded.TRUSTED, 1), (Heeded.NOBODY, 0)])
async def test_whose_decisions_count_is_the_policys(tmp_path: Path, decisions: Heeded, heeded: int) -> None:
    """Found in review: whoever asked for traces made this worker's, up to its bound, at any rate."""
    stand = Stand(tmp_path, otlp=0.0)
    policy = stand.policy
    stand.traces.follow(
        replace(
            policy,
            watching=replace(policy.watching, tracing=Tracing(decisions, 100)),
            listen=replace(policy.listen, trusted_proxies=(ip_network("10.0.0.0/8"),)),
        )
    )
    assert stand.traces.tracer is not None
    asks = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    made = [stand.traces.tracer.begin(asks, 7.5, peer) for peer in ("10.1.2.3", "203.0.113.9")]
    assert sum(trace is not None for trace in made) == heeded


def test_nobody_traces_where_nobody_hears(tmp_path: Path) -> None:
    assert Stand(tmp_path, otlp=None).traces.tracer is None
    assert Stand(tmp_path, sentry=0.0, otlp=None).traces.tracer is not None


async def test_a_disk_that_takes_nothing_costs_nothing_but_the_trace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread((tmp_path / "otlp").write_text, "a file where the folder should be")
    stand = Stand(tmp_path)
    stand.end(stand.begin())
    stand.traces.flush()
    await asyncio.to_thread(stand.traces.close)
    assert [record.message for record in caplog.records] == ["what the collector should hear cannot be kept"]
