"""`sluicegate test`: a policy's tests, without a gateway, a Redis or a network.

Exit codes: 0 all passed, 1 some failed, 2 a file that is not there or is wrong.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from proxy.cli.tables import printable
from proxy.foresight.testfile import TestDocument, load
from proxy.foresight.trial import run
from proxy.policy.compiler import load as load_policy
from proxy.policy.model import Policy
from proxy.policy.problems import PolicyError, shown

DEFAULT_POLICY = "config.yaml"


@dataclass(frozen=True, slots=True)
class Result:
    """One test's: ``mismatches`` are (line, place, message)."""

    name: str
    line: int
    mismatches: tuple[tuple[int, str, str], ...]
    took_s: float


def main(args: argparse.Namespace) -> int:
    try:
        tests = load(args.tests)
        config = args.config or args.tests.parent / (tests.file.policy or DEFAULT_POLICY)
        policy = load_policy(config, os.environ, overlays=args.overlay, allow_missing_secrets=True).policy
    except PolicyError as error:
        print(error, file=sys.stderr)
        return 2
    results = _results(tests, policy)
    failed = [result for result in results if result.mismatches]
    for result in results:
        _tell(args.tests, result, quiet=args.quiet)
    if args.junit is not None:
        try:
            args.junit.write_bytes(junit(results, str(args.tests)))
        except OSError as error:
            print(f"sluicegate: {args.junit}: {error.strerror}", file=sys.stderr)
            return 2
    took_ms = sum(result.took_s for result in results) * 1000
    print(
        f"{args.tests}: {len(results) - len(failed)} passed, {len(failed)} failed "
        f"by {config} (policy {policy.version}) in {took_ms:.0f} ms"
    )
    return 1 if failed else 0


def _results(tests: TestDocument, policy: Policy) -> list[Result]:
    found = []
    for index, test in enumerate(tests.file.tests):
        at_ms = test.at if test.at is not None else tests.file.at
        now_ms = at_ms if at_ms is not None else time.time_ns() // 1_000_000
        started_s = time.perf_counter()
        mismatches = run(policy, test, now_ms)
        took_s = time.perf_counter() - started_s
        path = ("tests", index)
        told = tuple((tests.line((*path, *one.path)), shown(one.path), one.message) for one in mismatches)
        found.append(Result(test.name, tests.line(path), told, took_s))
    return found


def _tell(file: Path, result: Result, *, quiet: bool) -> None:
    if not result.mismatches:
        if not quiet:
            print(f"ok    {printable(result.name)}")
        return
    print(f"FAIL  {printable(result.name)}")
    for line, place, message in result.mismatches:
        print(f"      {file}:{line}: {place}: {printable(message)}")


def junit(results: list[Result], file: str) -> bytes:
    """The report that CI servers read."""
    failed = sum(bool(result.mismatches) for result in results)
    took_s = sum(result.took_s for result in results)
    suite = ET.Element(
        "testsuite", name=file, tests=str(len(results)), failures=str(failed), errors="0", time=f"{took_s:.4f}"
    )
    for result in results:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=file,
            name=printable(result.name),
            file=file,
            line=str(result.line),
            time=f"{result.took_s:.4f}",
        )
        if result.mismatches:
            lines = [f"{file}:{line}: {place}: {printable(message)}" for line, place, message in result.mismatches]
            ET.SubElement(case, "failure", message=lines[0]).text = "\n".join(lines)
    written: bytes = ET.tostring(suite, encoding="utf-8", xml_declaration=True)
    return written
