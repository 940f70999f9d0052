"""What deploy/README.md tells of sizes is what was measured, and what it adds up is right."""

import re
from typing import Final

import pytest

from tests.e2e.gateway import ROOT

SIZING: Final = (ROOT / "deploy/README.md").read_text("utf-8").partition("## Sizing")[2]
BENCH: Final = (ROOT / "tests/bench/README.md").read_text("utf-8")
MEASURED: Final = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in SIZING.splitlines()
    if "tests/bench/README.md#" in line
]
GB: Final = 1_000_000_000
MIB: Final = 2**20


def section(anchor: str) -> str:
    """Of the page of measurements."""
    for part in re.split(r"^## ", BENCH, flags=re.MULTILINE):
        if part.partition("\n")[0].lower().replace(" ", "-") == anchor:
            return part
    raise AssertionError(anchor)


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: row[0])
def test_each_figure_stands_where_it_is_said_to_be(row: list[str]) -> None:
    _, measured, source, _ = row
    (anchor,) = re.findall(r"#([a-z-]+)\)", source)
    for figure in re.findall(r"[\d.]+", measured):
        assert re.search(rf"(?<![\d.]){re.escape(figure)}(?![\d.]*\d)", section(anchor)), figure


@pytest.mark.parametrize("row", [row for row in MEASURED if "a second and" in row[3]], ids=lambda row: row[0])
def test_what_to_plan_with_is_at_most_half_of_the_worst_that_was_measured(row: list[str]) -> None:
    worst_us = max(float(figure) for figure in re.findall(r"[\d.]+", row[1].partition(";")[0]))
    planned = int(row[3].split()[0].replace(",", ""))
    assert planned <= 1e6 / worst_us / 2


def test_a_redis_of_a_gigabyte_is_as_full_as_is_said() -> None:
    """Users, answers, and what waits for the database."""
    users = 10_000 * (2 * 1_080 + 2 * 240)
    outbox = 100_000 * 1_330
    assert f"{users // 1_000_000} MB, at the very most" in SIZING
    said = [int(percent) for percent in re.findall(r"(\d+)%", SIZING.partition("So 10,000")[2].partition("**What")[0])]
    full = [
        round(100 * (users + answers + waiting) / GB) for answers in (512 * MIB, 384 * MIB) for waiting in (0, outbox)
    ]
    assert said == full
