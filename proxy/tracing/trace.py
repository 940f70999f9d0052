"""Traced requests: who decides that one is, and what its upstream is told. Pure.

A request that comes with a decision (sentry-trace, where Sentry hears of traces, or W3C's traceparent) keeps it, where
the policy heeds its sender, and as long as no more than half of all that may be made were asked for so. Of the others a
share is drawn by counting down to the next one, so that a request which is not drawn costs one subtraction. The gaps
are geometric: each request is drawn with the same chance. What is not traced passes on untouched whatever it brought.
There is one trace for all who hear of it: its id in the log leads to each of them.

Sources: https://develop.sentry.dev/sdk/telemetry/traces/, https://www.w3.org/TR/trace-context/,
https://www.w3.org/TR/baggage/.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf, log, log1p
from random import Random
from time import monotonic
from typing import Final
from urllib.parse import quote

from proxy.tracing.sampling import Sampling

MOST_MARKS: Final = 32
MOST_BAGGAGE: Final = 8192  # bytes (W3C Baggage §3.3.2)

SENTRY_TRACE: Final = "sentry-trace"
TRACEPARENT: Final = "traceparent"
BAGGAGE: Final = "baggage"
FORWARD: Final = "forward"  # the phase whose span the upstream's own belong to
_SENTRY_TRACE: Final = re.compile(r"\s*([0-9a-f]{32})-([0-9a-f]{16})(?:-([01]))?\s*")
_TRACEPARENT: Final = re.compile(r"\s*(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\s*")


@dataclass(frozen=True, slots=True)
class Incoming:
    trace_id: str
    span_id: str
    sampled: bool | None  # None: it leaves that to us
    form: str  # the field that said so


def incoming(headers: Mapping[str, str], *, sentry: bool = True) -> Incoming | None:
    """What a request says of the trace that it belongs to; Sentry's own field first, where that concerns us."""
    said = headers.get(SENTRY_TRACE) if sentry else None
    if said is not None and (found := _SENTRY_TRACE.fullmatch(said)) is not None and _real(found[1], found[2]):
        return Incoming(found[1], found[2], None if found[3] is None else found[3] == "1", SENTRY_TRACE)
    said = headers.get(TRACEPARENT)
    if said is not None and (found := _TRACEPARENT.fullmatch(said)) is not None and _real(found[2], found[3]):
        if found[1] == "00" and found[5]:
            return None
        return Incoming(found[2], found[3], bool(int(found[4], 16) & 1), TRACEPARENT)
    return None


def _real(trace_id: str, span_id: str) -> bool:
    return trace_id.strip("0") != "" and span_id.strip("0") != ""


@dataclass(frozen=True, slots=True)
class Phase:
    """What a traced request went through, as a span; times are monotonic seconds."""

    name: str
    span_id: str
    started_s: float
    ended_s: float


class Trace:
    """Of one request: where it belongs, who hears of it, and when each phase began. Times are monotonic seconds."""

    __slots__ = (
        "forward_id",
        "marks",
        "parent_id",
        "rate",
        "replaced",
        "span_id",
        "to_otlp",
        "to_sentry",
        "told",
        "trace_id",
    )

    def __init__(self, trace_id: str, parent_id: str, span_id: str, forward_id: str) -> None:
        self.trace_id = trace_id
        self.parent_id = parent_id  # "" for one that begins here
        self.span_id = span_id
        self.forward_id = forward_id  # of the span that the upstream's own belong to
        self.to_sentry = True
        self.to_otlp = False
        self.rate: float | None = None  # that it was drawn at for Sentry, here
        self.replaced: tuple[bytes, ...] = ()  # lower-case names of fields that the upstream does not get
        self.told: tuple[tuple[bytes, bytes], ...] = ()  # fields that it gets in their place
        self.marks: list[tuple[str, float]] = []

    def mark(self, phase: str) -> None:
        """It begins now, and ends where the next one does. "": nothing of note."""
        if len(self.marks) < MOST_MARKS:
            self.marks.append((phase, monotonic()))

    def phases(self, marks: Sequence[tuple[str, float]], ended_s: float) -> list[Phase]:
        """Of these marks of its own, as some may come when it has ended. Each has an id of its own."""
        found: list[Phase] = []
        forwarded = False
        ends = [start for _, start in marks[1:]] + [ended_s]
        for number, ((name, start), end) in enumerate(zip(marks, ends, strict=False), 1):
            span_id = f"{int(self.span_id, 16) ^ number:016x}"
            if name == FORWARD and not forwarded:
                forwarded, span_id = True, self.forward_id
            if name:
                found.append(Phase(name, span_id, start, max(start, end)))
        return found


class Tracer:
    """Draws for one worker, under one policy."""

    def __init__(
        self,
        sampling: Sampling,
        random: Random,
        over: Callable[[], None],
        most_per_s: int,
        heeds: Callable[[str], bool],
    ) -> None:
        """``over`` is told of each trace that is not made, as too many are; ``heeds``: whether a decision counts that
        comes from this address."""
        self._sampling = sampling
        self.rate = sampling.rate
        self._random = random
        self._over = over
        self._heeds = heeds
        self._most_per_s = most_per_s
        self._most_asked_per_s = max(1, most_per_s // 2)  # the rest nobody takes from those that are drawn
        self._second = 0
        self._made = self._asked = 0
        self.left: float = self._gap()  # requests until the one that is drawn; 1: the next is

    def _gap(self) -> float:
        if self.rate <= 0:
            return inf
        if self.rate >= 1:
            return 1
        return max(1, ceil(log(1.0 - self._random.random()) / log1p(-self.rate)))

    def begin(self, headers: Mapping[str, str], now_s: float, peer: str = "") -> Trace | None:
        """Of a request that begins, from whoever is at the connection's other end. None: it is not traced."""
        self.left -= 1
        drawn = self.left < 1
        if drawn:
            self.left = self._gap()
        asked = False
        if SENTRY_TRACE in headers or TRACEPARENT in headers:
            said = incoming(headers, sentry=self._sampling.sentry is not None)
            if said is not None and said.sampled is not None:
                if self._heeds(peer):
                    drawn = asked = said.sampled
                else:
                    said = replace(said, sampled=None)  # whose trace it belongs to is believed all the same
        elif not drawn:
            return None
        else:
            said = None
        if not drawn or not self._may(now_s, asked):
            return None
        return self._made_of(said, headers)

    def _may(self, now_s: float, asked: bool) -> bool:
        second = int(now_s)
        if second != self._second:
            self._second, self._made, self._asked = second, 0, 0
        if self._made >= self._most_per_s or (asked and self._asked >= self._most_asked_per_s):
            self._over()
            return False
        self._made += 1
        self._asked += asked
        return True

    def _made_of(self, said: Incoming | None, headers: Mapping[str, str]) -> Trace:
        random = self._random.getrandbits
        trace_id = said.trace_id if said is not None else f"{random(128) | 1:032x}"
        span_id, forward_id = f"{random(64) | 1:016x}", f"{random(64) | 1:016x}"
        trace = Trace(trace_id, said.span_id if said is not None else "", span_id, forward_id)
        sampling = self._sampling
        trace.to_sentry, trace.to_otlp = sampling.sentry is not None, sampling.otlp is not None
        if said is None or said.sampled is None:
            drawn = self._random.random() * self.rate  # those of the smaller share are among those of the larger
            trace.to_sentry = trace.to_sentry and drawn < (sampling.sentry or 0.0)
            trace.to_otlp = trace.to_otlp and drawn < (sampling.otlp or 0.0)
            trace.rate = sampling.sentry
        self._tell(trace, said, headers)
        return trace

    def _tell(self, trace: Trace, said: Incoming | None, headers: Mapping[str, str]) -> None:
        """What the upstream gets. Who does not hear of this trace must not be led to a span that it does not have."""
        trace_id, span_id = trace.trace_id.encode(), trace.forward_id.encode()
        w3c = trace.to_otlp or self._sampling.otlp is None
        parent = (b"traceparent", b"00-%b-%b-%b" % (trace_id, span_id, b"01" if w3c else b"00"))
        if self._sampling.sentry is None:
            trace.replaced, trace.told = (b"traceparent",), (parent,)
            return
        theirs = _members(headers)
        if any(one.startswith("sentry-") for one in theirs) or (said is not None and said.form == SENTRY_TRACE):
            ours: list[str] = []  # whoever began the trace has said all of it, and it stays as it is
        else:
            ours = [f"sentry-{name}={quote(value, safe='')}" for name, value in self.scope(trace).items()]
        own = (b"sentry-trace", b"%b-%b-%b" % (trace_id, span_id, b"1" if trace.to_sentry else b"0"))
        baggage = _within([*theirs, *ours])
        trace.replaced = (b"sentry-trace", b"traceparent", b"baggage")
        trace.told = (own, parent, (b"baggage", baggage)) if baggage else (own, parent)

    def scope(self, trace: Trace) -> dict[str, str]:
        """What Sentry's own sampling goes by (its dynamic sampling context)."""
        sampled = "true" if trace.to_sentry else "false"
        scope = {"trace_id": trace.trace_id, **self._sampling.scope, "sampled": sampled}
        if trace.rate is not None:
            scope["sample_rate"] = f"{trace.rate:g}"
        return scope


def _members(headers: Mapping[str, str]) -> list[str]:
    get_all = getattr(headers, "getall", None)
    values: Sequence[str] = (
        get_all(BAGGAGE, ()) if get_all is not None else [headers[BAGGAGE]] if BAGGAGE in headers else ()
    )
    members = [member.strip() for value in values for member in value.split(",")]
    return [member for member in members if member and len(member) < 4096][:64]


def _within(members: Sequence[str]) -> bytes:
    """As many whole members as fit."""
    out, size = [], 0
    for member in members:
        encoded = member.encode("ascii", "ignore")
        if size + len(encoded) < MOST_BAGGAGE:
            size += len(encoded) + 1
            out.append(encoded)
    return b",".join(out)
