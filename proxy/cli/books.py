"""What the commands about money have in common: the policy whose money it is, and one line for what cannot be told."""

import argparse
import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import Any

from proxy.admin.stores import Unanswered
from proxy.policy.compiler import load
from proxy.policy.model import Policy
from proxy.policy.problems import PolicyError


def policy_of(args: argparse.Namespace) -> Policy | None:
    """The policy that the arguments name; None, and said why, if it is refused."""
    try:
        return load(
            args.config, os.environ, overlays=args.overlay, allow_missing_secrets=args.allow_missing_secrets
        ).policy
    except PolicyError as exc:
        print(exc, file=sys.stderr)
        return None


def answer(work: Coroutine[Any, Any, int]) -> int:
    """The work's exit code; 1, and said why, where it could not be done."""
    try:
        return asyncio.run(work)
    except Unanswered as exc:
        print(f"sluicegate: {exc}", file=sys.stderr)
        return 1


def wrong_call(error: ValueError) -> int:
    print(f"sluicegate: {error}", file=sys.stderr)
    return 2
