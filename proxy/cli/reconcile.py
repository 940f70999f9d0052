"""`sluicegate reconcile`: whether counters, outbox, holds and ledger say the same, and where they do not."""

import argparse
import json

from proxy.admin.desk import compared
from proxy.admin.shapes import of_comparison, of_difference
from proxy.cli.books import answer, policy_of
from proxy.cli.tables import aligned
from proxy.core.clock import SystemClock
from proxy.policy.model import Policy


def main(args: argparse.Namespace) -> int:
    policy = policy_of(args)
    return 1 if policy is None else answer(_print(policy, as_json=args.json))


async def _print(policy: Policy, *, as_json: bool) -> int:
    differences, counters = await compared(policy, SystemClock().now_ms())
    if as_json:
        print(json.dumps(of_comparison(differences, counters), indent=2))
    elif differences:
        shapes = [of_difference(one) for one in differences]
        print(
            aligned([name.removesuffix("_usd") for name in shapes[0]], [list(one.values()) for one in shapes], words=3)
        )
        print(f"{len(differences)} of {counters} counters differ, in dollars")
    else:
        print(f"agree: {counters} counters")
    return 1 if differences else 0
