"""The keys of the policy file that speak of alerts about the service itself. A part of ``policy.schema``.

The defaults are the service levels that ``deploy/prometheus`` watches: 99.9% available, a mean below 500 ms, errors
below 1%.
"""

from fractions import Fraction
from typing import Annotated, Final

from proxy.policy import moneywords
from proxy.policy.section import Name, Section, key
from proxy.policy.spelling import Shorthand, count, duration, off_for

_LONGEST: Final = "1h"

Share = Annotated[Annotated[Fraction, moneywords.SHARE] | None, off_for(None)]
Latency = Annotated[Annotated[int, duration("1ms", "10m")] | None, off_for(None)]
Over = Annotated[int, duration("1s", _LONGEST)]
AtLeast = Annotated[int, count(1, 1_000_000)]
Lasting = Annotated[int, duration("0s", _LONGEST)]
Left = Annotated[Annotated[int, duration("1m", "366d")] | None, off_for(None)]

_AT_LEAST: Final = "Requests within `over` below which nothing is judged; five of them have to be bad in any case."
_OVER: Final = "The time that is looked back over; its last fifth has to be as bad."


class ErrorRate(Section):
    warning: Share = key("A share of requests that failed, whoever made them fail but clients.", "1%")
    critical: Share = key("From which on it is critical, and told at once.", "5%")
    over: Over = key(_OVER, "5m")
    at_least: AtLeast = key(_AT_LEAST, 50)


class MeanLatency(Section):
    warning: Latency = key("A mean duration of requests; calls to providers do not count.", "500ms")
    critical: Latency = key("From which on it is critical, and told at once.", "2s")
    over: Over = key(_OVER, "5m")
    at_least: AtLeast = key(_AT_LEAST, 50)
    leave_out: list[Name] = key("Routes that do not count, such as those that keep clients waiting.", [])


class Availability(Section):
    objective: Annotated[Fraction, moneywords.SHARE] = key(
        "The share of requests that neither the gateway nor a store nor an upstream fails; told where 30 days' worth "
        "of failures goes 14.4 times too fast for an hour (critical), or 6 times for six hours.",
        "99.9%",
    )
    at_least: AtLeast = key(_AT_LEAST.replace("`over`", "that hour or those hours"), 50)


class UpstreamHealth(Section):
    warning: Share = key("A share of requests that an upstream did not answer, or not to the end.", "5%")
    critical: Share = key("From which on it is critical, and told at once.", "50%")
    over: Over = key(_OVER, "1m")
    at_least: AtLeast = key(_AT_LEAST, 10)


class RedisHealth(Section):
    lasts: Lasting = key("Told once workers cannot reach the meters' Redis for so long.", "30s", alias="for")


class Workers(Section):
    restarts: Annotated[int, count(1, 1_000)] = key(
        "Told of so many processes of the gateway that died or hung, and were started again.", 3
    )
    over: Annotated[int, duration("1s", _LONGEST)] = key("Within so long.", "15m")


class LedgerHealth(Section):
    lag: Annotated[int, duration("1s", "7d")] = key("Told once the oldest record has waited longer.", "5m")
    lasts: Lasting = key("For so long.", "1m", alias="for")


class Certificates(Section):
    warning: Left = key("Told when a certificate of an upstream or a Redis ends within this.", "21d")
    critical: Left = key("From which on it is critical.", "2d")


class Reload(Section):
    lasts: Lasting = key("Told once the newest policy file has been rejected for so long.", "1m", alias="for")


def _expand(raw: object) -> object:
    """``on`` stands for all defaults, ``off`` for nothing."""
    if raw in (True, "true", "on"):
        return {}
    return None if raw in (False, "false", "off") else raw


_SWITCH: Final = Shorthand(_expand, lambda _: {"enum": ["on", "off", True, False]}, "or on or off")


class Service(Section):
    to: list[Name] = key(
        "Names of channels; none given: all that have no `scopes`, or global among them. E-mail goes to plain "
        "addresses alone.",
        [],
    )
    repeat: Annotated[Annotated[int, duration("1m", "30d")] | None, off_for(None)] = key(
        "Told again so often while it lasts.", "off"
    )
    error_rate: Annotated[ErrorRate | None, _SWITCH] = key("Of all requests, and of each route.", {})
    availability: Annotated[Availability | None, _SWITCH] = key("Of all requests.", {})
    latency: Annotated[MeanLatency | None, _SWITCH] = key("Of all requests, and of each route.", {})
    upstream: Annotated[UpstreamHealth | None, _SWITCH] = key("Of each upstream.", {})
    redis: Annotated[RedisHealth | None, _SWITCH] = key("Of the meters' Redis.", {})
    workers: Annotated[Workers | None, _SWITCH] = key("Of the gateway's own processes.", {})
    ledger: Annotated[LedgerHealth | None, _SWITCH] = key("Of what waits for the ledger.", {})
    certificates: Annotated[Certificates | None, _SWITCH] = key("Of upstreams and of Redis.", {})
    reload: Annotated[Reload | None, _SWITCH] = key("Of the policy itself.", {})


ServiceOrOff = Annotated[Service | None, _SWITCH]
