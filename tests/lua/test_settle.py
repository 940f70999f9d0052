"""settle.lua, reap.lua, rebuild.lua and the holds of admit.lua keep truths 3, 4 and 5, and agree with their twin."""

from collections import Counter

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from proxy.metering.settlement import Effect, What
from proxy.metering.takes import Outcome
from tests.lua.bookkeepers import ChargesAnOrphanWhole, ReleasesTwice, ScriptedBooks, TwinBooks
from tests.lua.ledgers import Money

SETTINGS = settings(
    max_examples=50,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
SEEN = {
    Outcome.ADMITTED,
    Outcome.REFUSED,
    Outcome.CANCELLED,
    (What.RENEW, Effect.DONE),
    (What.RENEW, Effect.ENDED),
    (What.SETTLE, Effect.DONE),
    (What.SETTLE, Effect.ENDED),
    (What.SETTLE, Effect.CORRECTED),
    (What.RELEASE, Effect.DONE),
    (What.RELEASE, Effect.ENDED),
    (What.ORPHAN, Effect.DONE),
    (What.ORPHAN, Effect.ENDED),
    (What.ORPHAN, Effect.NEVER_SENT),
    (What.ORPHAN, Effect.NOT_DUE),
    "rolled back",
}


@pytest.mark.parametrize("broken", [ReleasesTwice, ChargesAnOrphanWhole])
def test_the_judge_fails_a_settlement_that_is_broken(broken: type[TwinBooks]) -> None:
    """A judge that cannot fail proves nothing."""

    class Broken(Money):
        def __init__(self) -> None:
            self.subjects = [broken()]
            super().__init__()

    with pytest.raises(AssertionError, match="instead of"):
        run_state_machine_as_test(Broken, settings=settings(SETTINGS, max_examples=300, phases=[Phase.generate]))


def test_scripts_and_twin_agree_and_keep_the_truths(client: redis.Redis) -> None:
    """Over calls that hold, end, die, are told again or late, clocks that move, and stores that come back older."""

    class Both(Money):
        def __init__(self) -> None:
            client.flushall()
            self.seen, self.subjects = seen, [ScriptedBooks(client), TwinBooks()]
            super().__init__()

    seen: Counter[object] = Counter()
    run_state_machine_as_test(Both, settings=SETTINGS)
    assert seen.keys() >= SEEN, "histories that show nothing prove nothing"
