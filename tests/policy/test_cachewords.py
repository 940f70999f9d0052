"""How caching is written."""

import pytest

from proxy.policy.cachewords import DEFAULT_TTL_MS, HITS_PAY, PARAMETER, TTL
from proxy.policy.caching import WHOLE


@pytest.mark.parametrize(
    ("raw", "share"), [(True, WHOLE), (False, 0), ("true", WHOLE), (0.1, 100), ("0.005", 5), (1, WHOLE)]
)
def test_a_hit_pays_wholly_not_at_all_or_a_part(raw, share):
    assert HITS_PAY.parse(raw) == share


@pytest.mark.parametrize("raw", [2, -1, "half", None, 0.0005, "nan", [1]])
def test_any_other_share_is_refused(raw):
    with pytest.raises(ValueError, match="number from 0 to 1"):
        HITS_PAY.parse(raw)


@pytest.mark.parametrize(("raw", "ms"), [(None, DEFAULT_TTL_MS), ("app", None), ("1m", 60_000)])
def test_a_lifetime_is_the_apps_or_the_routes_and_300_s_without_a_value(raw, ms):
    assert TTL.parse(raw) == ms


@pytest.mark.parametrize("raw", ["0s", "forever", 12])
def test_any_other_lifetime_is_refused(raw):
    with pytest.raises(ValueError, match=r"duration|unit"):
        TTL.parse(raw)


@pytest.mark.parametrize("raw", ["a b", "a=b", "", "a&b"])
def test_a_parameter_is_named_as_it_stands_in_a_url(raw):
    with pytest.raises(ValueError, match="query parameter"):
        PARAMETER.parse(raw)
