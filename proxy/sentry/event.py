"""Sentry's events, of exceptions, of log records and of upstreams' faults. Pure.

A frame has its file, function and line; never its variables. Ids are made here, so that an event that is sent twice is
kept once. Source: https://develop.sentry.dev/sdk/data-model/event-payloads/.
"""

import hashlib
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import PurePath
from types import TracebackType
from typing import Any, Final

from proxy.telemetry.causes import Told, causes
from proxy.telemetry.plain import MOST_FRAMES, known_words, plain, told, words_in

Event = dict[str, Any]
_OURS: Final = "proxy."
_LEVELS: Final = {logging.CRITICAL: "fatal", logging.ERROR: "error", logging.WARNING: "warning"}


@dataclass(frozen=True, slots=True)
class About:
    """What an event says of where it happened: tags, the request as far as it may be told, its trace."""

    tags: Mapping[str, str] = field(default_factory=dict)
    request: Mapping[str, str] = field(default_factory=dict)
    transaction: str = ""
    trace: Mapping[str, str] = field(default_factory=dict)


NOWHERE: Final = About()


def of_exception(
    error: BaseException, message: str, now_ms: int, about: About = NOWHERE, level: str = "error"
) -> Event:
    """``message``: constant words of ours that say where it ended."""
    event = _event(now_ms, level, about)
    event["logger"] = "sluicegate"
    values = [_value(place, one, handled=bool(message)) for place, one in enumerate(causes(error))]
    event["exception"] = {"values": values[::-1]}
    if message:
        event["tags"]["where"] = message
    return event


def of_message(message: str, words: str, logger: str, now_ms: int, level: int, about: About = NOWHERE) -> Event:
    """Of a log record. ``words``: the record's own, before anything was put into them."""
    event = _event(now_ms, _LEVELS.get(level, "error"), about)
    event["logger"] = logger
    event["message"] = plain(message, known_words(None) | words_in(words))
    return event


def of_upstream(reason: str, upstream: str, status: int, now_ms: int, about: About) -> Event:
    """A fault that is not ours. One issue for each reason, upstream and route."""
    event = _event(now_ms, "error", about)
    event["logger"] = "sluicegate.upstream"
    event["message"] = f"{reason} of {upstream}" if status < 500 else f"{reason} of {upstream}: {status}"
    event["tags"] |= {"reason": reason, "upstream": upstream, "status": str(status)}
    event["fingerprint"] = [reason, upstream, about.tags.get("route", "")]
    return event


def fingerprint(event: Event) -> str:
    """What is the same fault at the same place, for the bound on how often it is told.

    All frames count, from where it ended: what fails in a library that all use is its caller's fault. Of a function
    that calls itself there is one, however deep it was.
    """
    told = event.get("fingerprint") or [event.get("message", "")]
    parts = [*told, event.get("transaction", ""), event["tags"].get("where", "")]
    for value in event.get("exception", {}).get("values", ()):
        places = (f"{one['module']}:{one['lineno']}" for one in value["stacktrace"]["frames"])
        parts += [value["type"], *(place for place, _ in groupby(places))]
    return hashlib.blake2b("\n".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()


def _event(now_ms: int, level: str, about: About) -> Event:
    event: Event = {
        "event_id": secrets.token_hex(16),
        "timestamp": now_ms / 1000,
        "platform": "python",
        "level": level,
        "tags": dict(about.tags),
    }
    if about.transaction:
        event["transaction"] = about.transaction
    if about.request:
        event["request"] = dict(about.request)
    if about.trace:
        event["contexts"] = {"trace": dict(about.trace)}
    return event


def _value(place: int, one: Told, *, handled: bool) -> dict[str, Any]:
    error = one.error
    mechanism: dict[str, Any] = {"type": "gateway", "handled": handled, "exception_id": place}
    if one.parent is not None:
        mechanism |= {"parent_id": one.parent, "source": one.source}
    if isinstance(error, BaseExceptionGroup):
        mechanism["is_exception_group"] = True
    return {
        "type": type(error).__name__,
        "module": type(error).__module__,
        "value": told(error),
        "mechanism": mechanism,
        "stacktrace": {"frames": _frames(error.__traceback__)},
    }


def _frames(trace: TracebackType | None) -> list[dict[str, Any]]:
    """Outermost first; of a very deep stack its inner end."""
    found: list[dict[str, Any]] = []
    while trace is not None:
        code, module = trace.tb_frame.f_code, str(trace.tb_frame.f_globals.get("__name__", ""))
        found.append(
            {
                "filename": _file(module, code.co_filename),
                "function": code.co_name,
                "module": module,
                "lineno": trace.tb_lineno,
                "in_app": module.startswith(_OURS),
            }
        )
        trace = trace.tb_next
    return found[-MOST_FRAMES:]


def _file(module: str, path: str) -> str:
    """Below the package, as a machine's own folders are nobody's business."""
    parts = module.split(".")
    return "/".join([*parts[:-1], PurePath(path).name])
