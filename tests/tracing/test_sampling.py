"""Who hears of traces is what the policy says."""

from proxy.policy.otlp import Otlp
from proxy.policy.sentry import UNWATCHED, Sentry, Watching
from proxy.tracing.sampling import Sampling

SENTRY = Sentry("https://key@sentry.example/1", "test", "app@1", 0.1, frozenset())
SCOPE = {"public_key": "key", "environment": "test", "release": "app@1"}


def otlp(rate: float | None) -> Otlp:
    return Otlp("https://otlp.example", (), (), rate, 60_000, 1_000)


def test_nobody_hears_unless_the_policy_names_somebody() -> None:
    assert Sampling.of(UNWATCHED) is None
    assert Sampling.of(Watching(otlp=otlp(None))) is None


def test_each_has_its_own_share() -> None:
    assert Sampling.of(Watching(sentry=SENTRY)) == Sampling(0.1, None, SCOPE)
    assert Sampling.of(Watching(otlp=otlp(0.5))) == Sampling(None, 0.5)
    assert Sampling.of(Watching(sentry=SENTRY, otlp=otlp(0.5))) == Sampling(0.1, 0.5, SCOPE)
    assert Sampling.of(Watching(sentry=SENTRY, otlp=otlp(None))) == Sampling(0.1, None, SCOPE)


def test_the_larger_share_is_drawn() -> None:
    assert (Sampling(0.1, 0.5).rate, Sampling(0.1, None).rate, Sampling(None, 0.0).rate) == (0.5, 0.1, 0.0)
