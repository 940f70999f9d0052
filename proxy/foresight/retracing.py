"""Why one request got what it got: all that its log line says, what a replay adds, and what neither knows. Pure.

A line has no meters. Where the policy is at hand, the log before it is replayed (``standing``).
"""

from collections.abc import Mapping
from typing import Any, Final

from proxy.core.errors import ERRORS, Reason
from proxy.foresight.wording import moment_text

Fact = tuple[str, str]

_REFUSED: Final = "refused"
_SETTLED: Final = ("cost_usd", "tokens_in", "tokens_out", "estimated")

_OUTCOMES: Final = {
    "forwarded": "the upstream's answer was relayed whole",
    "refused": "refused by the policy",
    "cached": "answered by what was stored",
    "answered": "answered by the gateway itself, as asked",
    "failed": "the upstream or the gateway did not manage",
    "cut": "the upstream's answer broke off after its head was sent",
    "client_gone": "the client left before the answer was complete",
}


def facts(line: Mapping[str, Any]) -> list[Fact]:
    """What a line of ours says, in the order of the request's way; only what is there."""
    get = line.get
    found: list[Fact] = [("request", f"{get('method', '?')} {get('host', '')}{get('path', '')}")]
    if "ts" in line:
        found.append(("when", f"{moment_text(int(line['ts'] * 1000))} UTC, at its end; it took {get('ms', 0):g} ms"))
    found.append(("identity", _identity(line)))
    found.append(("route", str(get("route", "none"))))
    found.append(("policy", str(get("policy", "the line names none"))))
    if "limits" in line:
        found.append(("limits", f"refused by {', '.join(map(str, line['limits']))}"))
    if "cache" in line:
        found.append(("cache", str(line["cache"]) + (f": {line['cache_why']}" if "cache_why" in line else "")))
    if "upstream" in line:
        found.append(("upstream", f"{line['upstream']}, {get('upstream_ms', 0):g} ms{_attempts(line)}"))
    if "redis_ms" in line:
        found.append(("redis", f"{line['redis_ms']:g} ms"))
    if "cost_usd" in line or "held_usd" in line:
        found.append(("call", _call(line)))
    if "trace" in line:
        found.append(("trace", str(line["trace"])))
    outcome = str(get("outcome", "?"))
    found.append(("outcome", f"{get('status', '?')}, {outcome}: {_OUTCOMES.get(outcome, 'not known here')}"))
    if "reason" in line:
        found.append(("reason", _reason(str(line["reason"]))))
    return found


def is_open(line: Mapping[str, Any]) -> bool:
    """Whether it was written before its call had ended, for its client had left."""
    return "held_usd" in line and "cost_usd" not in line and line.get("outcome") != _REFUSED


def ended(line: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    """An open line, with what the log's later event ``call settled`` says of its call."""
    return {**line, **{name: event[name] for name in _SETTLED if name in event}}


def _identity(line: Mapping[str, Any]) -> str:
    parts = [f"{name} {line[name]}" for name in ("tenant", "user", "key") if name in line]
    return ", ".join(
        [*(parts or ["nobody in particular"]), f"tier {line.get('tier', 'none')}", f"from {line.get('ip')}"]
    )


def _attempts(line: Mapping[str, Any]) -> str:
    """What failed on the way to the origin that is named, or with it."""
    failed = [f"{one['upstream']} ({one['why']})" for one in line.get("failed", ())]
    return f"; failed: {', '.join(failed)}" if failed else ", at the first attempt"


def _call(line: Mapping[str, Any]) -> str:
    if "saved_usd" in line:
        return f"none: a stored answer spared ${line['saved_usd']:.9f}"
    told = []
    if "cost_usd" in line:
        told.append(f"${line['cost_usd']:.9f}, {line.get('tokens_in', 0)} tokens in, {line.get('tokens_out', 0)} out")
        told += ["estimated"] if line.get("estimated") else []
    if "held_usd" in line:
        asked = "would have held" if line.get("outcome") == _REFUSED else "held"
        told.append(f"{asked} ${line['held_usd']:.9f} and {line.get('held_tokens', 0)} tokens")
    return ", ".join(told)


def _reason(word: str) -> str:
    try:
        return f"{word}: {ERRORS[Reason(word)].title}"
    except ValueError:
        return word


def unsaid(line: Mapping[str, Any], *, replayed: bool) -> list[str]:
    """What one might look for in a line and will not find, and where it is."""
    found = []
    if not replayed:
        found.append("each meter before and after: a line names those that refused alone; --config replays the log")
    if is_open(line):
        found.append("what the call came to: it went on without its client, and this log has no 'call settled' of it")
    if replayed and "held_usd" in line:
        found.append("grants: budgets are told as the policy has them")
    if "cache" not in line:
        found.append("a decision of the cache: the route has none, or the request did not come so far")
    if "upstream" not in line:
        found.append("an upstream: the request reached none")
    found.append("query, fields, claims and bodies: they are in no line")
    return found
