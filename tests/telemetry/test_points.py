"""What sheets say is put together by metric, and every metric is there."""

from proxy.telemetry.exemplar import Exemplar
from proxy.telemetry.metrics import DURATION, FAMILIES, IN_FLIGHT, REQUESTS, SUM
from proxy.telemetry.points import Distribution, Number, bucket_labels, told

LABELS = ("app", "trial", "200", "forwarded")
AN_EXEMPLAR = Exemplar("a" * 32, 0.002, 1e9)


def test_every_metric_is_told_of_in_the_order_of_the_table() -> None:
    assert [one.family for one in told({}, {})] == list(FAMILIES)


def test_numbers_are_sorted_by_their_labels() -> None:
    totals = {(REQUESTS.name, ("b", *LABELS[1:])): 2.0, (REQUESTS.name, LABELS): 1.0, (IN_FLIGHT.name, ()): 5.0}
    found = {one.family.name: one for one in told(totals, {})}
    assert found[REQUESTS.name].numbers == (Number(LABELS, 1.0), Number(("b", *LABELS[1:]), 2.0))
    assert found[IN_FLIGHT.name].numbers == (Number((), 5.0),)


def test_a_distribution_has_each_bucket_and_its_exemplar() -> None:
    """Buckets that nothing fell into, too; what no sum belongs to is none."""
    first, second, *others = bucket_labels(DURATION)
    totals = {
        (DURATION.name, ("app", second)): 3.0, (DURATION.name + SUM, ("app",)): 0.006,
        (DURATION.name, ("half", first)): 1.0,
    }  # fmt: skip
    found = {one.family.name: one for one in told(totals, {(DURATION.name, ("app", second)): AN_EXEMPLAR})}
    none = len(others)
    assert found[DURATION.name].distributions == (
        Distribution(("app",), (0.0, 3.0, *[0.0] * none), 0.006, (None, AN_EXEMPLAR, *[None] * none)),
    )
