"""`sluicegate replay`: an access log through a policy, on the log's own time.

Exit codes: 0 told, 1 more refused than `--most` allows, 2 a wrong call, a file that is not there or is wrong, or a log
that `--most` cannot be judged by.
"""

import argparse
import gc
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from proxy.cli.progress import Progress
from proxy.cli.tables import aligned
from proxy.foresight.accesslog import AccessLog, Log
from proxy.foresight.replaying import Differences, Replay
from proxy.foresight.replayreport import (
    Table,
    Under,
    against,
    as_data,
    first_unreadable,
    left_out,
    moved,
    refusals,
    summary,
)
from proxy.foresight.wording import moment_text
from proxy.policy.compiler import load
from proxy.policy.problems import PolicyError

WRONG = 2


def main(args: argparse.Namespace) -> int:
    try:
        files = [(args.against, args.old_overlay), (args.policy, args.new_overlay)]
        if args.against is None:
            del files[0]
        names = _names([(path, *over) for path, over in files])
        policies = [
            load(path, os.environ, overlays=[*args.overlay, *over], allow_missing_secrets=True).policy
            for path, over in files
        ]
    except PolicyError as error:
        print(error, file=sys.stderr)
        return WRONG
    for policy, (path, _) in zip(policies, files, strict=True):
        if args.tier is not None and args.tier not in policy.tiers:
            print(f"sluicegate: --tier {args.tier}: {path} has {', '.join(policy.tiers)}", file=sys.stderr)
            return WRONG
    unders = [Under(name, Replay(policy, args.tier)) for name, policy in zip(names, policies, strict=True)]
    differences = Differences() if len(unders) > 1 else None
    try:
        log = replayed(args.log, unders, differences)
    except OSError as error:
        print(f"sluicegate: {error.filename or args.log[0]}: {error.strerror or error}", file=sys.stderr)
        return WRONG
    if log.nothing is not None:
        print(f"sluicegate: {', '.join(map(str, args.log))}: {log.nothing}{first_unreadable(log)}", file=sys.stderr)
        return WRONG
    if args.json:
        print(json.dumps(as_data(log, unders, differences), indent=2))
    else:
        print(_text(log, unders, differences, None if args.all else args.rows))
    if log.doubt is not None:
        print(f"sluicegate: {log.doubt}", file=sys.stderr)
        if args.most is not None:
            return WRONG
    new = unders[-1].sums
    if args.most is None:
        return 0
    counted = new.refused - new.kept if differences is None else differences.newly_refused
    return int(counted > args.most * new.requests)


def replayed(paths: Sequence[Path], unders: Sequence[Under], differences: Differences | None) -> Log:
    """Reads all, and lets each policy judge each request. Raises: OSError."""
    progress = Progress()
    files = AccessLog(paths, progress)
    with few_collections():
        for entry in files.requests():
            judged = [under.replay.add(entry) for under in unders]
            if differences is not None:
                differences.add(entry, *judged)
    progress.close()
    return files.log


@contextmanager
def few_collections() -> Iterator[None]:
    """What a replay makes holds no cycles: looking for some takes a fifth of its time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(1_000_000, 50, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _names(policies: Sequence[tuple[Path, ...]]) -> list[str]:
    """As short as they can be told apart; each is a file and its own overlays."""
    short = [" + ".join(path.name for path in paths) for paths in policies]
    return short if len(set(short)) == len(short) else [" + ".join(map(str, paths)) for paths in policies]


def _text(log: Log, unders: Sequence[Under], differences: Differences | None, rows: int | None) -> str:
    new = unders[-1]
    parts = [f"{moment_text(new.sums.first_ms)} to {moment_text(new.sums.last_ms)} UTC"]
    for under in unders:
        parts += summary(under)
    if differences is not None:
        parts.append(f"{differences.newly_refused:,} newly refused, {differences.newly_admitted:,} newly admitted")
        parts += _table(against(unders[0], new, rows))
        parts += _table(moved(differences, rows))
    else:
        parts += _table(refusals(new, rows))
    notes = left_out(log, new)
    parts += ["", *(f"note: {note}" for note in notes)] if notes else []
    return "\n".join(parts)


def _table(table: Table) -> list[str]:
    head, rows, words = table
    return ["", aligned(head, rows, words)] if rows else []
