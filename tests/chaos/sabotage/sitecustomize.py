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


def _owner(change: Callable[..., tuple]) -> None:
    """Keys are made for what ``change`` makes of their owner."""
    from proxy.cache import digests

    made = digests.owner_prefix
    digests.owner_prefix = lambda *owner: made(*change(*owner))


def no_tenant_in_key() -> None:
    _owner(lambda scope, tenant, issuer, user, route: (scope, tenant and "t", issuer, user, route))


def no_user_in_key() -> None:
    _owner(lambda scope, tenant, issuer, user, route: (scope, tenant, issuer, user and "u", route))


def no_issuer_in_key() -> None:
    _owner(lambda scope, tenant, _issuer, user, route: (scope, tenant, "", user, route))


def joined_key() -> None:
    """Keys are joined without lengths: a tenant a with its user bc is one ab with c."""
    from proxy.cache import digests

    digests._joined = b"".join


def shared_flight() -> None:
    """Who waits for a fetch is not asked whose it is, nor whose that is which comes of it."""
    from proxy.gateway import cacheway

    cacheway._Way._flight_key = lambda self: self._request.target.partition("/")[2].partition("/")[2].encode()


def far_key() -> None:
    """In Redis answers are found by the ends of their keys, and taken whatever key they say to be of."""
    from proxy.cache import shared

    class Same(bytes):
        __hash__ = None

        def __eq__(self, _other):
            return True

        def __ne__(self, _other):
            return False

    digest, decode = shared.key_digest, shared.decode
    shared.key_digest = lambda key: digest(key[-8:])
    shared.decode = lambda record, key, *body: decode(record, Same(key), *body)


FUNCTIONS = (
    *(no_share, no_breaker, wrong_word, no_return, no_deadline, no_follow),
    *(no_journal, half_settled),
    *(no_tenant_in_key, no_user_in_key, no_issuer_in_key, joined_key, shared_flight, far_key),
)
SABOTAGE: dict[str, Callable[[], None]] = {function.__name__.replace("_", "-"): function for function in FUNCTIONS}

if wanted := os.environ.get("SLUICEGATE_SABOTAGE"):
    SABOTAGE[wanted]()
