"""The arguments of the commands about money, and nothing that they need: SQL and prices are read when one is called.

`sluicegate run` is parsed here, too, and stays for months.
"""

import argparse
import importlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from proxy.cli.policyarguments import add_allowance, add_config, add_overlay

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_parsers(commands: Commands) -> None:
    _add_usage(commands)
    _add_budget(commands)
    _add_prices(commands)
    _add_ledger(commands)
    _add_reconcile(commands)


def spelled(words: Sequence[str]) -> list[str]:
    """The command line as it can be parsed: ``-$5`` would be an option, ``$-5`` is the same amount."""
    return [re.sub(r"-\$(?=\d)", "$-", word) if re.fullmatch(r"-\$[\d_.]+", word) else word for word in words]


def called(module: str) -> Callable[[argparse.Namespace], int]:
    """The command of that module of ours, imported when it is called."""

    def call(args: argparse.Namespace) -> int:
        code: int = importlib.import_module(f"proxy.cli.{module}").main(args)
        return code

    return call


def _add_usage(commands: Commands) -> None:
    usage = commands.add_parser("usage", help="who used how much of what, and what it cost")
    add_config(usage)
    usage.add_argument(
        "--by", default="tenant", metavar="WORDS", help="such as tenant,model,feature,day; tenant if left out"
    )
    usage.add_argument("--since", default="30d", metavar="WHEN", help="30d, 2026-11-01 or 2026-11-01T12:00 (UTC)")
    usage.add_argument("--until", metavar="WHEN", help="likewise, and itself left out; now if left out")
    form = usage.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="for spreadsheets")
    form.add_argument("--json", action="store_true", help="for programs; amounts are text")
    usage.set_defaults(call=called("usage"))


def _add_budget(commands: Commands) -> None:
    budget = commands.add_parser("budget", help="where budgets stand, and what is granted on top of them")
    verbs = budget.add_subparsers(dest="verb", required=True, metavar="VERB")
    show = verbs.add_parser("show", help="of each living period: amount, settled, held, left")
    show.add_argument("scope", nargs="?", metavar="SCOPE", help="such as global, tenant:acme or 'user:ISSUER SUB'; all")
    grant = verbs.add_parser(
        "grant", help="let a scope spend more for a while: in force within a second, on the record"
    )
    grant.add_argument("scope", metavar="SCOPE", help="such as tenant:acme; spaces within a word are %%20")
    grant.add_argument("amount", metavar="AMOUNT", help="'$200'; '-$200' takes from the budget")
    grant.add_argument(
        "--until", required=True, metavar="WHEN", help="eod, eow, eom (of day, week, month), 3d or 2026-12-01[T18:00]"
    )
    grant.add_argument("--budget", metavar="NAME", help="this one alone; all that are counted by SCOPE")
    end = verbs.add_parser("end", help="end a grant before its time: in force within a second, on the record")
    end.add_argument("number", nargs="+", metavar="NUMBER", help="as `budget grant` and `budget grants` tell it")
    for parser in (grant, end):
        parser.add_argument("--reason", required=True, help="for the record")
        parser.add_argument("--by", metavar="NAME", help="who does it; whoever runs the command")
    record = verbs.add_parser("grants", help="grants that are in force, with their numbers")
    record.add_argument("scope", nargs="?", metavar="SCOPE", help="as it is shown, such as tenant:acme; all")
    record.add_argument("--all", action="store_true", help="the whole record: also those that are over or were ended")
    for parser in (show, grant, end, record):
        add_config(parser)
        parser.add_argument("--json", action="store_true")
        parser.set_defaults(call=called("budget"))


def _add_prices(commands: Commands) -> None:
    prices = commands.add_parser(
        "prices",
        help="what models cost: show, check, compare",
        description="Shows what models cost. `prices check` tells what of the policy's prices matches nothing, and "
        "`prices compare` where the bundled prices differ from those of an installed genai-prices.",
    )
    prices.add_argument("words", nargs="*", metavar="MODEL", help="models to show in full; or check, or compare")
    prices.add_argument("--provider", help="of this one alone, such as openai or anthropic")
    prices.add_argument("--config", type=Path, help="a policy file, for its prices; list prices if left out")
    add_overlay(prices)
    add_allowance(prices)
    prices.set_defaults(call=called("prices"))


def _add_ledger(commands: Commands) -> None:
    ledger = commands.add_parser("ledger", help="make the ledger's tables and bring them to this version")
    verbs = ledger.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, summary in (
        ("migrate", "make the tables, or bring them to this version; again does nothing"),
        ("version", "tell at which version the tables are; 1 if it is not this program's"),
    ):
        parser = verbs.add_parser(verb, help=summary)
        add_config(parser)
        parser.add_argument("--url", help="the ledger itself, instead of a policy; '-' reads it from standard input")
        parser.set_defaults(call=called("ledger"))


def _add_reconcile(commands: Commands) -> None:
    reconcile = commands.add_parser("reconcile", help="compare budgets' counters, outbox, holds and ledger")
    add_config(reconcile)
    reconcile.add_argument("--json", action="store_true")
    reconcile.set_defaults(call=called("reconcile"))
