"""`sluicegate diff`: what another policy changes, for whom and where.

Exit codes: 0 the same in effect, 1 they differ, 2 a wrong call, or a file that is not there or is wrong.

Variables that are not set are taken as set to something: what they are for is compared, and not what they hold. That is
so of those, too, that fall back to nothing: where the policy is in force they will be set, or nobody had written them.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from proxy.cli.tables import printable
from proxy.foresight.comparing import Change, changes, variables
from proxy.policy.compiler import Loaded, load
from proxy.policy.problems import PolicyError


def main(args: argparse.Namespace) -> int:
    supposed: set[str] = set()
    try:
        old = _loaded(args.old, [*args.overlay, *args.old_overlay], supposed)
        new = _loaded(args.new, [*args.overlay, *args.new_overlay], supposed)
    except PolicyError as error:
        print(error, file=sys.stderr)
        return 2
    found = [*changes(old.policy, new.policy), *variables(old.document, new.document)]
    if args.json:
        told = {"old": old.policy.version, "new": new.policy.version, "changes": list(map(_data, found))}
        print(json.dumps({**told, "taken_as_set": sorted(supposed)}, indent=2))
    else:
        print(_text(found) if found else f"{args.old} and {args.new} are the same in effect")
        if supposed:
            print(f"note: not set here, and taken as set: {', '.join(sorted(supposed))}")
    return 1 if found else 0


def _loaded(path: Path, overlays: Sequence[Path], supposed: set[str]) -> Loaded:
    """Raises: PolicyError."""
    return load(path, os.environ, overlays=overlays, allow_missing_secrets=True, suppose=supposed.add)


def _data(change: Change) -> dict[str, object]:
    return {
        "subject": change.subject,
        "what": change.what,
        "was": change.was or None,
        "now": change.now or None,
        "callers": change.callers or None,
        "routes": list(change.routes) or None,
    }


def _text(found: Iterable[Change]) -> str:
    lines = []
    for (subject, routes), group in groupby(found, key=lambda change: (change.subject, change.routes)):
        where = f" on {', '.join(routes)}" if routes and not subject.startswith("route ") else ""
        lines.append(f"{printable(subject)}{where}")
        lines += [f"  {printable(str(change))}" for change in group]
    return "\n".join(lines)
