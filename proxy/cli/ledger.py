"""`sluicegate ledger`: makes the ledger's tables and brings them to this version, or tells at which they are.

A SQLite ledger is brought to this version by a gateway that opens it; a server's tables are changed by ops alone.
"""

import argparse
import sys

from proxy.admin.desk import ledger_of, migrated, revision
from proxy.admin.stores import Unanswered
from proxy.cli.books import answer, policy_of
from proxy.ledger.migrate import head


def main(args: argparse.Namespace) -> int:
    return answer(_do(args))


async def _do(args: argparse.Namespace) -> int:
    url = args.url
    if url == "-":
        url = sys.stdin.readline().strip()
    if url is None:
        policy = policy_of(args)
        if policy is None:
            return 1
        url = ledger_of(policy).url
    if args.verb == "migrate":
        before, after = await migrated(url)
        print(
            f"the ledger was at {before or 'nothing'} and is at {after}" if before != after else f"at {after} already"
        )
        return 0
    found, wanted = await revision(url), head()
    if found is None:
        raise Unanswered(f"there is no ledger yet; this program's is {wanted}")
    print(found if found == wanted else f"{found}; this program's is {wanted}")
    return 0 if found == wanted else 1
