"""`sluicegate diff`: what another policy changes, for whom and where.

Exit codes: 0 the same in effect, 1 they differ, 2 a wrong call, or a file that is not there or is wrong.
"""

import argparse
import json
import os
import sys
from itertools import groupby

from proxy.cli.tables import printable
from proxy.foresight.comparing import Change, changes
from proxy.policy.compiler import load
from proxy.policy.problems import PolicyError


def main(args: argparse.Namespace) -> int:
    try:
        old, new = (
            load(path, os.environ, overlays=[*args.overlay, *over], allow_missing_secrets=True).policy
            for path, over in ((args.old, args.old_overlay), (args.new, args.new_overlay))
        )
    except PolicyError as error:
        print(error, file=sys.stderr)
        return 2
    found = changes(old, new)
    if args.json:
        print(json.dumps({"old": old.version, "new": new.version, "changes": list(map(_data, found))}, indent=2))
    elif not found:
        print(f"{args.old} and {args.new} are the same in effect")
    else:
        print(_text(found))
    return 1 if found else 0


def _data(change: Change) -> dict[str, object]:
    return {
        "subject": change.subject,
        "what": change.what,
        "was": change.was or None,
        "now": change.now or None,
        "callers": change.callers or None,
        "routes": list(change.routes) or None,
    }


def _text(found: list[Change]) -> str:
    lines = []
    for (subject, routes), group in groupby(found, key=lambda change: (change.subject, change.routes)):
        where = f" on {', '.join(routes)}" if routes and not subject.startswith("route ") else ""
        lines.append(f"{printable(subject)}{where}")
        lines += [f"  {printable(str(change))}" for change in group]
    return "\n".join(lines)
