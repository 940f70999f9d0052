"""The page of metrics says what the code counts, and explains each label."""

from pathlib import Path

import pytest

from proxy.telemetry.metrics import FAMILIES, Family, Kind
from proxy.telemetry.reference import LABELS, OF_ONE, exposed, page, section_of

ROOT = Path(__file__).parents[2]


def test_the_page_is_made_from_the_table() -> None:
    """Regenerate it: python -m proxy.telemetry.reference > docs/metrics.md"""
    assert (ROOT / "docs/metrics.md").read_text("utf-8") == page()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_metric_is_named_as_prometheus_asks_and_explained(family: Family) -> None:
    """One prefix, base units at the end, no label that repeats the name; a whole sentence of help."""
    assert family.name.startswith("sluicegate_")
    assert family.help.endswith(".")
    assert not family.name.endswith(("_total", "_count", "_sum", "_bucket", "_ms", "_percent"))
    assert family.kind is not Kind.HISTOGRAM or family.name.endswith(("_seconds", "_bytes", "_ratio"))
    assert bool(family.buckets) == (family.kind is Kind.HISTOGRAM)
    assert f"| `{exposed(family)}` |" in page()
    assert section_of(family)
    for label in family.labels:
        assert label in LABELS or (family.name, label) in OF_ONE, (
            f"say in LABELS what values {label!r} has: a closed set"
        )


def test_no_label_is_explained_that_no_metric_has() -> None:
    used = {(family.name, label) for family in FAMILIES for label in family.labels}
    assert set(OF_ONE) <= used
    assert set(LABELS) == {label for _, label in used - set(OF_ONE)}


def test_no_label_could_hold_what_callers_make_up() -> None:
    """A user, a path, an address of a client, a model: each of them would be a series a caller."""
    labels = {label for family in FAMILIES for label in family.labels}
    assert labels.isdisjoint({"user", "path", "ip", "client", "model", "host", "method", "id", "key", "url"})
