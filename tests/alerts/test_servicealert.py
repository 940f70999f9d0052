"""What receivers get of an alert about the service."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.alerts.incident import News
from proxy.alerts.samples import Subject
from proxy.alerts.servicealert import RUNBOOKS, UNITS, ServiceAlert
from proxy.policy.service import Kind
from proxy.policy.spending import Level
from tests.alerts.samples import NOW_MS

FAILING = ServiceAlert(
    subject=Subject(Kind.ERROR_RATE),
    news=News.FIRED,
    level=Level.CRITICAL,
    message="5.2% of requests failed.",
    gateway="gate-1:8080",
    since_ms=NOW_MS - 15_000,
    at_ms=NOW_MS,
    current=0.0523456789,
    limit=0.05,
    lately=0.31,
    requests=1500,
    window_ms=300_000,
    parts=tuple((f"route-{n}", 10.0 - n) for n in range(7)),
)


def test_the_payload_has_what_a_machine_needs() -> None:
    """Figures to six digits, the five worst parts, instants in the world's form."""
    assert json.loads(FAILING.payload()) == {
        "id": FAILING.id,
        "type": "service_alert",
        "cause": "error_rate",
        "level": "critical",
        "message": "5.2% of requests failed.",
        "current": 0.0523457,
        "limit": 0.05,
        "unit": "ratio",
        "lately": 0.31,
        "requests": 1500,
        "window_seconds": 300,
        "parts": {f"route-{n}": 10 - n for n in range(5)},
        "route": None,
        "upstream": None,
        "certificate": None,
        "incident": FAILING.incident,
        "reminder": False,
        "gateway": "gate-1:8080",
        "runbook": "docs/operations.md#requests-fail",
        "since": "2026-11-18T11:59:45Z",
        "at": "2026-11-18T12:00:00Z",
    }


@pytest.mark.parametrize(
    ("subject", "key"),
    [
        (Subject(Kind.ERROR_RATE, "shop"), "route"),
        (Subject(Kind.LATENCY, "shop"), "route"),
        (Subject(Kind.ISOLATION, "shop"), "route"),
        (Subject(Kind.UPSTREAM, "shop"), "upstream"),
        (Subject(Kind.CERTIFICATE, "shop"), "certificate"),
        (Subject(Kind.REDIS), ""),
    ],
)
def test_it_says_what_it_is_about(subject: Subject, key: str) -> None:
    found = json.loads(replace(FAILING, subject=subject).payload())
    assert [name for name in ("route", "upstream", "certificate") if found[name] is not None] == [key] * bool(key)
    assert set(UNITS) == set(Kind)


def test_the_end_is_a_level_of_its_own() -> None:
    """Of the same incident."""
    over = replace(FAILING, news=News.RESOLVED, at_ms=NOW_MS + 900_000)
    found = json.loads(over.payload())
    assert (found["level"], found["incident"], over.word) == ("resolved", FAILING.incident, "resolved")


def test_a_repetition_is_known_and_another_message_is_another() -> None:
    """The same beginning has one id whenever it is told; each reminder has its own."""
    same = replace(FAILING, at_ms=NOW_MS + 5_000, current=0.06, message="other words")
    reminder = replace(FAILING, news=News.REMINDED)
    others = [
        replace(FAILING, news=News.RESOLVED),
        replace(FAILING, news=News.RAISED),
        replace(FAILING, level=Level.WARNING),
        replace(FAILING, gateway="gate-2:8080"),
        replace(FAILING, subject=Subject(Kind.ERROR_RATE, "shop")),
        replace(FAILING, since_ms=NOW_MS),
        reminder,
        replace(reminder, at_ms=NOW_MS + 14_400_000),
    ]
    assert same.id == FAILING.id
    assert len({FAILING.id, *(one.id for one in others)}) == 1 + len(others)
    assert json.loads(reminder.payload())["reminder"] is True


def test_each_says_where_it_is_written_what_to_do() -> None:
    """Under a heading that is there."""
    text = (Path(__file__).parents[2] / "docs/operations.md").read_text("utf-8")
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    assert set(RUNBOOKS) == set(Kind)
    for runbook in RUNBOOKS.values():
        path, _, anchor = runbook.partition("#")
        assert (path, anchor in headings) == ("docs/operations.md", True), runbook
