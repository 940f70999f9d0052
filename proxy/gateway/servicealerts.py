"""Alerts about the service itself: what all processes count is looked at every few seconds, and told through the
channels of the policy. In the parent, which sums the counts anyway, and which needs neither Redis nor the ledger: what
these alerts tell of must not be what they wait for.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from typing import Final

from aiohttp import ClientSession

from proxy.alerts.answers import Verdict
from proxy.alerts.channels.registry import open_channels
from proxy.alerts.dispatcher import Channel, Dispatcher
from proxy.alerts.incident import News
from proxy.alerts.recipients import service_posts
from proxy.alerts.samples import Watched, sampled
from proxy.alerts.servicealert import ServiceAlert
from proxy.alerts.servicewatch import ServiceWatch
from proxy.alerts.shelf import Shelf, Shelved
from proxy.alerts.tray import Letter, Tray
from proxy.core.clock import Clock
from proxy.gateway.alertnotes import AlertNotes
from proxy.policy import spending
from proxy.policy.model import Policy
from proxy.store.waiting import until
from proxy.telemetry.exposition import Exposition
from proxy.telemetry.metrics import ALERTS, SERVICE_ALERTS, SERVICE_INCIDENTS, Metrics

log = logging.getLogger("sluicegate.alerts")

LOOK_S: Final = 5.0
SOONEST_S: Final = 0.05
LOOKS: Final = 4  # within the shortest time that a rule names
LAST_ROUND_S: Final = 2.0  # for what is being sent when the gateway ends; the shelf has the rest


class ServiceAlerts:
    """Of one gateway. ``follow`` each policy; ``working`` while it serves."""

    def __init__(self, exposition: Exposition, metrics: Metrics, clock: Clock) -> None:
        self._exposition = exposition
        self._metrics = metrics
        self._clock = clock
        self._policy: Policy | None = None
        self._watch: ServiceWatch | None = None
        self._session: ClientSession | None = None
        self._sender: Dispatcher | None = None
        self._tls: ssl.SSLContext | None = None
        self._tray = Tray()
        self._shelved = Shelved()
        self._changed = asyncio.Event()
        self._followed = asyncio.Event()
        self._ending = asyncio.Event()

    def follow(self, policy: Policy) -> None:
        """Before any worker does."""
        before, self._policy = self._policy, policy
        self._followed.set()
        if self._watch is not None:
            self._turn(self._watch, before, policy)

    @contextlib.asynccontextmanager
    async def working(self, gateway: str, shelf: Shelf) -> AsyncIterator[None]:
        """``gateway`` is how alerts call it."""
        shelved = self._shelved = await self._read(shelf)
        self._tray = Tray(shelved.letters, self._changed.set)
        watch = ServiceWatch(gateway, shelved.incidents)
        async with ClientSession() as session:
            self._session = session
            # The tray is always there: no error of it passes.
            notes = AlertNotes(self._metrics, lambda reason: None)
            sender = self._sender = Dispatcher(self._tray, (), self._clock, notes, passing=OSError)
            self._watch = watch
            if self._policy is not None:
                self._turn(watch, None, self._policy)
            tasks = {
                asyncio.create_task(sender.run(), name="service-alerts-sender"),
                asyncio.create_task(self._look_on(watch), name="service-alerts-look"),
                asyncio.create_task(self._save(watch, shelf), name="service-alerts-save"),
            }
            try:
                yield
            finally:
                self._ending.set()
                self._followed.set()
                self._changed.set()
                sender.stop()
                _, late = await asyncio.wait(tasks, timeout=LAST_ROUND_S)
                for task in late:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self._sender = self._session = self._watch = None
                await self._write(watch, shelf)

    def _turn(self, watch: ServiceWatch, before: Policy | None, policy: Policy) -> None:
        """What was counted by now is the old policy's. What is not watched any more is over at once, for those who were
        told."""
        assert self._sender is not None
        service, posts, watched = policy.alerts.service, service_posts(policy.alerts), watched_of(policy)
        if before is not None:
            self._look(watch, watched_of(before))
        watch.follow(watched, service.repeat_ms if service else None, posts)
        self._tray.keep_only({channel.name for channel in policy.alerts.channels})
        if before is not None and before.maintenance is not None:
            watched = replace(watched, maintenance=True)  # workers are in it still: no 503 of theirs is a failure
        self._look(watch, watched)
        waiting = {letter.channel for letter in self._tray.letters}
        names = {channel for channel, _ in (*posts, *watch.heard())} | waiting
        self._sender.use(self._channels([channel for channel in policy.alerts.channels if channel.name in names]))

    def _channels(self, wanted: Sequence[spending.Channel]) -> Sequence[Channel]:
        assert self._session is not None
        if wanted and self._tls is None:  # it takes a while, and most gateways need none
            self._tls = ssl.create_default_context()
        try:
            return open_channels(wanted, self._session, self._clock, self._tls) if self._tls is not None else ()
        except ValueError as error:
            log.error("alerts of the service cannot be sent", extra={"fields": {"error": str(error)}})
            return ()

    def _look(self, watch: ServiceWatch, watched: Watched) -> None:
        try:
            alerts = self._found(watch, watched)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not silence all alerts for good
            report = {"message": "looking at the service failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(report)
            return
        assert self._policy is not None
        reachable = {channel.name for channel in self._policy.alerts.channels}
        for alert in alerts:
            self._tell(alert, reachable)
        self._count(watch)
        if alerts:
            self._changed.set()
            if self._sender is not None:
                self._sender.wake()

    def _found(self, watch: ServiceWatch, watched: Watched) -> Sequence[ServiceAlert]:
        now_ms = self._clock.now_ms()
        samples = sampled(self._exposition.totals(), watched, now_ms / 1000)
        return watch.look(samples, self._clock.monotonic_ms(), now_ms)

    def _tell(self, alert: ServiceAlert, reachable: Collection[str]) -> None:
        self._metrics.inc(SERVICE_ALERTS, alert.subject.kind.value, alert.word)
        fields = {"id": alert.id, "cause": alert.subject.kind.value, "level": alert.word, "about": alert.message}
        log.log(logging.INFO if alert.news is News.RESOLVED else logging.WARNING, "alert", extra={"fields": fields})
        payload = alert.payload()
        dropped = self._tray.put(
            Letter(alert.id, channel, recipient, payload, 0, alert.at_ms, incident=alert.incident)
            for channel, recipient in alert.posts
            if channel in reachable
        )
        for letter in dropped:
            self._metrics.inc(ALERTS, letter.channel, Verdict.NEVER.value)
            log.error("too many alerts wait: the oldest was dropped", extra={"fields": {"channel": letter.channel}})

    def _count(self, watch: ServiceWatch) -> None:
        for kind, count in watch.told().items():
            self._metrics.set(SERVICE_INCIDENTS, count, kind.value)

    # --- the tasks ---

    async def _look_on(self, watch: ServiceWatch) -> None:
        while not self._ending.is_set():
            self._followed.clear()
            policy = self._policy
            if policy is None or policy.alerts.service is None:
                await self._followed.wait()
                continue
            self._look(watch, watched_of(policy))
            shortest_s = min(rule.shortest_ms for rule in policy.alerts.service.rules.values()) / 1000
            await until(self._ending, max(SOONEST_S, min(LOOK_S, shortest_s / LOOKS)))

    async def _save(self, watch: ServiceWatch, shelf: Shelf) -> None:
        """After each change."""
        while not self._ending.is_set():
            await self._changed.wait()
            self._changed.clear()
            await self._write(watch, shelf)

    async def _write(self, watch: ServiceWatch, shelf: Shelf) -> None:
        """Without a shelf a restart may repeat something or forget it: better than to be silent now."""
        shelved = Shelved(dict(watch.incidents), self._tray.letters)
        if shelved == self._shelved:
            return
        try:
            await asyncio.to_thread(shelf.write, shelved)
        except OSError as error:
            log.warning("alerts cannot be kept over a restart", extra={"fields": {"error": error.strerror}})
        else:
            self._shelved = shelved

    async def _read(self, shelf: Shelf) -> Shelved:
        try:
            return await asyncio.to_thread(shelf.read)
        except (OSError, ValueError) as error:
            log.warning("alerts of before cannot be read", extra={"fields": {"error": type(error).__name__}})
            return Shelved()


def watched_of(policy: Policy) -> Watched:
    """What is watched by this policy, if anything. Pure."""
    if policy.alerts.service is None:
        return Watched({}, {})
    return Watched(
        rules=policy.alerts.service.rules,
        routes={route.name: route.upstream for route in policy.routes},
        providers=frozenset(route.name for route in policy.routes if route.spending is not None),
        ledger=policy.ledger is not None,
        maintenance=policy.maintenance is not None,
    )
