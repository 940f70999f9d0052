"""The admin API of the cache: what it has done, what it has for a request, and purges.

Explaining tells whose answers are stored: where ``admin.token`` is set, reading needs it, too.
"""

import asyncio
import logging
from typing import Any, Final

from aiohttp import web

from proxy.admin import cachequestion, purgewords
from proxy.admin.answers import Gateway, as_json
from proxy.admin.cachelook import explain
from proxy.admin.cachestats import stats
from proxy.admin.guard import Guard
from proxy.admin.purgewords import WordError
from proxy.admin.purging import purge
from proxy.admin.stores import Unanswered
from proxy.core.clock import Clock
from proxy.identity.strictjson import NotStrict, loads_object
from proxy.telemetry.metrics import CACHE_PURGES

log = logging.getLogger("sluicegate.admin")

_HEADER: Final = "header"  # may come several times


class CacheControls:
    def __init__(self, gateway: Gateway, guard: Guard, clock: Clock) -> None:
        self._gateway = gateway
        self._guard = guard
        self._clock = clock
        self._turn = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/cache", self._guard.reading(self.stats)),
            web.get("/cache/explain", self._guard.reading(self.explain)),
            web.post("/cache/purge", self._guard.changing(self.purge)),
        ]

    async def stats(self, _: web.Request) -> web.Response:
        gateway = self._gateway
        return as_json(stats(gateway.policy, gateway.exposition.totals(), gateway.ready_workers))

    async def explain(self, request: web.Request) -> web.Response:
        """By query: url; method, tenant, user, issuer, tier and any number of header, if wanted."""
        words: dict[str, Any] = {}
        for name, value in request.query.items():
            if name == _HEADER:
                words.setdefault("headers", []).append(value)
            elif name in words:
                return as_json({"error": f"{name}: it is there twice"}, 400)
            else:
                words[name] = value
        try:
            question = cachequestion.read(words)
            async with self._turn:  # one at a time, so that whoever asks often asks slowly
                return as_json(await explain(self._gateway.policy, question, self._clock))
        except WordError as error:
            return as_json({"error": str(error)}, 400)
        except Unanswered as error:
            return as_json({"error": str(error)}, 503)

    async def purge(self, request: web.Request) -> web.Response:
        """A JSON object: one of url, prefix, tags, tenant, all; within or public, and host, if wanted."""
        try:
            wanted = purgewords.read(loads_object(await request.read()))
        except NotStrict as error:
            return as_json({"error": f"write one JSON object: {error}"}, 400)
        except WordError as error:
            return as_json({"error": str(error)}, 400)
        try:
            purged = await purge(self._gateway.policy, wanted)
        except Unanswered as error:
            return as_json({"error": str(error)}, 503)
        self._gateway.metrics.inc(CACHE_PURGES, "ops")
        told = purged.as_json()
        log.info("purged", extra={"fields": {"what": str(wanted), "record": told["record"]}})
        return as_json(told)
