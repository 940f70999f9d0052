"""The arguments of the commands about money, and nothing that they need: SQL and prices are read when one is called.

`sluicegate run` is parsed here, too, and stays for months.
"""

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

CONFIG: Final = Path("config.yaml")

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_parsers(commands: Commands) -> None:
    _add_usage(commands)
    _add_ledger(commands)
    _add_reconcile(commands)


def called(module: str) -> Callable[[argparse.Namespace], int]:
    """The command of that module of ours, imported when it is called."""

    def call(args: argparse.Namespace) -> int:
        code: int = importlib.import_module(f"proxy.cli.{module}").main(args)
        return code

    return call


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, default=CONFIG, help="the policy file (config.yaml)")
    parser.add_argument("--allow-missing-secrets", action="store_true", help="unset ${VARIABLES} are no errors")


def _add_usage(commands: Commands) -> None:
    usage = commands.add_parser("usage", help="who used how much of what, and what it cost")
    _add_config(usage)
    usage.add_argument(
        "--by", default="tenant", metavar="WORDS", help="such as tenant,model,feature,day; tenant if left out"
    )
    usage.add_argument("--since", default="30d", metavar="WHEN", help="30d, 2026-11-01 or 2026-11-01T12:00 (UTC)")
    usage.add_argument("--until", metavar="WHEN", help="likewise, and itself left out; now if left out")
    form = usage.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="for spreadsheets")
    form.add_argument("--json", action="store_true", help="for programs; amounts are text")
    usage.set_defaults(call=called("usage"))


def _add_ledger(commands: Commands) -> None:
    ledger = commands.add_parser("ledger", help="make the ledger's tables and bring them to this version")
    verbs = ledger.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, summary in (
        ("migrate", "make the tables, or bring them to this version; again does nothing"),
        ("version", "tell at which version the tables are; 1 if it is not this program's"),
    ):
        parser = verbs.add_parser(verb, help=summary)
        _add_config(parser)
        parser.add_argument("--url", help="the ledger itself, instead of a policy; '-' reads it from standard input")
        parser.set_defaults(call=called("ledger"))


def _add_reconcile(commands: Commands) -> None:
    reconcile = commands.add_parser("reconcile", help="compare budgets' counters, outbox, holds and ledger")
    _add_config(reconcile)
    reconcile.add_argument("--json", action="store_true")
    reconcile.set_defaults(call=called("reconcile"))
