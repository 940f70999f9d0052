"""HTTP-date in its three forms (RFC 9110 §5.6.7), and how old an answer was when it came (RFC 9111 §4.2.3, §5.1).

Pure, never raises. Case is ignored, the day's name is not looked at beyond being one, and a zone other than GMT makes
a date invalid (RFC 9111 §4.2).
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from proxy.cache.directives import seconds_ms

_MONTHS: Final = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")
_MONTH: Final = {name: number for number, name in enumerate(_MONTHS, 1)}
_NAMES: Final = b"|".join(_MONTHS)
_CLOCK: Final = rb"(?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d)"
_FORMS: Final = (
    re.compile(  # IMF-fixdate
        rb"(?:mon|tue|wed|thu|fri|sat|sun), (?P<day>\d\d) (?P<month>%s) (?P<year>\d{4}) %s gmt" % (_NAMES, _CLOCK)
    ),
    re.compile(  # RFC 850
        rb"(?:mon|tues|wednes|thurs|fri|satur|sun)day, (?P<day>\d\d)-(?P<month>%s)-(?P<year>\d\d) %s gmt"
        % (_NAMES, _CLOCK)
    ),
    re.compile(  # asctime
        rb"(?:mon|tue|wed|thu|fri|sat|sun) (?P<month>%s) (?P<day>[ \d]\d) %s (?P<year>\d{4})" % (_NAMES, _CLOCK)
    ),
)
_CENTURY: Final = 100
_HORIZON: Final = 50  # years that a date with two digits may lie ahead
_DAYS: Final = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")


def parse_date(value: bytes, now_ms: int) -> int | None:
    """Epoch ms, or None where it is no HTTP-date. ``now_ms`` says which century two digits mean."""
    value = value.strip(b" \t").lower()
    for form in _FORMS:
        match = form.fullmatch(value)
        if match is not None:
            break
    else:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        year = _full_year(year, datetime.fromtimestamp(now_ms / 1000, UTC).year)
    try:
        moment = datetime(
            year,
            _MONTH[match["month"]],
            int(match["day"]),
            int(match["h"]),
            int(match["m"]),
            min(int(match["s"]), 59) if match["s"] == b"60" else int(match["s"]),  # a leap second is not to be counted
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return int(moment.timestamp()) * 1000


def format_date(epoch_ms: int) -> bytes:
    """As IMF-fixdate, the second begun."""
    moment = datetime.fromtimestamp(epoch_ms // 1000, UTC)
    return b"%s, %02d %s %04d %02d:%02d:%02d GMT" % (
        _DAYS[moment.weekday()],
        moment.day,
        _MONTHS[moment.month - 1].capitalize(),
        moment.year,
        moment.hour,
        moment.minute,
        moment.second,
    )


def parse_age_ms(lines: Sequence[bytes]) -> int:
    """An answer's Age. Of several the first one counts, one that is no number is ignored (RFC 9111 §5.1)."""
    return seconds_ms(lines[0].partition(b",")[0].strip(b" \t")) or 0 if lines else 0


def initial_age_ms(age_ms: int, date_ms: int, requested_ms: int, received_ms: int) -> int:
    """corrected_initial_age (RFC 9111 §4.2.3): whichever is more, the Date's or the Age's word with the delay."""
    apparent = max(received_ms - date_ms, 0)
    return max(apparent, age_ms + max(received_ms - requested_ms, 0))


def _full_year(two_digits: int, this_year: int) -> int:
    """More than 50 years ahead means the most recent year in the past that ends so (RFC 9110 §5.6.7)."""
    year = this_year - this_year % _CENTURY + two_digits
    if year > this_year + _HORIZON:
        return year - _CENTURY
    return year
