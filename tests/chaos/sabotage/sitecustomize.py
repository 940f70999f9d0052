"""Breaks the gateway on purpose, so that the checkers can be shown to notice. Python imports this at its start when the
folder is on its path; SLUICEGATE_SABOTAGE says what is broken. Only ``tests.chaos`` ever puts the folder there.
"""

import os
from collections.abc import Callable


def no_share() -> None:
    """While Redis is away everything is let through, uncounted."""
    from proxy.metering.decision import Decision
    from proxy.metering.local import LocalMeters
    from proxy.metering.takes import Outcome

    def admit(_self, plan, _lease, _now_ms, _workers):
        return Decision(plan, Outcome.ADMITTED, (0, 0, 0) * len(plan.takes), local=True)

    LocalMeters.admit = admit


def no_breaker() -> None:
    """Every request finds out anew that Redis does not answer."""
    from proxy.store.breaker import Breaker

    Breaker.failed = lambda _self, _now_ms, *, final: None


def wrong_word() -> None:
    """A closed route blames the client."""
    from proxy.core import errors

    found = errors.ERRORS[errors.Reason.STORE_AWAY]
    errors.ERRORS[errors.Reason.STORE_AWAY] = errors.ErrorClass(found.fault, 429, found.title, True)


def no_return() -> None:
    """Once away, Redis is never asked again."""
    from proxy.store.breaker import Breaker

    Breaker.may_probe = lambda _self, _now_ms: False
    Breaker.probe_in_ms = lambda _self, _now_ms: 1000.0


def no_deadline() -> None:
    """What was given up is taken all the same when Redis is back."""
    from proxy.metering.offset import Offset

    Offset.deadline = lambda _self, _monotonic: 0.0


def no_follow() -> None:
    """A connection that works is taken for a sign that the node behind it is the primary."""
    from proxy.store import client

    client.FOLLOW_S = 3600.0


def no_journal() -> None:
    """What was settled is forgotten once the store has acknowledged it."""
    from proxy.metering.journal import Journal

    Journal.end = Journal.hold = lambda _self, _what: None


def half_settled() -> None:
    """A counter moves by half of what its row says."""
    from proxy.metering import money

    whole = money.settling
    money.settling = lambda hold, amounts, record: whole(hold, [amount // 2 for amount in amounts], record)


SABOTAGE: dict[str, Callable[[], None]] = {
    function.__name__.replace("_", "-"): function
    for function in (no_share, no_breaker, wrong_word, no_return, no_deadline, no_follow, no_journal, half_settled)
}

if wanted := os.environ.get("SLUICEGATE_SABOTAGE"):
    SABOTAGE[wanted]()
