"""Two listeners in the parent. The read-only one may be reached by Prometheus and Kubernetes; the admin one stays on
loopback, and what changes anything needs its token.

Neither shows a secret: the policy is told by its version and its names alone.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

from aiohttp import web

from proxy.admin.accounts import Accounts
from proxy.admin.answers import Gateway, as_json
from proxy.admin.cachecontrols import CacheControls
from proxy.admin.dashboard.observatory import Observatory
from proxy.admin.dashboard.questions import Questions
from proxy.admin.dashboard.site import File, Site, files
from proxy.admin.dashboard.stream import Stream
from proxy.admin.errands import Errands
from proxy.admin.guard import Guard
from proxy.core.clock import SystemClock
from proxy.core.units import UnitError, parse_duration_ms
from proxy.gateway.sockets import CannotListen
from proxy.policy.model import Address, Maintenance
from proxy.telemetry.slow import slow_routes

DEFAULT_RETRY_AFTER_MS: Final = 600_000


class Readings:
    """What anyone who reaches a listener may read."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/metrics", self.metrics),
            web.get("/health/live", self.live),
            web.get("/health/ready", self.ready),
        ]

    async def metrics(self, request: web.Request) -> web.Response:
        body, content_type = self._gateway.exposition.scrape(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def live(self, _: web.Request) -> web.Response:
        return as_json({"status": "live"})

    async def ready(self, _: web.Request) -> web.Response:
        gateway = self._gateway
        state = "ready" if gateway.ready else "draining" if gateway.draining else "starting"
        return as_json({"status": state, "workers": gateway.ready_workers}, 200 if gateway.ready else 503)


class Controls:
    """The admin API."""

    def __init__(self, gateway: Gateway, guard: Guard) -> None:
        self._gateway = gateway
        self._guard = guard

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/status", self.status),
            web.get("/slow", self.slow),
            web.post("/reload", self._guard.changing(self.reload)),
            web.put("/maintenance", self._guard.changing(self.maintenance_on)),
            web.delete("/maintenance", self._guard.changing(self.maintenance_off)),
        ]

    async def status(self, _: web.Request) -> web.Response:
        gateway, policy = self._gateway, self._gateway.policy
        return as_json(
            {
                "ready": gateway.ready,
                "workers": gateway.worker_pids,
                "policy": policy.version,
                "maintenance": policy.maintenance is not None,
                "routes": [route.name for route in policy.routes],
                "limits": list(policy.limits),
                "upstreams": list(policy.upstreams),
            }
        )

    async def slow(self, _: web.Request) -> web.Response:
        return as_json({"routes": slow_routes(self._gateway.exposition.totals())})

    async def reload(self, _: web.Request) -> web.Response:
        applied = await self._gateway.reload()
        told = {"applied": applied, "policy": self._gateway.policy.version, "problems": list(self._gateway.problems)}
        return as_json(told, 200 if applied else 422)

    async def maintenance_on(self, request: web.Request) -> web.Response:
        try:
            retry_after_ms = parse_duration_ms(request.query["retry_after"])
        except KeyError:
            retry_after_ms = DEFAULT_RETRY_AFTER_MS  # type: ignore[assignment]
        except UnitError as exc:
            return as_json({"error": f"retry_after: {exc}"}, 400)
        allow = self._gateway.policy.maintenance.allow if self._gateway.policy.maintenance else ()
        await self._gateway.set_maintenance(Maintenance(retry_after_ms, allow))
        return as_json({"maintenance": True})

    async def maintenance_off(self, _: web.Request) -> web.Response:
        await self._gateway.set_maintenance(None)
        return as_json({"maintenance": self._gateway.policy.maintenance is not None})


def dashboard(
    gateway: Gateway, guard: Guard, errands: Errands, observatory: Observatory, page: Mapping[str, File]
) -> list[web.RouteDef]:
    return [
        *Site(page).routes(),
        web.get("/dashboard/events", guard.reading(Stream(observatory).listen)),
        *Questions(gateway, guard, errands).routes(),
    ]


@contextlib.asynccontextmanager
async def _serving(name: str, address: Address, routes: list[web.RouteDef]) -> AsyncIterator[tuple[str, int]]:
    """Raises: CannotListen."""
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host or None, address.port)
        try:
            await site.start()
        except OSError as exc:
            why = os.strerror(exc.errno) if exc.errno else str(exc)
            raise CannotListen(f"cannot listen on {address} ({name}.address): {why}") from exc
        yield runner.addresses[0][:2]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def listeners(
    gateway: Gateway, on_bound: Callable[[str, str, int], None] = lambda _name, _host, _port: None
) -> AsyncIterator[None]:
    """Serves both as the policy says; ``on_bound`` hears where each listens. Raises: CannotListen."""
    policy = gateway.policy
    readings = Readings(gateway).routes()
    async with contextlib.AsyncExitStack() as stack:
        if policy.metrics is not None:
            host, port = await stack.enter_async_context(_serving("metrics", policy.metrics, readings))
            on_bound("metrics", host, port)
        if policy.admin is not None:
            guard, errands = Guard(policy.admin.token), Errands()
            stack.push_async_callback(errands.close)
            routes = [
                *readings,
                *Controls(gateway, guard).routes(),
                *Accounts(gateway, guard, errands).routes(),
                *CacheControls(gateway, guard, SystemClock()).routes(),
            ]
            observatory = Observatory(gateway, errands, SystemClock(), changes=guard.wants_token)
            routes += dashboard(gateway, guard, errands, observatory, await asyncio.to_thread(files))
            host, port = await stack.enter_async_context(_serving("admin", policy.admin.address, routes))
            on_bound("admin", host, port)
            await stack.enter_async_context(observatory.working())  # ended first: listeners are told
        yield
