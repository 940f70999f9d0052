"""`sluicegate check`: every error and warning of a policy file, or the schema for editors."""

import argparse
import json
import os
import sys

from proxy.ai.prices.table import bundled
from proxy.cli.affordability import Affordability
from proxy.core.clock import SystemClock
from proxy.gateway.rehearsal import load_rehearsed
from proxy.policy.model import Policy
from proxy.policy.problems import PolicyError
from proxy.policy.reference import json_schema


def main(args: argparse.Namespace) -> int:
    if args.json_schema:
        print(json.dumps(json_schema(), indent=2))
        return 0
    config = args.named or args.config
    try:
        loaded = load_rehearsed(
            config, os.environ, overlays=args.overlay, allow_missing_secrets=args.allow_missing_secrets
        )
    except PolicyError as exc:
        print(exc, file=sys.stderr)
        count = len(exc.problems)
        print(f"{config}: {count} {'error' if count == 1 else 'errors'}", file=sys.stderr)
        return 1
    except OSError as exc:
        print(f"sluicegate: {exc.filename}: {exc.strerror}", file=sys.stderr)
        return 1
    policy = loaded.policy
    if (flaw := _ledger_flaw(policy)) is not None:
        print(f"{config}: {flaw}", file=sys.stderr)
        return 1
    never_fit = Affordability(policy, bundled(), SystemClock().now_ms()).warnings()
    beyond = [loaded.document.problem(path, message) for path, message in never_fit]
    for warning in (*loaded.warnings, *beyond):
        print(f"warning: {warning}", file=sys.stderr)
    print(
        f"{config}: ok, policy {policy.version}: {len(policy.routes)} routes, {len(policy.limits)} limits, "
        f"{len(policy.upstreams)} upstreams, {len(policy.budgets)} budgets"
    )
    return 0


def _ledger_flaw(policy: Policy) -> str | None:
    """What the ledger's driver would not take."""
    # Here, since no other command needs these 25 MiB.
    from proxy.ledger.errors import LedgerUrlError
    from proxy.ledger.url import parse

    for name in ("url", "read_url"):
        url = getattr(policy.ledger, name, None)
        if url is not None:
            try:
                parse(url)
            except LedgerUrlError as error:
                return f"ledger.{name}: {error}"
    return None
