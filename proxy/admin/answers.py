"""What the listeners need of the parent, and how they answer."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from aiohttp import web

from proxy.gateway.failures import RecentFailures
from proxy.policy.model import Maintenance, Policy
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sheet import SeriesKey


class Exposer(Protocol):
    def scrape(self, accept: str) -> tuple[bytes, str]: ...
    def totals(self) -> Mapping[SeriesKey, float]: ...


class Gateway(Protocol):
    """The parent."""

    policy: Policy
    draining: bool
    metrics: Metrics  # the parent's own
    failures: RecentFailures
    problems: tuple[str, ...]  # of the last reload

    @property
    def exposition(self) -> Exposer: ...
    @property
    def ready(self) -> bool: ...
    @property
    def ready_workers(self) -> int: ...
    @property
    def worker_pids(self) -> list[int]: ...
    async def reload(self) -> bool: ...
    async def set_maintenance(self, maintenance: Maintenance | None) -> None: ...


def as_json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=json.dumps(value).encode() + b"\n", status=status, content_type="application/json")
