"""What is told of a request: whose it was and which way it went, and only the faults that the policy names."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from proxy.core.errors import Reason
from proxy.core.identity import Identity, IdentityKind
from proxy.gateway.about import about
from proxy.gateway.exchange import Exchange, Outcome
from proxy.gateway.watch import Watch
from proxy.policy.sentry import Reported
from proxy.sentry.waiting import spool_in
from proxy.sentry.witness import Witness
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles
from tests.gateway.conftest import exchange_of
from tests.sentry.sentry_receiver import Item, parsed
from tests.sentry.test_witness import policy_of

DSN = "https://key@sentry.example/1"


class Stand:
    def __init__(self, folder: Path, **sentry: Any) -> None:
        policy = policy_of(folder, DSN)
        assert policy.watching.sentry is not None
        watching = replace(policy.watching, sentry=replace(policy.watching.sentry, **sentry))
        self.policy = replace(policy, watching=watching)
        metrics = Metrics(Sheet(SheetFiles.make()))
        self.watch = Watch(Witness("worker", metrics), metrics)
        self.watch.follow(self.policy)
        self.spool = spool_in(str(folder))

    def exchange(self, request: bytes = b"GET /a?token=hunter2 HTTP/1.1\r\nHost: h\r\n\r\n") -> Exchange:
        exchange = exchange_of(request)
        exchange.request_id = "r1"
        exchange.query = "token=hunter2"
        exchange.route = self.policy.routes[0]
        exchange.identity = Identity(IdentityKind.USER, "gold", tenant="acme", user="u1")
        exchange.status, exchange.outcome = 200, Outcome.FORWARDED
        return exchange

    def _items(self) -> list[Item]:
        self.watch.flush()
        self.watch.witness.close()
        found = [self.spool.read(one.name) or [] for one in self.spool.waiting()]
        return [item for bodies in found for body in bodies for item in parsed(body)]

    async def items(self) -> list[Item]:
        return await asyncio.to_thread(self._items)


async def test_a_request_is_told_of_by_tags_and_names(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    told = about(stand.exchange(), stand.policy)
    assert told.tags == {
        "request_id": "r1", "route": "app", "policy": stand.policy.version, "process": "worker",
        "tier": "gold", "tenant": "acme",
    }  # fmt: skip
    assert told.request == {"method": "GET", "url": "/**", "query_string": "token=[Filtered]"}
    assert told.transaction == "GET app"
    assert await stand.items() == []


async def test_faults_of_upstreams_are_told_as_the_policy_says(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    for status, reason, attempted in (
        (503, None, True),
        (503, None, False),  # of the gateway's own
        (504, Reason.UPSTREAM_TIMEOUT, True),
        (502, Reason.UPSTREAM_REFUSED, True),  # not in the list
        (429, Reason.QUOTA_EXCEEDED, False),
        (200, None, True),
    ):
        exchange = stand.exchange()
        exchange.status, exchange.reason = status, reason
        exchange.attempt = object() if attempted else None
        stand.watch.ended(exchange, stand.policy)
    told = [item.json()["tags"] for item in await stand.items()]
    assert [(one["reason"], one["status"]) for one in told] == [("upstream_5xx", "503"), ("upstream_timeout", "504")]
    assert all(one["upstream"] == "app" and one["tenant"] == "acme" for one in told)


async def test_a_store_that_is_away_is_no_upstreams_fault(tmp_path: Path) -> None:
    stand = Stand(tmp_path, report=frozenset({Reported.STORE_AWAY}))
    exchange = stand.exchange()
    exchange.status, exchange.reason = 503, Reason.STORE_AWAY
    stand.watch.ended(exchange, stand.policy)
    (item,) = await stand.items()
    assert (item.json()["tags"]["upstream"], item.json()["message"]) == ("store", "store_away of store: 503")


async def test_a_fault_behind_a_clients_back_is_told_of_like_any_and_says_so(tmp_path: Path) -> None:
    """Found in review: whom a stored answer serves, it spared Sentry, too."""
    stand = Stand(tmp_path)
    for failure in (503, Reason.UPSTREAM_TIMEOUT, Reason.UPSTREAM_REFUSED, Reason.BODY_TOO_LARGE):
        stand.watch.unseen(stand.exchange(), stand.policy, failure)
    told = [item.json()["tags"] for item in await stand.items()]
    assert [(one["reason"], one["status"]) for one in told] == [("upstream_5xx", "503"), ("upstream_timeout", "504")]
    assert all((one["upstream"], one["served"], one["tenant"]) == ("app", "stored", "acme") for one in told)


async def test_nothing_behind_a_clients_back_is_told_where_the_policy_does_not_ask(tmp_path: Path) -> None:
    stand = Stand(tmp_path, report=frozenset())
    stand.watch.unseen(stand.exchange(), stand.policy, 503)
    stand.watch.unseen(stand.exchange(), stand.policy, Reason.UPSTREAM_TIMEOUT)
    assert await stand.items() == []


async def test_a_traced_request_is_a_transaction(tmp_path: Path) -> None:
    stand = Stand(tmp_path, traces_sample_rate=1.0)
    exchange = stand.exchange()
    assert stand.watch.tracer is not None
    exchange.trace = stand.watch.tracer.begin(exchange.headers, 0.0)
    exchange.trace.mark("forward")
    stand.watch.ended(exchange, stand.policy)
    (item,) = await stand.items()
    payload = item.json()
    assert (item.kind, payload["transaction"]) == ("transaction", "GET app")
    assert payload["contexts"]["trace"]["trace_id"] == exchange.trace.trace_id == item.envelope["trace"]["trace_id"]
    assert item.envelope["trace"]["transaction"] == "GET app"
    assert [span["description"] for span in payload["spans"]] == ["forward app"]
    assert "hunter2" not in json.dumps(payload)


async def test_without_a_project_there_is_no_tracer(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.watch.follow(policy_of(tmp_path, ""))
    assert stand.watch.tracer is None
