"""Histories by chance: the same ones in every quick run, others in each run with SLUICEGATE_FUZZ=1.

A run that decides must be green or red for its change's sake alone; what it never tries, ``.ci/fuzz`` does. What fails
there names its seed, or the blob for hypothesis' ``reproduce_failure``.
"""

import os
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from hypothesis import HealthCheck, settings

FUZZ: Final = os.environ.get("SLUICEGATE_FUZZ") == "1"
FACTOR: Final = 2

settings.register_profile(
    "quick",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # a machine under load is no fault of a test
)
settings.register_profile("fuzz", settings.get_profile("quick"), derandomize=False, database=None, print_blob=True)


def examples(quick: int) -> int:
    """How many histories instead of a quick run's."""
    return quick * FACTOR if FUZZ else quick


def seeds(quick: int) -> Iterable[int]:
    """Of a quick run the first few, else as many more by chance."""
    return (random.SystemRandom().randrange(2**32) for _ in range(examples(quick))) if FUZZ else range(quick)


@contextmanager
def named(seed: int) -> Iterator[random.Random]:
    """Chance from this seed, which a failure names."""
    try:
        yield random.Random(seed)
    except AssertionError as error:
        error.add_note(f"seed {seed}")
        raise
