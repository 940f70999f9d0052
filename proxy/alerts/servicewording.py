"""What an alert about the service says, in plain words. Pure."""

from collections.abc import Callable, Sequence
from typing import Final

from proxy.alerts.incident import News, Reading
from proxy.alerts.samples import WHOLE, Subject
from proxy.alerts.windows import Tally
from proxy.policy.service import Bound, Kind

MOST_NAMED: Final = 3
_SECOND_MS: Final = 1000
_STEPS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))

Parts = Sequence[tuple[str, float]]


def beginning(subject: Subject, reading: Reading, tally: Tally | None, parts: Parts, bound: Bound | None) -> str:
    """What is wrong. ``tally``: what was counted within the time of ``bound``; ``parts``: of it, the most first."""
    return _BEGINNING[subject.kind](subject.name, reading, tally or Tally(), parts, bound)


def message(news: News, subject: Subject, reading: Reading, said: str, lasted_ms: int, *, watched: bool = True) -> str:
    """The whole of it; ``said`` as ``beginning`` has it. Not ``watched``: the policy has changed."""
    lasted = duration(lasted_ms)
    if news is News.RESOLVED:
        back = _END[subject.kind](subject.name, reading) if watched else f"{_title(subject)} is not watched any more"
        return f"{back}. It had lasted {lasted}."
    if news is News.REMINDED:
        return f"For {lasted}: {said}"
    return said


def _errors(name: str, reading: Reading, tally: Tally, parts: Parts, bound: Bound | None) -> str:
    of = f"{_route(name)}: {share(reading.current)}" if name else share(reading.current)
    worst = "" if name else _named("most on", parts)
    return f"{of} of requests failed {_figures(reading, bound, share, _part(tally))}{worst}.{_limit(reading, share)}"


def _latency(name: str, reading: Reading, tally: Tally, parts: Parts, bound: Bound | None) -> str:
    of = f"{_route(name)}: requests" if name else "Requests"
    figures = _figures(reading, bound, seconds, f"{tally.total:,.0f} of them, {tally.bad:,.0f} slow")
    worst = "" if name else _named("most of it on", parts)
    return f"{of} took {seconds(reading.current)} on average {figures}{worst}.{_limit(reading, seconds)}"


def _available(name: str, reading: Reading, tally: Tally, parts: Parts, bound: Bound | None) -> str:
    failed = f"{share(reading.current)} of requests failed at the gateway, a store or an upstream"
    figures = _figures(reading, bound, share, _part(tally))
    return f"{failed} {figures}{_named('most for', parts)}.{_limit(reading, share)}"


def _upstream(name: str, reading: Reading, tally: Tally, parts: Parts, bound: Bound | None) -> str:
    failed = f"Upstream {name} did not answer {share(reading.current)} of requests"
    figures = _figures(reading, bound, share, _part(tally))
    return f"{failed} {figures}{_named('most for', parts)}.{_limit(reading, share)}"


def _redis(name: str, reading: Reading, tally: Tally, parts: Parts, bound: Bound | None) -> str:
    count = f"{reading.current:.0f} worker{'s' if reading.current != 1 else ''}"
    return f"Redis is away: {count} cannot reach it. Routes that are open count by themselves, closed ones answer 503."


def _workers(name: str, reading: Reading, tally: Tally, parts: Parts, bound: Bound | None) -> str:
    within = "" if bound is None else f" within {duration(bound.over_ms)}"
    which = ", ".join(f"{who} {count:.0f}" for who, count in parts)
    return f"Processes of the gateway had to be started again {tally.amount:,.0f} times{within}: {which}."


def _ledger(name: str, reading: Reading, tally: Tally, parts: Parts, bound: Bound | None) -> str:
    waited = duration(round(reading.current * _SECOND_MS))
    return f"The ledger is behind: its oldest record has waited {waited}.{_limit(reading, _age)}"


def _certificate(name: str, reading: Reading, tally: Tally, parts: Parts, bound: Bound | None) -> str:
    if reading.current <= 0:
        return f"The certificate of {name} has ended."
    return f"The certificate of {name} ends in {duration(round(reading.current * _SECOND_MS))}."


def _reload(name: str, reading: Reading, tally: Tally, parts: Parts, bound: Bound | None) -> str:
    return "The newest policy file was rejected: the old one stays in force. The log says why."


def _isolation(name: str, reading: Reading, tally: Tally, parts: Parts, bound: Bound | None) -> str:
    if tally.amount == 1:
        had, end = "an answer that named another tenant than the one it was for", "It was refused"
    else:
        had = f"{tally.amount:,.0f} answers that named other tenants than those they were for"
        end = "They were refused"
    return f"{_route(name)} had {had}. {end}; so is each like it."


_BEGINNING: Final[dict[Kind, Callable[[str, Reading, Tally, Parts, Bound | None], str]]] = {
    Kind.UPSTREAM: _upstream,
    Kind.REDIS: _redis,
    Kind.WORKERS: _workers,
    Kind.ERROR_RATE: _errors,
    Kind.AVAILABILITY: _available,
    Kind.LATENCY: _latency,
    Kind.ISOLATION: _isolation,
    Kind.LEDGER: _ledger,
    Kind.CERTIFICATE: _certificate,
    Kind.RELOAD: _reload,
}
_END: Final[dict[Kind, Callable[[str, Reading], str]]] = {
    Kind.UPSTREAM: lambda name, reading: (
        f"Upstream {name} is not asked any more"
        if reading.lately is None
        else f"Upstream {name} answers again: {share(reading.lately)} failed now"
    ),
    Kind.REDIS: lambda name, reading: "Redis is back",
    Kind.WORKERS: lambda name, reading: "The gateway's processes live again",
    Kind.ERROR_RATE: lambda name, reading: (
        f"{_whose(name)}rrors are back below {share(reading.limit)}{_now(reading, share)}"
    ),
    Kind.AVAILABILITY: lambda name, reading: f"Failures are back below {share(reading.limit)}{_now(reading, share)}",
    Kind.LATENCY: lambda name, reading: (
        f"{_route(name) + ': r' if name else 'R'}equests are back below "
        f"{seconds(reading.limit)}{_now(reading, seconds)}"
    ),
    Kind.ISOLATION: lambda name, reading: f"{_route(name)} had no answer of another tenant for a while",
    Kind.LEDGER: lambda name, reading: "The ledger has caught up",
    Kind.CERTIFICATE: lambda name, reading: f"The certificate of {name} was renewed",
    Kind.RELOAD: lambda name, reading: "The newest policy file is in force",
}


def _title(subject: Subject) -> str:
    words = subject.kind.value.replace("_", " ").capitalize()
    return words if subject.name == WHOLE else f"{words} of {subject.name}"


def _route(name: str) -> str:
    return f"Route {name}"


def _whose(name: str) -> str:
    return f"{_route(name)}: e" if name else "E"


def _part(tally: Tally) -> str:
    return f"{tally.amount:,.0f} of {tally.total:,.0f}"


def _figures(reading: Reading, bound: Bound | None, shown: Callable[[float], str], counted: str) -> str:
    """Over how long, of how many, and what it was lately."""
    if bound is None:
        return f"({counted})"
    said = f"in the last {duration(bound.over_ms)} ({counted})"
    if reading.lately is None:
        return said
    return f"{said}, {shown(reading.lately)} in the last {duration(bound.lately_ms)}"


def _limit(reading: Reading, shown: Callable[[float], str]) -> str:
    return f" The limit is {shown(reading.limit)}."


def _named(words: str, parts: Parts) -> str:
    found = [name for name, value in parts if value > 0][:MOST_NAMED]
    return f"; {words} {', '.join(found)}" if found else ""


def _now(reading: Reading, shown: Callable[[float], str]) -> str:
    return ", without any requests now" if reading.lately is None else f": {shown(reading.lately)} now"


def share(value: float) -> str:
    """``4.2%``, ``0.05%``, ``100%``; never 100 of less, nor nothing of something."""
    percent = value * 100
    if percent >= 99.95 and value < 1:
        return "99.9%"
    digits = 0 if percent == 0 else 1 if percent >= 1 else 2
    shown = f"{percent:.{digits}f}"
    if digits and float(shown) == 0:
        return "below 0.01%"
    return f"{shown.rstrip('0').rstrip('.') if '.' in shown else shown}%"


def seconds(value: float) -> str:
    """``830ms``, ``1.24s``"""
    return f"{value * _SECOND_MS:.0f}ms" if value < 1 else f"{value:.3g}s"


def _age(value: float) -> str:
    return duration(round(value * _SECOND_MS))


def duration(ms: int) -> str:
    """Its two largest units: ``5m``, ``1h 12m``, ``21d``; a second at least."""
    left = max(1, round(ms / _SECOND_MS))
    words: list[str] = []
    for size, unit in _STEPS:
        if left >= size and len(words) < 2:
            words.append(f"{left // size}{unit}")
            left %= size
        elif words:
            break
    return " ".join(words)
