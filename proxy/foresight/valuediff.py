"""Where two compiled values differ, leaf by leaf, and what stood and stands there, in words. Pure. No secret is shown.

What is left out means something: often nothing, but of a key's routes all of them. That a value goes is then no end of
something, and one that comes is no beginning.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

from proxy.core.units import format_duration
from proxy.policy.caching import Caching
from proxy.policy.model import Cors, GatewayKey, IpRules, Issuer, Origin, Route, Scope, Upstream
from proxy.policy.moneywords import dollars
from proxy.policy.spending import Channel

NOTHING: Final = ""  # what is new was nothing, what is gone is nothing

_HIDDEN: Final = "(not shown)"
_NONE: Final = "none"
Meant = tuple[object, str]  # a value that is no value, and what it means

_LEFT_OUT: Final[dict[tuple[type, str], Meant]] = {
    (Caching, "only_query"): (None, "all"),
    (Caching, "stale_if_error_ms"): (None, "what the app says"),
    (Caching, "stale_while_revalidate_ms"): (None, "what the app says"),
    (Caching, "ttl_ms"): (None, "what the app says"),
    (Channel, "scopes"): (frozenset(), "all budgets"),
    (Cors, "headers"): ((), "those that are asked for"),
    (GatewayKey, "may_act_for"): (None, "its own tenant"),
    (GatewayKey, "routes"): (None, "all"),
    (IpRules, "allow"): ((), "all"),
    (Issuer, "algorithms"): ((), "those that fit its keys"),
    (Issuer, "audiences"): ((), "any"),
    (Issuer, "max_age_ms"): (None, "any"),
    (Issuer, "tenants"): (None, "any"),
    (Route, "timeouts"): (None, "the upstream's"),
    (Upstream, "ca_file"): (None, "the system's"),
}
"""What a field without a value means, where that is not nothing."""

Leaf = tuple[str, str, str]


def differing(
    old: Any, new: Any, place: str = "", *, shown: bool = True, left_out: Meant | None = None
) -> Iterator[Leaf]:
    """(place, was, now) of each leaf that differs. ``left_out``: what no value means here."""
    if old == new:
        return
    if dataclasses.is_dataclass(old) and type(old) is type(new) and not isinstance(old, Scope | Origin):
        for field in dataclasses.fields(old):
            yield from differing(
                getattr(old, field.name),
                getattr(new, field.name),
                f"{place}.{field.name}" if place else field.name,
                shown=shown and field.repr,
                left_out=left_out_of(type(old), field.name),
            )
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from differing(old.get(key), new.get(key), f"{place}.{key}" if place else str(key), shown=shown)
    elif isinstance(old, tuple) and isinstance(new, tuple) and (pairs := _paired(old, new)) is not None:
        for step, one, two in pairs:
            yield from differing(one, two, f"{place}{step}".removeprefix("."), shown=shown)
    elif not shown:
        yield place, NOTHING if _empty(old) else _HIDDEN, NOTHING if _empty(new) else f"another {_HIDDEN}"
    else:
        yield _bare(place), _leaf_text(old, place, left_out), _leaf_text(new, place, left_out)


def left_out_of(section: type, field: str) -> Meant | None:
    """What a field of a section means that has no value; None: nothing."""
    return _LEFT_OUT.get((section, field))


def _leaf_text(value: Any, place: str, left_out: Meant | None) -> str:
    if not _empty(value) or left_out is None:
        return text_of(value, place)
    absent, words = left_out
    return words if value == absent else _NONE


def _paired(old: tuple[Any, ...], new: tuple[Any, ...]) -> list[tuple[str, Any, Any]] | None:
    """Sections of lists that are compared one by one, with the step to each: by their names, or by their places where
    there are as many of them. None for other lists."""
    both = (*old, *new)
    if not all(dataclasses.is_dataclass(one) and not isinstance(one, Origin | Scope) for one in both):
        return None
    if all(hasattr(one, "name") for one in both):
        before, after = ({one.name: one for one in sections} for sections in (old, new))
        if (len(before), len(after)) == (len(old), len(new)):
            return [(f".{name}", before.get(name), after.get(name)) for name in dict.fromkeys((*before, *after))]
    return [(f"[{n}]", *pair) for n, pair in enumerate(zip(old, new, strict=True))] if len(old) == len(new) else None


def _empty(value: Any) -> bool:
    return value is None or value in ("", (), frozenset())


def _usual(field: "dataclasses.Field[Any]", value: Any) -> bool:
    made = field.default_factory
    return _empty(value) or value == (field.default if made is dataclasses.MISSING else made())


def _bare(place: str) -> str:
    """Without the unit that its value is told in."""
    return place.removesuffix("_ms").removesuffix("_nanousd")


def text_of(value: Any, place: str = "") -> str:
    """One value in words; ``NOTHING`` for none. ``place`` ends in its unit, if it has one."""
    if _empty(value):
        return NOTHING
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Origin):
        return f"{value.scheme}://{value.authority}{value.base_path}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and place.endswith("_ms"):
        return format_duration(value)
    if isinstance(value, int) and place.endswith("_nanousd"):
        return dollars(value)
    if dataclasses.is_dataclass(value):
        told = [f for f in dataclasses.fields(value) if f.repr and not _usual(f, getattr(value, f.name))]
        return ", ".join(f"{_bare(f.name)} {text_of(getattr(value, f.name), f.name)}" for f in told) or "as by default"
    if isinstance(value, tuple | frozenset):
        words = [text_of(one) for one in value]
        return ", ".join(sorted(words) if isinstance(value, frozenset) else words)
    return str(value)
