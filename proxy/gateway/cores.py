"""How many cores a gateway has: those that it may run on, and of them only what its cgroup's quota pays for.

A container of a machine with eight cores and a quota of two sees all eight; eight workers in it would be stopped for
most of each period, with the memory of eight. A quota may stand at any level above the process, and the least one
holds. Sources: the kernel's admin-guide/cgroup-v2.rst (``cpu.max``) and scheduler/sched-bwc.rst (``cpu.cfs_quota_us``).
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
MEMBERSHIP: Final = Path("/proc/self/cgroup")


def usable(runs_on: int, shares: float | None) -> int:
    """At least one. ``shares``: of a core, None without a quota; what is begun of a core counts as one."""
    return runs_on if shares is None else max(1, min(runs_on, math.ceil(shares)))


def cores() -> int:
    """Of this process, as the kernel tells it."""
    return usable(len(os.sched_getaffinity(0)), quota())


def quota(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float | None:
    """The least of those above the process, in cores."""
    return min((shares for folder in _folders(root, membership) if (shares := _of(folder)) is not None), default=None)


def _folders(root: Path, membership: Path) -> Iterator[Path]:
    """From the process' own cgroup upwards; where a container sees itself as the root, some may not be there."""
    for line in (_text(membership) or "").splitlines():
        _, controllers, name = line.split(":", 2)
        if not controllers:
            base = root
        elif "cpu" in controllers.split(","):
            base = root / "cpu"  # a link to cpu,cpuacct where they are mounted together
        else:
            continue
        own = PurePosixPath(name.lstrip("/"))
        for level in (own, *own.parents):
            yield base / level


def _of(folder: Path) -> float | None:
    """Nothing that is not two whole numbers is a quota: ``max`` in version 2, ``-1`` in version 1."""
    if (both := _text(folder / "cpu.max")) is not None:
        time_us, _, period_us = both.strip().partition(" ")
    else:
        time_us, period_us = ((_text(folder / f"cpu.cfs_{name}_us") or "").strip() for name in ("quota", "period"))
    if not (time_us.isdecimal() and period_us.isdecimal() and int(period_us)):
        return None
    return int(time_us) / int(period_us)


def _text(path: Path) -> str | None:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return None
