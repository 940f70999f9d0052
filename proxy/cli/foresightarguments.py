"""The arguments of the commands that tell what a policy would do before it does it."""

import argparse
from pathlib import Path

from proxy.cli import diff, policytest, replay
from proxy.foresight.replayreport import ROWS


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    tested = commands.add_parser("test", help="hold a policy to a file of tests, without a gateway or a Redis")
    tested.add_argument("tests", type=Path, metavar="policy_tests.yaml")
    tested.add_argument("--config", type=Path, help="the policy; else the file's own 'policy', else config.yaml")
    tested.add_argument("--junit", type=Path, metavar="FILE", help="also write a report for CI servers")
    tested.add_argument("--quiet", action="store_true", help="tell failures and the sum only")
    tested.set_defaults(call=policytest.main)

    replayed = commands.add_parser("replay", help="run an access log through a policy: who would have been refused")
    replayed.add_argument(
        "log", type=Path, nargs="+", help="Sluicegate's, nginx's or Envoy's; .gz; '-': standard input"
    )
    replayed.add_argument("--policy", type=Path, required=True, metavar="NEW", help="the policy to judge by")
    replayed.add_argument("--against", type=Path, metavar="OLD", help="tell the difference from this one")
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
    compared.add_argument("--json", action="store_true")
    compared.set_defaults(call=diff.main)


def _share(text: str) -> float:
    number = float(text.removesuffix("%"))
    return number / 100 if text.endswith("%") else number
