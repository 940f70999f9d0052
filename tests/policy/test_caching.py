"""What a hit takes is counted in thousandths, and never as nothing."""

from proxy.policy.caching import WHOLE, part_of


def test_a_part_is_never_nothing():
    assert part_of(1000, WHOLE) == 1000
    assert part_of(2500, 100) == 250
    assert part_of(1, 1) == 1
