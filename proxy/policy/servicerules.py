"""From the service's alerts as written to compiled ones: what is wrong in them, and who would hear. Pure."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Final

from proxy.policy import money, schema, servicewords
from proxy.policy.findings import Findings
from proxy.policy.model import ScopeKind
from proxy.policy.problems import KeyPath, meant
from proxy.policy.service import HOUR_MS, MINUTE_MS, Bound, Kind, Measure, Rule, Service
from proxy.policy.spending import Level

PATH: Final[KeyPath] = ("alerts", "service")
FEWEST_BAD: Final = 5  # a single mishap of a quiet hour wakes nobody
LATELY: Final = 5  # the part of a time that has to be as bad as the whole
# Google's SRE Workbook, chapter 5: so many times too fast, over so long and lately; told after so long.
_BURNT: Final = (
    (Level.WARNING, 6, 6 * HOUR_MS, 30 * MINUTE_MS, 15 * MINUTE_MS),
    (Level.CRITICAL, 14.4, HOUR_MS, 5 * MINUTE_MS, 2 * MINUTE_MS),
)
_CALM_MS: Final = 15 * MINUTE_MS  # of availability
_GAUGE_CALM_MS: Final = MINUTE_MS
ISOLATION: Final = Rule(Measure.COUNT, (Bound(Level.CRITICAL, 0, HOUR_MS, HOUR_MS),), 0)

_Pair = tuple[float | None, float | None]  # warning, critical


def compile_service(config: schema.Config, channels: Mapping[str, money.Channel], findings: Findings) -> Service | None:
    """``channels`` by their names, those without an address too. None: nothing is watched."""
    written = config.alerts.service
    if written is None:
        return None
    findings.check_filled(PATH, written, {"to": "all channels that have no `scopes`"})
    to = _recipients(written, channels, findings)
    rules = {kind: rule for kind, rule in _rules(written, findings) if rule is not None}
    return Service({**rules, Kind.ISOLATION: ISOLATION}, to, written.repeat)


def _recipients(
    written: servicewords.Service, channels: Mapping[str, money.Channel], findings: Findings
) -> tuple[str, ...]:
    for n, name in enumerate(written.to):
        if name not in channels:
            findings.error((*PATH, "to", n), f"unknown channel {name!r}{meant(name, channels)}", ("alerts", "to"))
    named = written.to or [name for name, channel in channels.items() if _hears_all(channel)]
    if findings.wholly_sure(("alerts", "to")) and not any(_hears(channels[name]) for name in named if name in channels):
        findings.warn(PATH, "tells nobody: no channel of alerts.to hears of it")
    return tuple(dict.fromkeys(named))


def _hears_all(channel: money.Channel) -> bool:
    return not channel.scopes or ScopeKind.GLOBAL in channel.scopes


def _hears(channel: money.Channel) -> bool:
    """A caller's claims and a tenant's contacts have nothing to do with the service."""
    return channel.email is None or any(to != "tenant" and not to.startswith("claim:") for to in channel.to)


def _rules(written: servicewords.Service, findings: Findings) -> Iterable[tuple[Kind, Rule | None]]:
    errors, latency, upstream = written.error_rate, written.latency, written.upstream
    available, redis, workers, ledger = written.availability, written.redis, written.workers, written.ledger
    if upstream is not None:
        limits = _float(upstream.warning), _float(upstream.critical)
        yield Kind.UPSTREAM, _windowed(Measure.SHARE, "upstream", limits, upstream, findings)
    if redis is not None:
        yield Kind.REDIS, _lasting(0, Level.CRITICAL, redis.lasts)
    if errors is not None:
        limits = _float(errors.warning), _float(errors.critical)
        yield Kind.ERROR_RATE, _windowed(Measure.SHARE, "error_rate", limits, errors, findings)
    if available is not None:
        yield Kind.AVAILABILITY, _burning(available, findings)
    if latency is not None:
        limits = _seconds(latency.warning), _seconds(latency.critical)
        routes = frozenset(latency.leave_out)
        known = findings.route_names()
        for n, name in enumerate(latency.leave_out):
            if name not in known:
                path = (*PATH, "latency", "leave_out", n)
                findings.error(path, f"unknown route {name!r}{meant(name, known)}", ("routes",))
        yield Kind.LATENCY, _windowed(Measure.MEAN, "latency", limits, latency, findings, routes)
    if workers is not None:
        bound = Bound(Level.CRITICAL, workers.restarts - 1, workers.over, workers.over)
        yield Kind.WORKERS, Rule(Measure.COUNT, (bound,), 0)
    if ledger is not None:
        yield Kind.LEDGER, _lasting(ledger.lag / 1000, Level.WARNING, ledger.lasts)
    if written.certificates is not None:
        ends = written.certificates
        pair = _seconds(ends.warning), _seconds(ends.critical)
        bounds = tuple(Bound(level, limit) for level, limit in _ordered("certificates", pair, findings, falling=True))
        yield Kind.CERTIFICATE, Rule(Measure.BELOW, bounds, _GAUGE_CALM_MS) if bounds else None
    if written.reload is not None:
        yield Kind.RELOAD, _lasting(0, Level.WARNING, written.reload.lasts)


def _windowed(
    measure: Measure,
    name: str,
    limits: _Pair,
    written: servicewords.ErrorRate | servicewords.MeanLatency | servicewords.UpstreamHealth,
    findings: Findings,
    leave_out: frozenset[str] = frozenset(),
) -> Rule | None:
    """A warning waits for as long as ``lately``, or as an outage of everything needs to fill the whole time with a
    critical share: what is critical a moment later is told once."""
    over_ms = written.over
    lately_ms = over_ms // LATELY
    critical = limits[1] if measure is Measure.SHARE and limits[1] is not None else 0
    waits_ms = max(lately_ms, round(critical * over_ms))
    bounds = tuple(
        Bound(level, limit, over_ms, lately_ms, waits_ms if level is Level.WARNING else 0)
        for level, limit in _ordered(name, limits, findings)
    )
    return Rule(measure, bounds, over_ms, written.at_least, FEWEST_BAD, leave_out) if bounds else None


def _burning(written: servicewords.Availability, findings: Findings) -> Rule | None:
    budget = 1 - float(written.objective)
    if not 0 < budget < 1 / _BURNT[-1][1]:
        message = "must be below 100% and above 93.1%: 14.4 times what it leaves has to be less than all"
        findings.error((*PATH, "availability", "objective"), message)
        return None
    bounds = tuple(
        Bound(level, factor * budget, over_ms, lately_ms, for_ms)
        for level, factor, over_ms, lately_ms, for_ms in _BURNT
    )
    return Rule(Measure.SHARE, bounds, _CALM_MS, written.at_least, FEWEST_BAD)


def _lasting(limit: float, level: Level, lasts_ms: int) -> Rule:
    return Rule(Measure.ABOVE, (Bound(level, limit, for_ms=lasts_ms),), lasts_ms)


def _ordered(name: str, limits: _Pair, findings: Findings, *, falling: bool = False) -> list[tuple[Level, float]]:
    warning, critical = limits
    path = (*PATH, name)
    if warning is None and critical is None:
        findings.error(path, "names neither warning nor critical; leave it off as a whole", path)
    elif warning is not None and critical is not None and (critical >= warning if falling else critical <= warning):
        word = "below" if falling else "above"
        findings.error((*path, "critical"), f"is not {word} warning", (*path, "warning"))
    pairs = ((Level.WARNING, warning), (Level.CRITICAL, critical))
    return [(level, limit) for level, limit in pairs if limit is not None]


def _float(share: Fraction | None) -> float | None:
    return None if share is None else float(share)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000
