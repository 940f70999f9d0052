"""What an app says of its own time, by route: ``Server-Timing: db;dur=53.2`` (https://www.w3.org/TR/server-timing/).

Only names that the policy lists are counted, so that no app can make series without end.
"""

import re
from typing import Final

from proxy.core.headers import RawHeaders
from proxy.telemetry.metrics import SERVER_TIMING, Histogram, Metrics

MOST_BYTES: Final = 4096  # of one field
MOST_MS: Final = 3_600_000.0
_LENGTH: Final = len(b"server-timing")
_WORD: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_VALUE: Final = rf'(?:"(?:[^"\\]|\\.)*"|{_WORD})'
_METRIC: Final = re.compile(rf"\s*({_WORD})((?:\s*;\s*{_WORD}(?:\s*=\s*{_VALUE})?)*)\s*(?:,|$)")
_PARAMETER: Final = re.compile(rf";\s*({_WORD})(?:\s*=\s*({_VALUE}))?")
_NUMBER: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")


def durations(value: str) -> list[tuple[str, float]]:
    """Names and milliseconds, of each metric that has a duration; what is not formed so ends the reading."""
    found, at = [], 0
    while at < len(value) and (metric := _METRIC.match(value, at)) is not None:
        at = metric.end()
        for name, written in _PARAMETER.findall(metric[2]):
            if name.lower() == "dur":  # the first one counts
                number = written.strip('"')
                if _NUMBER.fullmatch(number) and float(number) <= MOST_MS:
                    found.append((metric[1], float(number)))
                break
    return found


class ServerTimings:
    """Of one route."""

    __slots__ = ("_histograms", "_metrics", "_names", "_route")

    def __init__(self, route: str, names: frozenset[str], metrics: Metrics) -> None:
        self._route = route
        self._names = names
        self._metrics = metrics
        self._histograms: dict[str, Histogram] = {}

    def observe(self, headers: RawHeaders) -> None:
        for name, value in headers:
            if len(name) == _LENGTH and name.lower() == b"server-timing":
                for metric, took_ms in durations(value[:MOST_BYTES].decode("latin-1")):
                    if metric in self._names:
                        self._histogram(metric).observe(took_ms / 1000)

    def _histogram(self, name: str) -> Histogram:
        found = self._histograms.get(name)
        if found is None:
            found = self._histograms[name] = self._metrics.histogram(SERVER_TIMING, self._route, name)
        return found
