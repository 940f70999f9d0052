"""The promises about hits hold on smaller traces too, and the traces are what they say."""

from collections import Counter

import pytest

from tests.bench.hitratio import Lru, Ours, saas_ratio, zipf_ratio, zipf_with_scans
from tests.bench.saas import TENANTS, events


def test_at_one_percent_of_capacity_it_is_eight_points_above_lru() -> None:
    trace = list(zipf_with_scans(2, 120_000))
    assert zipf_ratio(Ours(1_000), trace) >= zipf_ratio(Lru(1_000), trace) + 8


@pytest.mark.full
def test_four_of_five_reads_of_a_saas_app_are_hits() -> None:
    trace = events(2, 3_600.0)
    assert saas_ratio(trace)["all"] > 80


def test_a_trace_is_the_same_for_one_seed_and_in_order_of_time() -> None:
    trace = events(3, 300.0)
    assert trace == events(3, 300.0)
    assert trace != events(4, 300.0)
    assert trace == sorted(trace, key=lambda event: event.time_s)
    assert trace[0].time_s > 0
    assert trace[-1].time_s < 300.0


def test_tenants_are_of_all_sizes_and_some_write() -> None:
    trace = events(5, 1_800.0)
    sizes = Counter(event.tenant for event in trace)
    assert len(sizes) > TENANTS / 2
    assert sizes["tenant-0"] > 10 * sizes["tenant-50"]
    writes = [event for event in trace if event.method != "GET"]
    assert writes
    read = {(event.tenant, tag) for event in trace if event.method == "GET" for tag in event.tags}
    assert any((event.tenant, tag) in read for event in writes for tag in event.tags)
