"""Reports as text that spreadsheets and programs read to the last digit."""

import csv
import io
import json

import pytest

from proxy.ledger.reports import By, Line, Totals
from proxy.ledger.tabular import as_csv, as_json, dollars

TOTALS = Totals._make(range(len(Totals._fields)))
BY = (By.TENANT, By.MODEL)


@pytest.mark.parametrize(
    ("nanousd", "text"),
    [(0, "0.000000000"), (30_000, "0.000030000"), (2**63, "9223372036.854775808"), (-1, "-0.000000001")],
)
def test_dollars_are_exact(nanousd: int, text: str) -> None:
    assert dollars(nanousd) == text


def test_csv_has_a_column_for_each_key_and_total() -> None:
    (row,) = csv.DictReader(io.StringIO(as_csv(BY, [Line(('a,"b"', None), TOTALS)])))
    assert (row["tenant"], row["model"], row["calls"], row["cost_nanousd"]) == ('a,"b"', "", "0", "9")
    assert row["cost_usd"] == "0.000000009"


@pytest.mark.parametrize("word", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_a_word_is_no_formula(word: str) -> None:
    """A tenant or feature is named by those who may profit from what finance's spreadsheet runs."""
    (row,) = csv.DictReader(io.StringIO(as_csv(BY, [Line((word, "m"), TOTALS)])))
    assert row["tenant"] == f"'{word}"


def test_json_has_the_same() -> None:
    (row,) = json.loads(as_json(BY, [Line(("=acme", None), TOTALS)]))
    assert (row["tenant"], row["model"], row["cost_nanousd"]) == ("=acme", None, 9)
    assert row["cost_usd"] == "0.000000009"
    assert json.loads(as_json(BY, [])) == []
