"""Which policy a command is about: its file, the overlays over it, and whether what it names has to be there."""

import argparse
from pathlib import Path
from typing import Final

CONFIG: Final = Path("config.yaml")


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, default=CONFIG, help="the policy file (config.yaml)")
    add_overlay(parser)
    add_allowance(parser)


def add_overlay(
    parser: argparse.ArgumentParser, option: str = "--overlay", over: str = "the policy; may be repeated"
) -> None:
    """``option`` may be given several times; the last lies on top."""
    parser.add_argument(option, type=Path, action="append", default=[], metavar="FILE", help=f"put over {over}")


def add_both_overlays(parser: argparse.ArgumentParser) -> None:
    """Of a command that compares an OLD policy with a NEW one."""
    add_overlay(parser, over="both policies; may be repeated")
    add_overlay(parser, "--old-overlay", "OLD alone, and over what is put over both")
    add_overlay(parser, "--new-overlay", "NEW alone, likewise")


def add_allowance(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--allow-missing-secrets", action="store_true", help="unset ${VARIABLES} are no errors")
