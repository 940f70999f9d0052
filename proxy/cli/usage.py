"""`sluicegate usage`: who used how much of what, and what it cost, from the ledger; to the nano-dollar."""

import argparse
from collections.abc import Sequence
from typing import Final

from proxy.admin.desk import read_by, usage
from proxy.admin.moments import back_ms
from proxy.cli.books import answer, policy_of, wrong_call
from proxy.cli.tables import aligned
from proxy.core.clock import SystemClock
from proxy.ledger.reports import By, Line, Totals
from proxy.ledger.tabular import as_csv, as_json, dollars
from proxy.policy.model import Policy

_COLUMNS: Final = {
    "calls": "calls",
    "input": "input_tokens",
    "cached": "cached_read_tokens",
    "cache_write": "cache_write_tokens",
    "output": "output_tokens",
    "estimated": "estimated",
    "orphaned": "orphaned",
}


def main(args: argparse.Namespace) -> int:
    now_ms = SystemClock().now_ms()
    try:
        by = read_by(args.by)
        since_ms = back_ms(args.since, now_ms)
        until_ms = None if args.until is None else back_ms(args.until, now_ms)
    except ValueError as error:
        return wrong_call(error)
    policy = policy_of(args)
    return 1 if policy is None else answer(_print(args, policy, by, since_ms, until_ms))


async def _print(args: argparse.Namespace, policy: Policy, by: list[By], since_ms: int, until_ms: int | None) -> int:
    lines = await usage(policy, by, since_ms, until_ms)
    if args.csv:
        print(as_csv(by, lines), end="")
    elif args.json:
        print(as_json(by, lines).decode())
    else:
        print(table(by, lines))
    return 0


def table(by: Sequence[By], lines: Sequence[Line]) -> str:
    """With the sum of all lines below, if there are several."""
    rows = [(*line.keys, *_numbers(line.totals)) for line in lines]
    if len(lines) > 1:
        whole = Totals._make(map(sum, zip(*(line.totals for line in lines), strict=True)))
        rows.append((*("" if at else "all" for at in range(len(by))), *_numbers(whole)))
    return aligned([*by, *_COLUMNS, "cost_usd"], rows, words=len(by))


def _numbers(totals: Totals) -> tuple[str, ...]:
    counts = (f"{getattr(totals, name):,}" for name in _COLUMNS.values())
    return (*counts, dollars(totals.cost_nanousd))
