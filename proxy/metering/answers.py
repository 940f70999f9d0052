"""How meters look to a client: RateLimit fields, Retry-After, and what a refusal's body says. Pure.

draft-ietf-httpapi-ratelimit-headers-11 (``RateLimit-Policy``, ``RateLimit``), RFC 9110 §10.2.3 (``Retry-After``),
RFC 8941 (structured fields). The draft still moves: it is spoken here and nowhere else. Limits in shadow are not
shown: they refuse nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.metering.takes import Take
from proxy.policy.model import MILLI, LegacyReset, Limit, MeterKind, Rate

Field = tuple[bytes, bytes]

LONGEST_RETRY_MS: Final = 60_000  # the SDKs that obey Retry-After do so up to 60 s; above, waiting is for humans


@dataclass(frozen=True, slots=True)
class FieldForms:
    """What of the fields is known before a decision: ``rate_limit`` is a form with r (and t) of each shown limit."""

    policy: bytes  # empty: nothing is shown
    rate_limit: bytes
    shown: tuple[tuple[int, bool], ...]  # (place of the limit's answer in Decision.meters, has t)
    names: tuple[bytes, ...]
    legacy: LegacyReset
    quotas: tuple[int, ...]


def _quoted(name: str) -> bytes:
    """A structured-field String (RFC 8941 §3.3.3). Raises: UnicodeEncodeError: policies allow ASCII names only."""
    return b'"' + name.replace("\\", "\\\\").replace('"', '\\"').encode("ascii") + b'"'


def _parameters(rate: Rate, take: Take) -> bytes:
    quota = rate.capacity // MILLI
    if take.kind is MeterKind.CONCURRENCY:
        return b'q=%d;qu="concurrent-requests"' % quota
    window_ms = take.b - take.a if take.kind is MeterKind.CALENDAR else rate.window_ms
    return b"q=%d;w=%d" % (quota, -(-window_ms // 1000))


def field_forms(
    limits: Sequence[Limit], rates: Sequence[Rate], takes: Sequence[Take], legacy: LegacyReset
) -> FieldForms:
    """The forms of a plan's fields."""
    shown = [place for place, take in enumerate(takes) if not take.shadow]
    names = [_quoted(limits[place].name) for place in shown]
    timed = [takes[place].kind is not MeterKind.CONCURRENCY for place in shown]
    return FieldForms(
        policy=b", ".join(
            b"%b;%b" % (name, _parameters(rates[place], takes[place])) for name, place in zip(names, shown, strict=True)
        ),
        rate_limit=b", ".join(
            name.replace(b"%", b"%%") + (b";r=%d;t=%d" if has_t else b";r=%d")
            for name, has_t in zip(names, timed, strict=True)
        ),
        shown=tuple((3 * place, has_t) for place, has_t in zip(shown, timed, strict=True)),
        names=tuple(names),
        legacy=legacy,
        quotas=tuple(rates[place].capacity // MILLI for place in shown),
    )


def rate_limit_fields(forms: FieldForms, meters: Sequence[float], now_ms: int) -> list[Field]:
    """The fields of any answer that a decision stands behind.

    ``meters`` is a decision's (verdict, remaining, delay_ms) by limit, flat; a remaining of -1 is not known (a refusal
    that was remembered) and its limit is left out. ``now_ms``: epoch, for the legacy reset.
    """
    if not forms.policy:
        return []
    values: list[float] = []
    for place, has_t in forms.shown:
        remaining = meters[place + 1]
        if remaining < 0:
            return _known_fields(forms, meters, now_ms)
        values.append(remaining // MILLI)
        if has_t:
            values.append(-(-meters[place + 2] // 1000))
    fields = [(b"RateLimit-Policy", forms.policy), (b"RateLimit", forms.rate_limit % tuple(values))]
    return fields if forms.legacy is LegacyReset.OFF else fields + _legacy_fields(forms, meters, now_ms)


def _known_fields(forms: FieldForms, meters: Sequence[float], now_ms: int) -> list[Field]:
    items = []
    for name, (place, has_t) in zip(forms.names, forms.shown, strict=True):
        if meters[place + 1] >= 0:
            reset = b";t=%d" % -(-meters[place + 2] // 1000) if has_t else b""
            items.append(b"%b;r=%d%b" % (name, meters[place + 1] // MILLI, reset))
    fields = [(b"RateLimit-Policy", forms.policy)]
    if items:
        fields.append((b"RateLimit", b", ".join(items)))
    return fields if forms.legacy is LegacyReset.OFF else fields + _legacy_fields(forms, meters, now_ms)


def _legacy_fields(forms: FieldForms, meters: Sequence[float], now_ms: int) -> list[Field]:
    """X-RateLimit-* can speak of one limit only: the one of which least is left."""
    known = [
        (meters[place + 1], -meters[place + 2], quota)
        for quota, (place, _) in zip(forms.quotas, forms.shown, strict=True)
        if meters[place + 1] >= 0
    ]
    if not known:
        return []
    remaining, negative_delay, quota = min(known)
    delay_s = -(negative_delay // 1000)
    reset = delay_s if forms.legacy is LegacyReset.DELTA else now_ms // 1000 + delay_s
    return [
        (b"X-RateLimit-Limit", b"%d" % quota),
        (b"X-RateLimit-Remaining", b"%d" % (remaining // MILLI)),
        (b"X-RateLimit-Reset", b"%d" % reset),
    ]


def retry_fields(retry_after_ms: int | None) -> list[Field]:
    """The fields that tell a refused client when to come again; None: never, in this form."""
    if retry_after_ms is None:
        return [(b"x-should-retry", b"false")]
    fields = [
        (b"Retry-After", b"%d" % max(1, -(-retry_after_ms // 1000))),
        (b"retry-after-ms", b"%d" % max(1, retry_after_ms)),
    ]
    if retry_after_ms > LONGEST_RETRY_MS:
        fields.append((b"x-should-retry", b"false"))
    return fields
