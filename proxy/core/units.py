"""Units as ops write them: durations ``250ms 5s 10m 1h 1d``, sizes ``10MiB``, rates ``600/1m``, numbers ``2_000_000``.

Inside the program a duration is integer milliseconds, a size bytes, money nano-dollars. Pure.
"""

import re
from typing import Final, NewType

Millis = NewType("Millis", int)
NanoUsd = NewType("NanoUsd", int)

DURATIONS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
SIZES: Final = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
NANOS: Final = 1_000_000_000  # nano-dollars in a dollar
MAX_DURATION_MS: Final = 366 * DURATIONS_MS["d"]

_NUMBER_UNIT = re.compile(r"\s*([0-9][0-9_]*(?:\.[0-9]+)?)\s*([A-Za-zµ]*)\s*")


class UnitError(ValueError):
    """A value that is not in its unit; the message says what would be right."""


def _split(text: str, what: str, units: dict[str, int]) -> tuple[str, str]:
    found = _NUMBER_UNIT.fullmatch(text)
    if found is None:
        raise UnitError(f"{text!r} is not a {what}; write a number and one of {', '.join(units)}")
    number, unit = found.groups()
    if unit not in units:
        given = f"unknown unit {unit!r}" if unit else "a unit is missing"
        raise UnitError(f"{text!r}: {given}; one of {', '.join(units)}")
    return number.replace("_", ""), unit


def _scaled(number: str, factor: int, text: str, smallest: str) -> int:
    whole, _, fraction = number.partition(".")
    scaled = int(whole) * factor
    if fraction:
        part, rest = divmod(int(fraction) * factor, 10 ** len(fraction))
        if rest:
            raise UnitError(f"{text!r} is not a whole number of {smallest}")
        scaled += part
    return scaled


def parse_duration_ms(text: str) -> Millis:
    """``"1.5s"`` → 1500. Raises: UnitError when the unit is unknown or it is not a whole number of milliseconds."""
    number, unit = _split(text, "duration", DURATIONS_MS)
    value = _scaled(number, DURATIONS_MS[unit], text, "ms")
    if value > MAX_DURATION_MS:
        raise UnitError(f"{text!r} is longer than 366 days")
    return Millis(value)


def parse_size(text: str) -> int:
    """``"10MiB"`` → 10485760 bytes. Raises: UnitError."""
    number, unit = _split(text, "size", SIZES)
    return _scaled(number, SIZES[unit], text, "bytes")


def parse_count(text: str) -> int:
    """``"2_000_000"`` → 2000000. Raises: UnitError when it is not a whole number."""
    if not re.fullmatch(r"[0-9][0-9_]*", text.strip()):
        raise UnitError(f"{text!r} is not a whole number")
    return int(text.replace("_", ""))


def format_duration(ms: int) -> str:
    """The shortest exact spelling: 60000 → ``1m``, 90000 → ``90s``, 0 → ``0s``."""
    if ms == 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        if ms % DURATIONS_MS[unit] == 0:
            return f"{ms // DURATIONS_MS[unit]}{unit}"
    return f"{ms}ms"


def dollars(nanousd: int, *, grouped: bool = False) -> str:
    """An amount in dollars, exact: 1_500_000_000 → ``1.50``, 30_000 → ``0.00003``. ``grouped``: as people read it,
    ``1,234.00``; what programs read has no commas."""
    sign = "-" if nanousd < 0 else ""
    whole, part = divmod(abs(nanousd), NANOS)
    return f"{sign}{whole:{',' if grouped else ''}}.{f'{part:09d}'.rstrip('0'):0<2}"
