"""`sluicegate why`: why a request got what it got, from the gateway's own log.

Exit codes: 0 told, 1 the log has no such request, 2 a wrong call, or a file that is not there or is wrong.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from proxy.cli.progress import Progress
from proxy.cli.replay import WRONG, few_collections
from proxy.cli.spool import spooled
from proxy.cli.tables import aligned, printable
from proxy.foresight.accesslog import AccessLog
from proxy.foresight.logfile import MAX_LINE, STANDARD_INPUT, opened
from proxy.foresight.replaying import Judged, Replay
from proxy.foresight.retracing import ended, facts, is_open, unsaid
from proxy.foresight.standing import Meter, as_asked, meters
from proxy.policy.compiler import load
from proxy.policy.model import Policy
from proxy.policy.problems import PolicyError

_REQUEST: Final = "request"
_SETTLED: Final = "call settled"

Replayed = tuple[Judged, list[Meter]]


def main(args: argparse.Namespace) -> int:
    try:
        policy = None
        if args.config is not None:
            policy = load(args.config, os.environ, overlays=args.overlay, allow_missing_secrets=True).policy
        with _files(args.log, twice=policy is not None) as paths:
            line = found_line(paths, args.request_id)
            if line is None:
                print(f"sluicegate: no request {args.request_id!r} in {', '.join(map(str, args.log))}", file=sys.stderr)
                return 1
            replayed = None if policy is None else _replayed(paths, line, policy)
    except PolicyError as error:
        print(error, file=sys.stderr)
        return WRONG
    except OSError as error:
        print(f"sluicegate: {error.filename or args.log[0]}: {error.strerror}", file=sys.stderr)
        return WRONG
    if args.json:
        told = {"line": line, "meters": [_data(meter) for meter in (replayed[1] if replayed is not None else ())]}
        print(json.dumps({**told, "unsaid": unsaid(line, replayed=policy is not None)}, indent=2))
    else:
        print(_text(line, policy, replayed))
    return 0


@contextmanager
def _files(paths: Sequence[Path], *, twice: bool) -> Iterator[list[Path]]:
    """The logs, with standard input as a file where they are to be read twice. Raises: OSError."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(spooled(sys.stdin.buffer)) if twice and path == STANDARD_INPUT else path
            for path in paths
        ]


def found_line(paths: Sequence[Path], request_id: str) -> dict[str, Any] | None:
    """The line of a request; of a call that outlived its client with what was told of it later. Raises: OSError."""
    found: dict[str, Any] | None = None
    settled: dict[str, Any] = {}
    for told in _told(paths, request_id):
        if told.get("msg") == _REQUEST:
            found = told
        elif told.get("msg") == _SETTLED:
            settled = told
        if found is not None and (settled or not is_open(found)):
            break
    return ended(found, settled) if found is not None and is_open(found) else found


def _told(paths: Sequence[Path], request_id: str) -> Iterator[dict[str, Any]]:
    """All that the logs tell by this id. Raises: OSError."""
    wanted = request_id.encode()
    for path in paths:
        for line in _lines(path):
            if wanted not in line:
                continue
            try:
                told = orjson.loads(line)
            except ValueError:
                continue
            if isinstance(told, dict) and told.get("id") == request_id:
                yield told


def _lines(path: Path) -> Iterator[bytes]:
    """Raises: OSError."""
    with opened(path) as (_, lines):
        while line := lines.readline(MAX_LINE):
            yield line


def _replayed(paths: Sequence[Path], line: dict[str, Any], policy: Policy) -> Replayed | None:
    """What a replay up to the request says to it; None where the gateway answers such by itself. Raises: OSError."""
    replay, progress = Replay(policy), Progress()
    try:
        with few_collections():
            for entry in AccessLog(paths, progress).requests():
                if entry.request_id == line["id"]:
                    judged = replay.judged(as_asked(entry, line))
                    return judged, meters(judged, replay.judge.tally, line, entry.start_ms)
                replay.judged(entry)
    finally:
        progress.close()
    return None


def _data(meter: Meter) -> dict[str, Any]:
    unit = meter.unit
    return {
        "name": meter.name,
        "unit": unit.value,
        "scope": meter.scope,
        "rate": meter.rate,
        "verdict": meter.verdict,
        "shadow": meter.shadow,
        "before": unit.number(meter.before),
        "asks": unit.number(meter.asks),
        "settled": None if meter.settled is None else unit.number(meter.settled),
        "after": unit.number(meter.after),
    }


def _text(line: dict[str, Any], policy: Policy | None, replayed: Replayed | None) -> str:
    lines = [f"{name:9} {printable(value)}" for name, value in facts(line)]
    if policy is not None:
        same = policy.version == line.get("policy")
        which = "the policy that it met" if same else f"policy {policy.version}, which is not the one that it met"
        lines += ["", f"as a replay of this log by {which} counts:", _replay_text(replayed)]
    lines += ["", "not in the line:"]
    lines += [f"  {one}" for one in unsaid(line, replayed=policy is not None)]
    return "\n".join(lines)


def _replay_text(replayed: Replayed | None) -> str:
    if replayed is None:
        return "  nothing: the gateway answered it by itself"
    judged, found = replayed
    if not found:
        return f"  no meter was asked: {', '.join(judged.by)}" if judged.by else "  no meter counts it"
    head = ["meter", "rate", "", "before it", "asks", "settled at", "after it"]
    rows: list[list[str | None]] = [
        [
            one.name + (" (shadow)" if one.shadow else ""),
            one.rate,
            one.verdict,
            one.unit.text(one.before),
            one.unit.text(one.asks),
            None if one.settled is None else one.unit.text(one.settled),
            one.unit.text(one.after),
        ]
        for one in found
    ]
    if judged.ruling is None or judged.ruling.call is None:  # only calls are settled
        del head[5]
        for row in rows:
            del row[5]
    return aligned(head, rows, 3)
