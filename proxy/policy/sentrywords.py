"""The keys of the policy file that speak of Sentry and of what browsers tell. A part of ``policy.schema``."""

import re
from typing import Annotated, Final

from proxy.policy import moneywords
from proxy.policy.model import Cors
from proxy.policy.otlp import Otlp
from proxy.policy.section import Section, Text, key
from proxy.policy.sentry import SHIFT, TIMES, Reported, Sentry, Tunnel, Vitals, Watching
from proxy.policy.spelling import (
    Shorthand,
    Spelling,
    as_number_text,
    choice,
    count,
    off_for,
    pattern_json,
    size,
    written,
)
from proxy.policy.tracing import Tracing

_RATE: Final = r"[01]|[01]?\.[0-9]{1,9}|1\.0+"
_METRIC: Final = r"[A-Za-z][A-Za-z0-9_.-]{0,31}"


def _read_rate(raw: object) -> float:
    spelled = as_number_text(raw, "a share from 0 to 1")
    if not re.fullmatch(_RATE, spelled) or float(spelled) > 1:
        raise ValueError(f"{spelled!r} is not a share from 0 to 1, such as 0.1")
    return float(spelled)


RATE: Final = Spelling(
    "a share from 0 to 1",
    _read_rate,
    0.1,
    {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, pattern_json(_RATE)]},
)
_VITALS: Final = sorted({SHIFT, *TIMES})


def _read_measure(name: str) -> str:
    if name.upper() in _VITALS:  # one series would count both
        raise ValueError(f"{name!r} is a web vital, which pages may always tell: name your own in another way")
    return name


def _any_case(name: str) -> str:
    """A pattern, in JSON Schema's dialect."""
    return "".join(f"[{letter}{letter.lower()}]" for letter in name)


METRIC: Final = written("a name of at most 32 letters, digits, and . _ -", _METRIC, "db")

_NO_VITAL: Final = f"(?!(?:{'|'.join(map(_any_case, _VITALS))})$)"
MEASURE: Final = written(METRIC.what, _METRIC, "boot", _read_measure, _NO_VITAL + _METRIC)


def _expand(raw: object) -> object:
    """``true`` and ``false`` stand for all defaults and for nothing."""
    if raw in (True, "true", "on"):
        return {}
    return None if raw in (False, "false", "off") else raw


_SWITCH: Final = Shorthand(_expand, lambda _: {"type": "boolean"}, "or true or false")


class BrowserTunnel(Section):
    max_body: Annotated[int, size("1KiB", "32MiB")] = key("Largest envelope; beyond it 413.", "4MiB")
    per_minute: Annotated[int, count(1, 100_000)] = key("Envelopes from one address, by worker; beyond it 429.", 120)


class SentryProject(Section):
    dsn: Annotated[str, moneywords.DSN] = key("The project that hears of it; empty: nobody.", "", secret=True)
    environment: Text = key("As Sentry shows it.", "production")
    release: Text | None = key("As Sentry shows it; default: the gateway's own version.", None)
    traces_sample_rate: Annotated[float, RATE] = key(
        "The share of requests that are traced, where none comes with a decision.", 0
    )
    report: list[Annotated[Reported, choice(Reported)]] = key(
        "What is reported beside faults of the gateway itself.", ["upstream_5xx", "upstream_timeout"]
    )
    tunnel: Annotated[BrowserTunnel | None, _SWITCH] = key(
        "Whether `POST /_gateway/sentry` passes on what the browser's SDK sends.", False
    )


class BrowserVitals(Section):
    measures: list[Annotated[str, MEASURE]] = key("Your own, in milliseconds, beside LCP, CLS, INP, FCP and TTFB.", [])
    per_minute: Annotated[int, count(1, 100_000)] = key("Beacons from one address, by worker; beyond it 429.", 120)


VitalsOrOff = Annotated[BrowserVitals | None, off_for(None)]
ServerTiming = list[Annotated[str, METRIC]]


def compile_watching(
    sentry: SentryProject | None,
    vitals: BrowserVitals | None,
    timing: list[str],
    cors: Cors | None,
    release: str,
    otlp: Otlp | None,
    tracing: Tracing,
) -> Watching:
    """``release``: the gateway's, where the file names none. A project without a DSN hears nothing."""
    return Watching(
        sentry=None if sentry is None or not sentry.dsn else _project(sentry, release),
        vitals=None if vitals is None else Vitals(frozenset(vitals.measures), vitals.per_minute),
        server_timing=frozenset(timing),
        cors=cors,
        otlp=otlp,
        tracing=tracing,
    )


def _project(written: SentryProject, release: str) -> Sentry:
    tunnel = written.tunnel
    return Sentry(
        dsn=written.dsn,
        environment=written.environment,
        release=written.release or release,
        traces_sample_rate=written.traces_sample_rate,
        report=frozenset(written.report),
        tunnel=None if tunnel is None else Tunnel(tunnel.max_body, tunnel.per_minute),
    )
