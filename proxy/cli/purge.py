"""`sluicegate purge`: takes stored answers out of the cache of every gateway on this Redis."""

import argparse
import json
import sys

from proxy.admin.purgewords import Wanted, read
from proxy.admin.purging import OBEYED_S, purge
from proxy.cli.books import answer, policy_of, wrong_call
from proxy.cli.tables import printable
from proxy.policy.model import Policy

_WORDS = ("url", "prefix", "tags", "tenant", "all", "within", "public", "host")


def main(args: argparse.Namespace) -> int:
    given = {name: getattr(args, name) for name in _WORDS}
    try:
        wanted = read({name: value for name, value in given.items() if value not in (None, False)})
    except ValueError as error:
        return wrong_call(error)
    policy = policy_of(args)
    return 1 if policy is None else answer(_purge(args, policy, wanted))


async def _purge(args: argparse.Namespace, policy: Policy, wanted: Wanted) -> int:
    purged = await purge(policy, wanted)
    if args.json:
        print(json.dumps(purged.as_json(), indent=2))
        return 0
    print(printable(f"{purged}; every worker of every gateway on this Redis obeys within {OBEYED_S:g} s"))
    if not purged.concerned:
        print("note: no route of this policy stores such answers", file=sys.stderr)
    return 0
