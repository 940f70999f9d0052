"""The arguments of the commands that tell what a policy would do before it does it."""

import argparse
from pathlib import Path

from proxy.cli import policytest


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    tested = commands.add_parser("test", help="hold a policy to a file of tests, without a gateway or a Redis")
    tested.add_argument("tests", type=Path, metavar="policy_tests.yaml")
    tested.add_argument("--config", type=Path, help="the policy; else the file's own 'policy', else config.yaml")
    tested.add_argument("--junit", type=Path, metavar="FILE", help="also write a report for CI servers")
    tested.add_argument("--quiet", action="store_true", help="tell failures and the sum only")
    tested.set_defaults(call=policytest.main)
