"""One alert about the service itself: what receivers get of it. Pure.

Each message of an incident has an id of its own, made from nothing but the gateway, what it is about, since when, and
which message it is: a repetition is known by it. ``incident`` is the same in all of them.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import orjson

from proxy.alerts.alert import timestamp
from proxy.alerts.incident import News, Post
from proxy.alerts.samples import WHOLE, Subject
from proxy.policy.service import Kind
from proxy.policy.spending import Level

TYPE: Final = "service_alert"
RESOLVED: Final = "resolved"  # stands where else the level is
MOST_PARTS: Final = 5


class Unit(StrEnum):
    """Of ``current`` and ``limit``."""

    RATIO = "ratio"
    SECONDS = "seconds"
    WORKERS = "workers"
    ANSWERS = "answers"
    FILES = "files"
    RESTARTS = "restarts"


UNITS: Final = {
    Kind.UPSTREAM: Unit.RATIO,
    Kind.REDIS: Unit.WORKERS,
    Kind.WORKERS: Unit.RESTARTS,
    Kind.ERROR_RATE: Unit.RATIO,
    Kind.AVAILABILITY: Unit.RATIO,
    Kind.LATENCY: Unit.SECONDS,
    Kind.ISOLATION: Unit.ANSWERS,
    Kind.LEDGER: Unit.SECONDS,
    Kind.CERTIFICATE: Unit.SECONDS,
    Kind.RELOAD: Unit.FILES,
}
_REQUESTS_FAIL: Final = "docs/operations.md#requests-fail"
RUNBOOKS: Final = {
    Kind.UPSTREAM: _REQUESTS_FAIL,
    Kind.REDIS: "docs/operations.md#redis-is-away",
    Kind.WORKERS: "docs/operations.md#workers-restart",
    Kind.ERROR_RATE: _REQUESTS_FAIL,
    Kind.AVAILABILITY: _REQUESTS_FAIL,
    Kind.LATENCY: "docs/operations.md#requests-are-slow",
    Kind.ISOLATION: "docs/operations.md#an-answer-named-another-tenant",
    Kind.LEDGER: "docs/operations.md#the-ledger-is-away",
    Kind.CERTIFICATE: "docs/operations.md#a-certificate-ends",
    Kind.RELOAD: "docs/operations.md#a-reload-failed",
}
"""What is to be done, as Prometheus' alerts have it."""
_OF_ROUTES: Final = frozenset({Kind.ERROR_RATE, Kind.LATENCY, Kind.ISOLATION})


@dataclass(frozen=True, slots=True)
class ServiceAlert:
    """Instants in epoch milliseconds. ``requests``: those within the last ``window_ms``, 0 of what is no count;
    ``lately``: the value within the last part of it. ``parts``: what it is made of, the most first. ``posts``: who is
    to hear."""

    subject: Subject
    news: News
    level: Level
    message: str
    gateway: str
    since_ms: int
    at_ms: int
    current: float
    limit: float
    lately: float | None = None
    requests: int = 0
    window_ms: int = 0
    parts: tuple[tuple[str, float], ...] = ()
    posts: tuple[Post, ...] = ()

    @property
    def incident(self) -> str:
        return _digest("incident", self.gateway, self.subject.kind, self.subject.name, self.since_ms)

    @property
    def id(self) -> str:
        again_ms = self.at_ms if self.news is News.REMINDED else 0
        return _digest("service", self.incident, self.news, self.level, again_ms)

    @property
    def word(self) -> str:
        """The level, or that it is over."""
        return RESOLVED if self.news is News.RESOLVED else self.level.value

    def payload(self) -> str:
        """JSON, as webhooks get it; instants RFC 3339."""
        kind, name = self.subject.kind, self.subject.name
        content = {
            "id": self.id,
            "type": TYPE,
            "cause": kind,
            "level": self.word,
            "message": self.message,
            "current": _rounded(self.current),
            "limit": _rounded(self.limit),
            "unit": UNITS[kind],
            "lately": None if self.lately is None else _rounded(self.lately),
            "requests": self.requests or None,
            "window_seconds": self.window_ms / 1000 or None,
            "parts": {name: _rounded(value) for name, value in self.parts[:MOST_PARTS]},
            "route": name if kind in _OF_ROUTES and name != WHOLE else None,
            "upstream": name if kind is Kind.UPSTREAM else None,
            "certificate": name if kind is Kind.CERTIFICATE else None,
            "incident": self.incident,
            "reminder": self.news is News.REMINDED,
            "gateway": self.gateway,
            "runbook": RUNBOOKS[kind],
            "since": timestamp(self.since_ms),
            "at": timestamp(self.at_ms),
        }
        return orjson.dumps(content).decode()


def _digest(prefix: str, *parts: object) -> str:
    return f"{prefix}-{hashlib.sha256(orjson.dumps([str(part) for part in parts])).hexdigest()[:32]}"


def _rounded(value: float) -> float:
    """To six digits: nobody is told more than was measured."""
    return float(f"{value:.6g}")
