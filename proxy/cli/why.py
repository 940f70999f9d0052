"""`sluicegate why`: why a request got what it got, from the gateway's own log.

Exit codes: 0 told, 1 the log has no such request, 2 a wrong call, or a file that is not there or is wrong.
"""

import argparse
import gzip
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from proxy.cli.progress import Progress
from proxy.cli.replay import WRONG, few_collections
from proxy.cli.tables import aligned, printable
from proxy.foresight.logfile import MAX_LINE, STANDARD_INPUT, LogFiles
from proxy.foresight.order import Ordered
from proxy.foresight.replaying import Judged, Replay, is_judged
from proxy.foresight.retracing import Meter, facts, meters, unsaid
from proxy.policy.compiler import load
from proxy.policy.model import Policy
from proxy.policy.problems import PolicyError


def main(args: argparse.Namespace) -> int:
    if STANDARD_INPUT in args.log and args.config is not None:
        print("sluicegate: with --config the log is read twice: standard input will not do", file=sys.stderr)
        return WRONG
    try:
        policy = None
        if args.config is not None:
            policy = load(args.config, os.environ, overlays=args.overlay, allow_missing_secrets=True).policy
        line = found_line(args.log, args.request_id)
        if line is None:
            print(f"sluicegate: no request {args.request_id!r} in {_names(args.log)}", file=sys.stderr)
            return 1
        judged = None if policy is None else _judged(args.log, args.request_id, policy)
    except PolicyError as error:
        print(error, file=sys.stderr)
        return WRONG
    except OSError as error:
        print(f"sluicegate: {error.filename or args.log[0]}: {error.strerror or 'is no gzip file'}", file=sys.stderr)
        return WRONG
    replayed = [] if judged is None else meters(judged)
    if args.json:
        told = {"line": line, "meters": [_data(meter) for meter in replayed]}
        print(json.dumps({**told, "unsaid": unsaid(line, replayed=policy is not None)}, indent=2))
    else:
        print(_text(line, policy, judged, replayed))
    return 0


def found_line(paths: Sequence[Path], request_id: str) -> dict[str, Any] | None:
    """The line of a request. Raises: OSError."""
    wanted = request_id.encode()
    for path in paths:
        opened = gzip.open if path.suffix == ".gz" else open
        with sys.stdin.buffer if path == STANDARD_INPUT else opened(path, "rb") as lines:
            while line := lines.readline(MAX_LINE):
                if wanted not in line:
                    continue
                try:
                    told = orjson.loads(line)
                except ValueError:
                    continue
                if isinstance(told, dict) and told.get("id") == request_id and told.get("msg") == "request":
                    return told
    return None


def _judged(paths: Sequence[Path], request_id: str, policy: Policy) -> Judged | None:
    """What a replay up to the request says to it. Raises: OSError."""
    replay, progress = Replay(policy), Progress()
    with few_collections():
        for entry in Ordered().entries(LogFiles(paths, progress).entries()):
            if is_judged(entry):
                judged = replay.judged(entry)
                if entry.request_id == request_id:
                    progress.close()
                    return judged
    progress.close()
    return None


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))


def _data(meter: Meter) -> dict[str, Any]:
    return {
        "limit": meter.limit,
        "rate": meter.rate,
        "before": meter.before,
        "takes": meter.takes,
        "verdict": meter.verdict,
        "shadow": meter.shadow,
    }


def _text(line: dict[str, Any], policy: Policy | None, judged: Judged | None, replayed: list[Meter]) -> str:
    lines = [f"{name:9} {printable(value)}" for name, value in facts(line)]
    if policy is not None:
        same = policy.version == line.get("policy")
        which = "the policy that it met" if same else f"policy {policy.version}, which is not the one that it met"
        lines += ["", f"as a replay of this log by {which} counts:"]
        if judged is None:
            lines.append("  nothing: the gateway answered it by itself")
        elif not replayed and judged.by:
            lines.append(f"  no limit was asked: {', '.join(judged.by)}")
        elif not replayed:
            lines.append("  no limit counts it")
        else:
            rows = [
                [
                    one.limit + (" (shadow)" if one.shadow else ""),
                    one.rate,
                    one.verdict,
                    f"{one.before:g}",
                    f"{one.takes:g}",
                ]
                for one in replayed
            ]
            lines.append(aligned(["limit", "rate", "", "before it", "takes"], rows, 3))
    lines += ["", "not in the line:"]
    lines += [f"  {one}" for one in unsaid(line, replayed=policy is not None)]
    return "\n".join(lines)
