"""What an alert about the service says."""

import pytest

from proxy.alerts.incident import News, Reading
from proxy.alerts.samples import Subject
from proxy.alerts.servicewording import beginning, duration, message, seconds, share
from proxy.alerts.windows import Tally
from proxy.policy.service import Bound, Kind
from proxy.policy.spending import Level

BOUND = Bound(Level.CRITICAL, 0.05, 300_000, 60_000)
SHARE = Reading(Level.CRITICAL, False, 0.052, 0.31, 0.05)
SLOW = Reading(Level.WARNING, False, 0.83, 1.24, 0.5)
FAILED = Tally(1500, 78, 78)
PARTS = (("orders", 60.0), ("users", 15.0), ("files", 3.0), ("rest", 0.5))


@pytest.mark.parametrize(
    ("subject", "reading", "tally", "said"),
    [
        (
            Subject(Kind.ERROR_RATE),
            SHARE,
            FAILED,
            "5.2% of requests failed in the last 5m (78 of 1,500), 31% in the last 1m; most on orders, users, files. "
            "The limit is 5%.",
        ),
        (
            Subject(Kind.ERROR_RATE, "orders"),
            SHARE,
            FAILED,
            "Route orders: 5.2% of requests failed in the last 5m (78 of 1,500), 31% in the last 1m. The limit is 5%.",
        ),
        (
            Subject(Kind.LATENCY),
            SLOW,
            Tally(1500, 1245, 700),
            "Requests took 830ms on average in the last 5m (1,500 of them, 700 slow), 1.24s in the last 1m; most of it "
            "on orders, users, files. The limit is 500ms.",
        ),
        (
            Subject(Kind.LATENCY, "orders"),
            SLOW,
            Tally(1500, 1245, 700),
            "Route orders: requests took 830ms on average in the last 5m (1,500 of them, 700 slow), 1.24s in the last "
            "1m. The limit is 500ms.",
        ),
        (
            Subject(Kind.UPSTREAM, "app"),
            SHARE,
            FAILED,
            "Upstream app did not answer 5.2% of requests in the last 5m (78 of 1,500), 31% in the last 1m; most for "
            "orders, users, files. The limit is 5%.",
        ),
        (
            Subject(Kind.AVAILABILITY),
            SHARE,
            FAILED,
            "5.2% of requests failed at the gateway, a store or an upstream in the last 5m (78 of 1,500), 31% in the "
            "last 1m; most for orders, users, files. The limit is 5%.",
        ),
    ],
)
def test_figures_are_told_with_how_many_they_are_of(
    subject: Subject, reading: Reading, tally: Tally, said: str
) -> None:
    assert beginning(subject, reading, tally, PARTS, BOUND) == said


@pytest.mark.parametrize(
    ("kind", "name", "value", "said"),
    [
        (
            Kind.REDIS,
            "",
            1,
            "Redis is away: 1 worker cannot reach it. Routes that are open count by themselves, closed ones answer "
            "503.",
        ),
        (Kind.LEDGER, "", 700, "The ledger is behind: its oldest record has waited 11m 40s. The limit is 5m."),
        (Kind.CERTIFICATE, "upstream app (a:443)", 90_000, "The certificate of upstream app (a:443) ends in 1d 1h."),
        (Kind.CERTIFICATE, "upstream app (a:443)", -5, "The certificate of upstream app (a:443) has ended."),
        (Kind.RELOAD, "", 1, "The newest policy file was rejected: the old one stays in force. The log says why."),
    ],
)
def test_what_is_now_is_told_plainly(kind: Kind, name: str, value: float, said: str) -> None:
    assert beginning(Subject(kind, name), Reading(Level.WARNING, False, value, None, 300), None, (), None) == said


def test_processes_that_die_are_told_by_what_they_were() -> None:
    subject, reading = Subject(Kind.WORKERS), Reading(Level.CRITICAL, False, 4, 4, 2)
    parts = (("worker died", 3.0), ("background process hung", 1.0))
    said = beginning(subject, reading, Tally(4, 4, 4), parts, Bound(Level.CRITICAL, 2, 900_000, 900_000))
    assert said == (
        "Processes of the gateway had to be started again 4 times within 15m: worker died 3, background process hung 1."
    )


def test_an_answer_for_another_tenant_is_told_as_the_ledgers_keeper_tells_it() -> None:
    subject, reading = Subject(Kind.ISOLATION, "shop"), Reading(Level.CRITICAL, False, 1)
    assert beginning(subject, reading, Tally(1, 1, 1), (), None) == (
        "Route shop had an answer that named another tenant than the one it was for. It was refused; so is each like "
        "it."
    )
    assert "Route shop had 3 answers" in beginning(subject, reading, Tally(3, 3, 3), (), None)


@pytest.mark.parametrize(
    ("subject", "reading", "said"),
    [
        (Subject(Kind.ERROR_RATE), Reading(None, True, 0.02, 0.002, 0.01), "Errors are back below 1%: 0.2% now"),
        (
            Subject(Kind.ERROR_RATE, "shop"),
            Reading(None, True, 0.02, None, 0.01),
            "Route shop: errors are back below 1%, without any requests now",
        ),
        (Subject(Kind.LATENCY), Reading(None, True, 0.2, 0.12, 0.5), "Requests are back below 500ms: 120ms now"),
        (
            Subject(Kind.LATENCY, "shop"),
            Reading(None, True, 0.2, 0.12, 0.5),
            "Route shop: requests are back below 500ms: 120ms now",
        ),
        (Subject(Kind.AVAILABILITY), Reading(None, True, 0, 0, 0.006), "Failures are back below 0.6%: 0% now"),
        (Subject(Kind.UPSTREAM, "app"), Reading(None, True, 0, 0, 0.05), "Upstream app answers again: 0% failed now"),
        (Subject(Kind.UPSTREAM, "app"), Reading(None, True, 0, None, 0.05), "Upstream app is not asked any more"),
        (Subject(Kind.REDIS), Reading(None, True), "Redis is back"),
        (Subject(Kind.WORKERS), Reading(None, True), "The gateway's processes live again"),
        (Subject(Kind.LEDGER), Reading(None, True), "The ledger has caught up"),
        (
            Subject(Kind.CERTIFICATE, "redis meters (r:1)"),
            Reading(None, True),
            "The certificate of redis meters (r:1) was renewed",
        ),
        (Subject(Kind.RELOAD), Reading(None, True), "The newest policy file is in force"),
        (
            Subject(Kind.ISOLATION, "shop"),
            Reading(None, True),
            "Route shop had no answer of another tenant for a while",
        ),
    ],
)
def test_an_end_says_how_it_is_now_and_how_long_it_was(subject: Subject, reading: Reading, said: str) -> None:
    told = message(News.RESOLVED, subject, reading, "", 725_000)
    assert told == f"{said}. It had lasted 12m 5s."


def test_a_reminder_says_for_how_long() -> None:
    """And what nobody watches any more is not said to be well."""
    subject = Subject(Kind.ERROR_RATE)
    assert message(News.REMINDED, subject, SHARE, "5% failed.", 7_200_000) == "For 2h: 5% failed."
    assert message(News.FIRED, subject, SHARE, "5% failed.", 0) == "5% failed."
    gone = message(News.RESOLVED, Subject(Kind.UPSTREAM, "app"), SHARE, "", 60_000, watched=False)
    assert gone == "Upstream of app is not watched any more. It had lasted 1m."


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0%"),
        (0.00001, "below 0.01%"),
        (0.0005, "0.05%"),
        (0.002, "0.2%"),
        (0.01, "1%"),
        (0.0523, "5.2%"),
        (0.5, "50%"),
        (0.9999, "99.9%"),
        (1, "100%"),
    ],
)
def test_a_share_is_never_all_of_less_nor_nothing_of_something(value: float, shown: str) -> None:
    assert share(value) == shown


def test_times_are_as_short_as_they_can_be() -> None:
    assert [seconds(value) for value in (0.0004, 0.083, 0.5, 1.0, 1.238, 31.26)] == [
        "0ms", "83ms", "500ms", "1s", "1.24s", "31.3s",
    ]  # fmt: skip
    assert [duration(ms) for ms in (0, 999, 60_000, 61_000, 3_660_000, 3_605_000, 86_400_000, 90_061_000)] == [
        "1s", "1s", "1m", "1m 1s", "1h 1m", "1h", "1d", "1d 1h",
    ]  # fmt: skip
