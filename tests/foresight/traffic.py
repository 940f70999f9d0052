"""Traffic of a small SaaS over some days, from a seed: as it might be, and the same each time."""

import random
from collections.abc import Iterator

from tests.foresight.lines import line

DAY_S = 86_400
TIERS = {"enterprise": 9.0, "growth": 6.0, "trial": 4.0}  # requests a minute, while somebody works


def moments_of(
    days: int, *, users: int, sessions: int, seed: int, quiet: frozenset[int] = frozenset()
) -> Iterator[tuple[float, int, str]]:
    """(seconds after the first noon's midnight, user, tier) by time.

    Each user comes some times a day, works for some minutes, and knows of no limit. On ``quiet`` days of the week (the
    log begins on a Monday) only every third user of each tier comes.
    """
    rng = random.Random(seed)
    tiers = list(TIERS)
    for day in range(days):
        moments: list[tuple[float, int]] = []
        for user in range(users):
            if day % 7 in quiet and user // len(tiers) % 3:
                continue
            for session in range(sessions):
                pace = TIERS[tiers[user % len(tiers)]] / 60
                at_s = (session + rng.uniform(0, 0.9)) * DAY_S / sessions  # one at a time
                end_s = at_s + rng.uniform(120, 1200)
                while (at_s := at_s + rng.expovariate(pace)) < end_s:
                    moments.append((day * DAY_S - DAY_S // 2 + at_s, user))
        for at_s, user in sorted(moments):
            yield at_s, user, tiers[user % len(tiers)]


def lines_of(days: int, *, users: int, sessions: int, seed: int) -> Iterator[bytes]:
    """The same as log lines."""
    for at_s, user, tier in moments_of(days, users=users, sessions=sessions, seed=seed):
        yield line(at_s, user=f"u{user}", tenant=f"{tier}-{user % 20}", tier=tier, ip=f"10.0.{user >> 8}.{user & 255}")
