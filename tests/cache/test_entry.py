"""A response's age, and what it weighs."""

from proxy.cache.entry import Stored, Terms


def test_age_grows_with_time_and_never_falls_below_what_it_came_with():
    """Though the clock steps back (RFC 9111 §4.2.3)."""
    terms = Terms(received_ms=10_000, initial_age_ms=3_000, lifetime_ms=60_000)
    assert terms.age_ms(10_000) == 3_000
    assert terms.age_ms(12_500) == 5_500
    assert terms.age_ms(1) == 3_000


def test_what_is_larger_weighs_more():
    terms = Terms(0, 0, 1)
    small = Stored(200, b"OK", [], b"", terms, b"key")
    assert Stored(200, b"OK", [], b"x" * 1000, terms, b"key").weight >= small.weight + 1000
    assert Stored(200, b"OK", [], b"", terms, b"key", tags=tuple(range(100))).weight >= small.weight + 4000
    assert Stored(200, b"OK", [], b"", terms, b"key", vary=(("cookie", "x" * 500),)).weight >= small.weight + 600
    assert Stored(200, b"OK", [(b"X", b"y" * 500)], b"", terms, b"key").weight >= small.weight + 500
