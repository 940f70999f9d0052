"""What a replay found, as data and as text. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.core.units import dollars
from proxy.foresight.accesslog import Log
from proxy.foresight.replaying import Differences, Replay, Sums
from proxy.foresight.wording import moment_text, share_text, usd_text

ROWS: Final = 20  # of a table, where all are not asked for


@dataclass(frozen=True, slots=True)
class Under:
    """One policy's replay, and what it is called."""

    name: str
    replay: Replay

    @property
    def sums(self) -> Sums:
        return self.replay.sums


Table = tuple[tuple[str, ...], list[tuple[str | None, ...]], int]  # head, rows, columns of words


def summary(under: Under) -> list[str]:
    """Two lines or three."""
    sums = under.sums
    lines = [
        f"{under.name} (policy {under.replay.policy.version}): {sums.requests:,} requests, "
        f"{sums.refused:,} refused ({share_text(sums.refused, sums.requests)})"
    ]
    if sums.nanousd or sums.refused_nanousd:
        lines.append(
            f"  calls let through cost {usd_text(sums.nanousd)}; "
            f"those refused would have cost {usd_text(sums.refused_nanousd)}"
        )
    if sums.downgraded:
        lines.append(f"  of those refused {sums.downgraded:,} would have been asked again for a cheaper model")
    lines += [f"  {name}, in shadow, would have refused {count:,}" for name, count in sums.shadow.most_common()]
    return lines


def refusals(under: Under, rows: int | None = ROWS) -> Table:
    """By tenant and limit."""
    head = ("tenant", "refused by", "first (UTC)", "its id", "requests", "refused", "share", "cost refused")
    found: list[tuple[str | None, ...]] = []
    for tenant, name, sums, one in under.sums.rows():
        if rows is not None and len(found) == rows:
            break
        share = share_text(one.count, sums.requests)
        cells = (tenant, name, moment_text(one.first_ms), one.first_id or None, f"{sums.requests:,}", f"{one.count:,}")
        found.append((*cells, share, usd_text(one.nanousd) if one.nanousd else None))
    return head, found, 4


def against(old: Under, new: Under, rows: int | None = ROWS) -> Table:
    """By tenant and limit, the largest change first."""
    counts: dict[tuple[str | None, str], list[int]] = {}
    for place, under in enumerate((old, new)):
        for tenant, name, _, one in under.sums.rows():
            counts.setdefault((tenant, name), [0, 0])[place] += one.count
    changed = [(key, was, now) for key, (was, now) in counts.items() if was != now]
    changed.sort(key=lambda row: (-abs(row[2] - row[1]), row[0][0] or "", row[0][1]))
    head = ("tenant", "refused by", old.name, new.name, "difference")
    return (
        head,
        [(tenant, name, f"{was:,}", f"{now:,}", f"{now - was:+,}") for (tenant, name), was, now in changed[:rows]],
        2,
    )


def moved(differences: Differences, rows: int | None = ROWS) -> Table:
    """Which requests change sides, by tenant and route."""
    found = sorted(differences.by.items(), key=lambda row: (-sum(row[1]), row[0][0] or "", row[0][1]))
    head = ("tenant", "route", "newly refused", "newly admitted")
    return head, [(tenant, route, f"{less:,}", f"{more:,}") for (tenant, route), (less, more) in found[:rows]], 2


def first_unreadable(log: Log) -> str:
    """The first few, to be put behind what is told of all; nothing where all could be read."""
    first = "; ".join(f"{file}:{line}: {why}" for file, line, why in log.reading.told)
    return first and f": {first}"


def left_out(log: Log, under: Under) -> list[str]:
    """What was not judged, or not as it was."""
    reading = log.reading
    notes = []
    if reading.unreadable:
        notes.append(f"{reading.unreadable:,} lines could not be read{first_unreadable(log)}")
    if reading.others:
        notes.append(f"{reading.others:,} lines tell of no request")
    if log.own:
        notes.append(f"{log.own:,} requests are answered by the gateway itself: preflights and its own paths")
    if log.late:
        notes.append(f"{log.late:,} lines came too late to be put in order: judged when they came")
    return notes + under.replay.notes()


def as_data(log: Log, unders: Sequence[Under], differences: Differences | None) -> dict[str, Any]:
    """All of it, for programs; money in dollars as text."""
    told: dict[str, Any] = {
        "lines": log.reading.lines,
        "unreadable": log.reading.unreadable,
        "late": log.late,
        "doubt": log.doubt,
        "policies": [_policy_data(under, log) for under in unders],
    }
    if differences is not None:
        told["difference"] = {
            "newly_refused": differences.newly_refused,
            "newly_admitted": differences.newly_admitted,
            "by": [
                {"tenant": tenant, "route": route, "newly_refused": less, "newly_admitted": more}
                for (tenant, route), (less, more) in differences.by.items()
            ],
        }
    return told


def _policy_data(under: Under, log: Log) -> dict[str, Any]:
    sums = under.sums
    return {
        "policy": under.name,
        "version": under.replay.policy.version,
        "requests": sums.requests,
        "refused": sums.refused,
        "kept": sums.kept,
        "downgraded": sums.downgraded,
        "cost_usd": dollars(sums.nanousd),
        "refused_usd": dollars(sums.refused_nanousd),
        "shadow_refused": dict(sums.shadow),
        "refusals": [
            {
                "tenant": tenant,
                "by": name,
                "requests": tenant_sums.requests,
                "refused": one.count,
                "refused_usd": dollars(one.nanousd),
                "first_ms": one.first_ms,
                "first_id": one.first_id or None,
            }
            for tenant, name, tenant_sums, one in sums.rows()
        ],
        "notes": left_out(log, under),
    }
