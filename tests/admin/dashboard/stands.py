"""A gateway's parent, as far as the dashboard knows one; all else is real."""

from dataclasses import dataclass, field
from typing import Any

from proxy.admin.errands import Answer, Errand
from proxy.gateway.failures import RecentFailures
from proxy.policy.compiler import compile_text
from proxy.policy.model import Policy
from proxy.telemetry.exposition import Exposition
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sheet import Sheet, SheetFiles, SheetReader
from tests.e2e.policies import policy as policy_text

NOW_MS = 1_795_000_000_000
ROUTES = 'routes: [{name: app, match: {path: "/**"}, upstream: app, auth: none}]'
SPENDING = """
budgets: {all: {scope: global, daily: $1}}
routes: [{name: ai, match: {path: "/**"}, upstream: openai, budgets: [all]}]
"""


def plain_policy() -> Policy:
    return compile_text(policy_text(9, ROUTES), "config.yaml", {}).policy


def spending_policy() -> Policy:
    provider = 'openai: {primary: ["http://127.0.0.1:9"], dialect: openai}'
    return compile_text(policy_text(9, SPENDING, upstreams=provider), "config.yaml", {}).policy


class Clock:
    def __init__(self) -> None:
        self.ms = NOW_MS

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> int:
        return self.ms


class Parent:
    """``metrics`` are a worker's, which the exposition sums."""

    def __init__(self, policy: Policy) -> None:
        files = SheetFiles.make()
        self.metrics = Metrics(Sheet(files))
        self.exposition = Exposition()
        self.exposition.attach(SheetReader(files))
        self.policy = policy
        self.draining = False
        self.ready = True
        self.ready_workers = 2
        self.worker_pids = [1, 2]
        self.failures = RecentFailures()
        self.problems: tuple[str, ...] = ()

    async def reload(self) -> bool:
        return True

    async def set_maintenance(self, maintenance: Any) -> None:
        pass


@dataclass
class Clerk:
    """In the errands' place: remembers what it was asked."""

    status: int = 200
    body: Any = field(default_factory=dict)
    errands: list[Errand] = field(default_factory=list)

    async def run(self, errand: Errand) -> Answer:
        self.errands.append(errand)
        return self.status, self.body
