"""Reports as text: CSV for spreadsheets, JSON for programs. Pure."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from proxy.ledger.reports import By, Line, Totals

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def dollars(nanousd: int) -> str:
    """Exact, nine digits behind the point: ``0.000030000``."""
    whole, rest = divmod(abs(nanousd), 1_000_000_000)
    return f"{'-' if nanousd < 0 else ''}{whole}.{rest:09d}"


def as_csv(by: Sequence[By], lines: Iterable[Line]) -> str:
    """One head line. A word that a spreadsheet would run as a formula gets an apostrophe: users choose such words."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*by, *Totals._fields, "cost_usd"])
    for line in lines:
        writer.writerow([*map(_cell, line.keys), *line.totals, dollars(line.totals.cost_nanousd)])
    return out.getvalue()


def as_json(by: Sequence[By], lines: Iterable[Line]) -> bytes:
    """A list of objects; ``cost_usd`` is text, since a number would lose nano-dollars on the way."""
    rows: list[dict[str, Any]] = [
        {
            **{str(what): key for what, key in zip(by, line.keys, strict=True)},
            **line.totals._asdict(),
            "cost_usd": dollars(line.totals.cost_nanousd),
        }
        for line in lines
    ]
    return orjson.dumps(rows, option=orjson.OPT_INDENT_2)


def _cell(word: str | None) -> str:
    if word is None:
        return ""
    return f"'{word}" if word.startswith(_FORMULA) else word
