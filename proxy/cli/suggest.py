"""`sluicegate suggest`: limits by real use, as a policy that `check` accepts; what it would refuse stands before it.

Exit codes: 0 told, 1 the backtest missed by more than `--within`, for a tier or in total, 2 a wrong call, a file that
is not there or is wrong, or a log that `--within` cannot be judged by.
"""

import argparse
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from proxy.cli.progress import Progress
from proxy.cli.replay import WRONG, few_collections
from proxy.cli.tables import aligned, printable
from proxy.core.units import UnitError, format_duration, parse_duration_ms
from proxy.foresight.accesslog import AccessLog, Log
from proxy.foresight.backtest import Backtest, Prediction, later_from, prediction
from proxy.foresight.logfile import STANDARD_INPUT
from proxy.foresight.loglines import Entry
from proxy.foresight.replaying import Replay
from proxy.foresight.replayreport import first_unreadable
from proxy.foresight.rewriting import NotFound, overlay_of, plain_policy, with_rates
from proxy.foresight.suggesting import (
    FEWEST_CALLERS,
    FEWEST_REQUESTS,
    MEASURED,
    Demand,
    Few,
    LimitTier,
    rates_text,
    suggested_rates,
)
from proxy.foresight.wording import rate_text, share_text, written_rate
from proxy.policy.compiler import Loaded, compile_text
from proxy.policy.model import MeterKind, Policy
from proxy.policy.problems import PolicyError

_FEWEST: Final = f"{FEWEST_REQUESTS} requests of {FEWEST_CALLERS} callers of a tier on the days that are fitted"


def main(args: argparse.Namespace) -> int:
    if STANDARD_INPUT in args.log:
        print("sluicegate: the log is read more than once: standard input will not do", file=sys.stderr)
        return WRONG
    if args.within is not None and not args.backtest:
        print("sluicegate: --within is for what a backtest finds: say --backtest DAYS", file=sys.stderr)
        return WRONG
    try:
        with few_collections():
            return _suggest(args)
    except PolicyError as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"sluicegate: {error.filename or args.log[0]}: {error.strerror or error}", file=sys.stderr)
    except (NotFound, UnitError) as error:
        print(f"sluicegate: {error}", file=sys.stderr)
    return WRONG


def _suggest(args: argparse.Namespace) -> int:
    """Raises: OSError, PolicyError, NotFound, UnitError."""
    name = str(args.config or "policy.yaml")
    if args.config is not None:
        text = args.config.read_text(encoding="utf-8")
    else:
        window = format_duration(parse_duration_ms(args.window))
        tiers: set[str] = set()
        _read(args.log, lambda entry: tiers.add(entry.tier))
        text = plain_policy(sorted(tiers), window)
    loaded = _compiled(text, name, args.overlay)
    policy = loaded.policy
    judges = args.config is not None  # what is made here names no issuers: they are for its reader to fill in
    demand = Demand(policy, judges)
    read = _read(args.log, demand.add)
    if read.nothing is not None:
        print(f"sluicegate: {', '.join(map(str, args.log))}: {read.nothing}{first_unreadable(read)}", file=sys.stderr)
        return WRONG
    if not demand.days:
        print("sluicegate: no request of the log came as far as a limit", file=sys.stderr)
        return WRONG
    if len(demand.days) <= args.backtest:
        days = len(demand.days)
        print(f"sluicegate: the log has {days} days; --backtest {args.backtest} leaves none to fit", file=sys.stderr)
        return WRONG
    few = demand.few(args.backtest)
    uses = {key: use for key, use in demand.fitted(args.percentile, args.backtest).items() if key not in few}
    rates = suggested_rates(policy, uses)
    if not rates:
        print(f"sluicegate: nothing to suggest by: it takes {_FEWEST}", file=sys.stderr)
        return WRONG
    texts = {limit: rates_text(by_tier) for limit, by_tier in rates.items()}
    if len(loaded.document.files) > 1:
        in_flight = [limit.name for limit in policy.limits.values() if limit.kind is MeterKind.CONCURRENCY]
        suggested, text = _overlaid(text, name, args.overlay, overlay_of(texts, in_flight))
    else:
        text = with_rates(text, texts)
        suggested = _compiled(text, name).policy
    backtest = Backtest(Replay(suggested, judges_issuers=judges), later_from(demand.days, args.backtest))
    log = _read(args.log, backtest.add)
    told = [*_told(args, policy, suggested, backtest, len(demand.days)), *_few_lines(few)]
    print("\n".join(f"# {line}".rstrip() for line in told))
    print(text, end="")
    if log.doubt is not None:
        print(f"sluicegate: {log.doubt}", file=sys.stderr)
        if args.within is not None:
            return WRONG
    missed = [] if args.within is None else list(backtest.missed(args.within))
    for key, one in missed:
        print(f"sluicegate: {_missed_text(key, one)}", file=sys.stderr)
    return int(bool(missed))


def _missed_text(key: LimitTier | None, one: Prediction) -> str:
    which = "in total" if key is None else f"{key[0]} for {printable(key[1])}"
    why = "so few are told no better" if one.is_chance else "which is more than chance explains"
    return f"{which}: {one.predicted:,.0f} ± {one.margin:,.0f} predicted, {one.refused:,} refused, {why}"


def _compiled(text: str, name: str, overlays: Sequence[Path] = ()) -> Loaded:
    return compile_text(text, name, os.environ, base=Path(name).parent, overlays=overlays, allow_missing_secrets=True)


def _overlaid(text: str, name: str, overlays: Sequence[Path], suggested: str) -> tuple[Policy, str]:
    """The policy of several files with what is suggested over it; whoever keeps that in a file has the same."""
    with NamedTemporaryFile("w", prefix="suggested-", suffix=".yaml") as file:
        file.write(suggested)
        file.flush()
        return _compiled(text, name, [*overlays, Path(file.name)]).policy, suggested


def _read(paths: Sequence[Path], hear: Callable[[Entry], None]) -> Log:
    """Raises: OSError."""
    progress = Progress()
    files = AccessLog(paths, progress)
    for entry in files.requests():
        hear(entry)
    progress.close()
    return files.log


def _told(args: argparse.Namespace, old: Policy, new: Policy, backtest: Backtest, days: int) -> list[str]:
    fitted = days - args.backtest
    lines = [f"Limits at the {args.percentile:g}th percentile of each tier's use on {fitted} days."]
    head = ["limit", "tier", "now", "suggested", "requests", "refused", "share"]
    if args.backtest:
        head += ["later: requests", "predicted", "", "refused", "off by"]
    rows: list[list[str | None]] = []
    for (limit, tier), found in sorted(backtest.by.items(), key=lambda one: (new.limits[one[0][0]].index, one[0][1])):
        was, now = (rate_text(written_rate(policy.limits[limit].rates[tier])) for policy in (old, new))
        share = share_text(found.refused, found.requests)
        rows.append(
            [limit, tier, was if args.config else None, now, f"{found.requests:,}", f"{found.refused:,}", share]
        )
        if args.backtest:
            one = prediction([found])
            rows[-1] += [f"{found.later_requests:,}", f"{one.predicted:,.0f}", f"± {one.margin:,.0f}"]
            rows[-1] += [f"{one.refused:,}", _error_text(one)]
    lines += aligned(head, rows, 4).splitlines()
    if args.backtest:
        whole = backtest.total()
        lines.append(
            f"On {args.backtest} later days it refuses {whole.refused:,}; predicted were {whole.predicted:,.0f} "
            f"± {whole.margin:,.0f}, off by {_error_text(whole)}."
        )
    left = [limit.name for limit in old.limits.values() if limit.kind not in MEASURED or limit.tokens]
    if left:
        lines.append(f"As they were, since requests alone do not tell their use: {', '.join(left)}.")
    lines += [f"note: {printable(note)}" for note in backtest.replay.notes()]
    return lines


def _few_lines(few: Mapping[LimitTier, Few]) -> list[str]:
    if not few:
        return []
    lines = [f"As they were, since it takes {_FEWEST}:"]
    for (limit, tier), one in sorted(few.items()):
        callers = (
            f"{one.callers} caller{'s' * (one.callers != 1)}" if one.callers < FEWEST_CALLERS else "enough callers"
        )
        lines.append(f"  {limit} for {printable(tier)}: {one.requests:,} requests of {callers}")
    return lines


def _error_text(one: Prediction) -> str:
    return f"{one.error:.1%}" if math.isfinite(one.error) else "all"
