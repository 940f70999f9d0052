"""The arguments of the commands that tell what a policy would do before it does it."""

import argparse
from pathlib import Path

from proxy.cli import diff, policytest, replay, suggest, why
from proxy.cli.policyarguments import add_both_overlays, add_overlay
from proxy.foresight.replayreport import ROWS


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    tested = commands.add_parser("test", help="hold a policy to a file of tests, without a gateway or a Redis")
    tested.add_argument("tests", type=Path, metavar="policy_tests.yaml")
    tested.add_argument("--config", type=Path, help="the policy; else the file's own 'policy', else config.yaml")
    add_overlay(tested)
    tested.add_argument("--junit", type=Path, metavar="FILE", help="also write a report for CI servers")
    tested.add_argument("--quiet", action="store_true", help="tell failures and the sum only")
    tested.set_defaults(call=policytest.main)

    replayed = commands.add_parser("replay", help="run an access log through a policy: who would have been refused")
    replayed.add_argument(
        "log", type=Path, nargs="+", help="Sluicegate's, nginx's or Envoy's; .gz; '-': standard input"
    )
    replayed.add_argument("--policy", type=Path, required=True, metavar="NEW", help="the policy to judge by")
    replayed.add_argument("--against", type=Path, metavar="OLD", help="tell the difference from this one")
    add_both_overlays(replayed)
    replayed.add_argument(
        "--tier", help="of callers whom the log's format does not name; the anonymous one if left out"
    )
    replayed.add_argument("--most", type=_share, metavar="SHARE", help="exit 1 if more is (newly) refused: 0.5%%")
    replayed.add_argument("--rows", type=int, default=ROWS, help=f"of a table ({ROWS})")
    replayed.add_argument("--all", action="store_true", help="all rows")
    replayed.add_argument("--json", action="store_true")
    replayed.set_defaults(call=replay.main)

    compared = commands.add_parser("diff", help="what another policy changes: for which callers, on which routes, how")
    compared.add_argument("old", type=Path, metavar="OLD")
    compared.add_argument("new", type=Path, metavar="NEW")
    add_both_overlays(compared)
    compared.add_argument("--json", action="store_true")
    compared.set_defaults(call=diff.main)

    suggested = commands.add_parser("suggest", help="limits by each tier's real use, and what they would have refused")
    suggested.add_argument("log", type=Path, nargs="+", help="Sluicegate's, nginx's or Envoy's; .gz")
    suggested.add_argument(
        "--config", type=Path, help="the policy whose limits to set; else one by ip, user and tenant"
    )
    add_overlay(suggested)
    suggested.add_argument("--percentile", type=_percentile, default=99.9, help="of use, as requests meet it (99.9)")
    suggested.add_argument("--window", default="1m", help="without --config: what limits count over (1m)")
    suggested.add_argument(
        "--backtest", type=_days, default=0, metavar="DAYS", help="the last days, not fitted but judged"
    )
    suggested.add_argument(
        "--within",
        type=_share,
        metavar="SHARE",
        help="exit 1 if the backtest misses by more, for a tier or in all: 5%%",
    )
    suggested.set_defaults(call=suggest.main)

    traced = commands.add_parser("why", help="why a request got what it got, from the gateway's own log")
    traced.add_argument("request_id", metavar="REQUEST_ID", help="as X-Request-ID and the log have it")
    traced.add_argument(
        "--log", type=Path, nargs="+", required=True, metavar="FILE", help="the log; .gz; '-': standard input"
    )
    traced.add_argument("--config", type=Path, help="the policy: the log up to the request is replayed for its meters")
    add_overlay(traced)
    traced.add_argument("--json", action="store_true")
    traced.set_defaults(call=why.main)


def _percentile(text: str) -> float:
    number = float(text)
    if not 0 < number <= 100:
        raise argparse.ArgumentTypeError("is above 0 and up to 100")
    return number


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days, from 1 on")
    return int(text)


def _share(text: str) -> float:
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share such as 0.5%") from None
    return number / 100 if text.endswith("%") else number
