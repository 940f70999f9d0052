"""Parses the command line and calls the command. Exit codes: 0 done, 1 refused (a policy, a key) or
not to be told (a ledger or a Redis that is away), 2 a wrong call."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from proxy import __version__
from proxy.cli import cachearguments, check, demo, explain, foresightarguments, keys, moneyarguments, run
from proxy.cli.policyarguments import add_config, add_overlay


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="sluicegate",
        description="A rate-limiting and caching reverse proxy for multi-tenant apps and LLM providers.",
    )
    top.add_argument("--version", action="version", version=f"sluicegate {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    served = commands.add_parser("run", help="serve, by a policy file or with defaults in front of one upstream")
    what = served.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", type=Path, help="the policy file")
    what.add_argument("--upstream", metavar="URL", help="no file: protect this app with sensible defaults")
    add_overlay(served)
    served.add_argument("--listen", metavar="HOST:PORT", help="with --upstream: where to listen (127.0.0.1:8080)")
    served.add_argument("--metrics", metavar="HOST:PORT", help="with --upstream: metrics and health (127.0.0.1:9902)")
    served.add_argument("--admin", metavar="HOST:PORT", help="with --upstream: the admin listener (127.0.0.1:9901)")
    served.set_defaults(call=run.main)

    checked = commands.add_parser("check", help="tell every error and warning of a policy file")
    checked.add_argument("named", type=Path, nargs="?", metavar="CONFIG", help="as --config")
    add_config(checked)
    checked.add_argument("--json-schema", action="store_true", help="print the JSON Schema for editors instead")
    checked.set_defaults(call=check.main)

    explained = commands.add_parser("explain", help="what would happen to a request, or what the whole policy is")
    add_config(explained)
    explained.add_argument("--method", default="GET")
    about = explained.add_mutually_exclusive_group(required=True)
    about.add_argument("--path", help="with its query, as a client would send it")
    about.add_argument("--effective", action="store_true", help="no request: print the whole policy, defaults too")
    explained.add_argument("--origin", action="store_true", help="with --effective: each value's file and line")
    explained.add_argument("--host", default="localhost")
    explained.add_argument("--address", default="127.0.0.1", help="the client's address")
    explained.add_argument("--model", default="", help="of a call to a provider, whose body is not read here")
    explained.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'")
    who = explained.add_mutually_exclusive_group()
    who.add_argument("--token", help="a token, verified as a request's would be; '-' reads it from standard input")
    who.add_argument("--claims", metavar="JSON", help="claims to believe without a token")
    explained.add_argument("--json", action="store_true")
    explained.set_defaults(call=explain.main)

    shown = commands.add_parser("demo", help="a sample app, an embedded Redis and the gateway, with tokens to try")
    shown.add_argument("--port", type=int, default=8080, help="of the gateway; the next free one if it is taken")
    shown.set_defaults(call=demo.main)

    keys.add_parser(commands)
    moneyarguments.add_parsers(commands)
    foresightarguments.add_parsers(commands)
    cachearguments.add_parsers(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(moneyarguments.spelled(sys.argv[1:] if arguments is None else arguments))
    try:
        code: int = args.call(args)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has left (`| head`): there is nobody to tell, and nothing went wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code
