"""What is told of sending alerts, whoever sends them: counts, and a line for each attempt that failed."""

import logging
from collections.abc import Callable

from proxy.alerts.answers import Answer
from proxy.telemetry.metrics import ALERTS, ALERTS_WAIT, Metrics

log = logging.getLogger("sluicegate.alerts")


class AlertNotes:
    """A dispatcher's observer; ``away`` is called with each reason for which its queue could not be asked."""

    def __init__(self, metrics: Metrics, away: Callable[[str], None]) -> None:
        self._metrics = metrics
        self._waited: set[str] = set()
        self.away = away

    def sent(self, channel: str, answer: Answer, seconds: float) -> None:
        self._metrics.inc(ALERTS, channel, answer.verdict.value)
        if answer.error:
            fields = {"channel": channel, "result": answer.verdict.value, "error": answer.error}
            log.warning("an alert was not delivered", extra={"fields": fields})

    def waiting(self, oldest_s: dict[str, float]) -> None:
        for channel in self._waited - oldest_s.keys():
            self._metrics.set(ALERTS_WAIT, 0, channel)
        for channel, seconds in oldest_s.items():
            self._metrics.set(ALERTS_WAIT, seconds, channel)
        self._waited = set(oldest_s)
