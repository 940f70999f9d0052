"""`sluicegate prices`: what models cost, by the bundled table and a policy; what of a policy's prices matches nothing;
where the bundled table differs from an installed genai-prices.
"""

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from typing import Final

from proxy.admin.desk import usage
from proxy.admin.stores import Unanswered
from proxy.ai.dialects.registry import DIALECTS
from proxy.ai.prices.table import PriceTable, bundled
from proxy.cli.books import answer, policy_of, wrong_call
from proxy.cli.pricecomparison import differences
from proxy.cli.pricelines import DETAILS, OVERVIEW, PriceSheet, unmatched
from proxy.cli.tables import aligned, printable
from proxy.core.clock import SystemClock
from proxy.core.units import DURATIONS_MS
from proxy.ledger.reports import By
from proxy.policy.model import Policy
from proxy.policy.spending import Prices

LATELY_MS: Final = 30 * DURATIONS_MS["d"]
_LIBRARY: Final = "genai_prices"


def main(args: argparse.Namespace) -> int:
    policy = None
    if args.config is not None and (policy := policy_of(args)) is None:
        return 1
    table, now_ms = bundled(), SystemClock().now_ms()
    if args.provider is not None and args.provider not in table.providers():
        return wrong_call(ValueError(f"--provider {args.provider!r} is not known: {', '.join(table.providers())}"))
    match args.words:
        case ["check"]:
            if policy is None:
                return wrong_call(ValueError("prices check needs --config: it is the policy's prices that it checks"))
            return answer(_check(policy, table, now_ms))
        case ["compare"]:
            return _compare(args.provider, table, now_ms)
    sheet = PriceSheet(table, Prices() if policy is None else policy.prices, now_ms)
    providers = _providers(args.provider, policy)
    return _details(sheet, providers, args.words) if args.words else _overview(sheet, providers)


def _providers(named: str | None, policy: Policy | None) -> list[str]:
    """The one that is asked for, else those that the policy's routes call, else all that we speak to."""
    if named is not None:
        return [named]
    called = [] if policy is None else [route.spending.dialect for route in policy.routes if route.spending is not None]
    return list(dict.fromkeys(DIALECTS[name].provider for name in (called or DIALECTS)))


def _overview(sheet: PriceSheet, providers: list[str]) -> int:
    rows = [sheet.overview(priced) for provider in providers for priced in sheet.models(provider)]
    _print_notes(sheet, providers)
    print(aligned(OVERVIEW, rows, words=3))
    return 0


def _details(sheet: PriceSheet, providers: list[str], models: Iterable[str]) -> int:
    rows, unknown = [], []
    for model in models:
        found = [priced for provider in providers if (priced := sheet.find(provider, model)) is not None]
        rows += [line for priced in found for line in sheet.details(priced)]
        unknown += [] if found else [model]
    if rows:
        _print_notes(sheet, providers)
        print(aligned(DETAILS, rows, words=5))
    for model in unknown:
        print(f"sluicegate: nobody knows the price of {model!r} at {', '.join(providers)}", file=sys.stderr)
    return 1 if unknown else 0


def _print_notes(sheet: PriceSheet, providers: list[str]) -> None:
    for note in sheet.notes(providers):
        print(note)


async def _check(policy: Policy, table: PriceTable, now_ms: int) -> int:
    flaws = list(unmatched(policy.prices, table, _providers(None, policy)))
    sheet = PriceSheet(table, policy.prices, now_ms)
    try:
        lately = await usage(policy, [By.PROVIDER, By.MODEL], now_ms - LATELY_MS, None)
    except Unanswered as away:
        lately = []
        print(f"what was used lately is not looked at: {away}", file=sys.stderr)
    for provider, model in (line.keys for line in lately):
        if provider and model and sheet.find(provider, model) is None:
            what = "is refused" if policy.prices.unknown is None else "has the policy's price for unknown models"
            flaws.append(f"{model} of {provider} was used lately, and nobody knows its price: it {what}")
    for flaw in flaws:
        print(printable(flaw))
    if not flaws:
        prices = policy.prices
        print(f"ok: {len(prices.aliases)} aliases, {len(prices.overrides)} overrides; {table.version}")
    return 1 if flaws else 0


def _compare(provider: str | None, table: PriceTable, now_ms: int) -> int:
    if importlib.util.find_spec(_LIBRARY) is None:
        print("sluicegate: genai-prices is not installed; only building and testing need it", file=sys.stderr)
        return 1
    there = PriceTable(importlib.import_module("proxy.ai.prices.build").table())
    found = list(differences(table, there, provider, now_ms))
    if not found:
        print(f"the same: {table.version}")
        return 0
    print(aligned(["provider", "model", "what", "bundled", "installed"], found, words=3))
    print(f"{len(found)} differences: bundled is {table.version}, installed {there.version}")
    return 1
