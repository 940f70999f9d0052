"""What is told of the cache, as text for people. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from proxy.cli.tables import NONE, aligned, printable

_COUNTS: Final = ("requests", "hits", "stale", "revalidated", "coalesced")


def table(told: Mapping[str, Any]) -> str:
    """Of `cache stats`: a line a route, then why, then memory and purges."""
    rows = [(route["route"], route["scope"] or NONE, *_numbers(route)) for route in told["routes"]]
    if len(rows) > 1:
        rows.append(("all", "", *_numbers(told["all"])))
    head = ("route", "scope", *_COUNTS, "misses", "bypassed", "hit_ratio", "stored", "not_stored", "served_bytes")
    memory, purges, workers = told["memory"], told["purges"], told["workers"]
    lines = [
        aligned(head, rows, words=2),
        f"hit_ratio is {told['hit_ratio_is']}",
        *_reasons(told["routes"]),
        f"workers' memory: {memory['bytes']:,} of {memory['most_bytes']:,} bytes, {memory['entries']:,} URLs, "
        f"{memory['evicted']:,} evicted",
        f"purges: {purges['by_writes']:,} by writes, {purges['by_admin_api']:,} by the admin API",
        f"{workers['hear_of_purges']} of {workers['ready']} workers hear of purges"
        + ("" if workers["all_hear_of_purges"] else ": the others reuse nothing older than a second"),
    ]
    if workers["store_nothing_in_redis"]:
        lines.append(f"{workers['store_nothing_in_redis']} workers store nothing in Redis: its memory is used up")
    lines += [
        f"tenant isolation violated on route {printable(route)}: {count:,} answers refused"
        for route, count in told["isolation_violations"].items()
    ]
    return "\n".join(lines)


def _numbers(of: Mapping[str, Any]) -> list[str]:
    ratio = of["hit_ratio"]
    return [
        *(f"{of[name]:,}" for name in _COUNTS),
        f"{of['misses']['all']:,}",
        f"{of['bypassed']['all']:,}",
        NONE if ratio is None else f"{ratio:.1%}",
        f"{of['stored']:,}",
        f"{of['not_stored']['all']:,}",
        f"{of['served_bytes']:,}",
    ]


def _reasons(routes: list[Mapping[str, Any]]) -> list[str]:
    return [
        f"{printable(route['route'])}, {what.replace('_', ' ')}: "
        + ", ".join(f"{printable(why) or 'nothing said'} {count:,}" for why, count in route[what]["why"].items())
        for route in routes
        for what in ("misses", "bypassed", "not_stored")
        if route[what]["why"]
    ]


def explained(told: Mapping[str, Any]) -> str:
    """Of `cache explain`: what it would get first, then what that rests on."""
    request, would = told["request"], told["would"]
    lines = [
        f"{request['method']} {request['target']} on {request['host']}: {would['result']}, since {would['why']}",
        f"route: {told['route'] or NONE}",
    ]
    if "if_the_upstream_fails" in would:
        lines.insert(1, f"if the upstream fails: {would['if_the_upstream_fails']}")
    if told["caching"] is not None:
        lines.append(f"caching: {_pairs(told['caching'])}")
    if "key" in told:
        lines.append(f"key: {_pairs(told['key'])}")
        if (mark := told["not_stored"]) is not None:
            lines.append(f"not stored: {mark['why'] or 'nobody said why'}; until {mark['until']} nobody waits for it")
        lines.append(f"stored in Redis: {len(told['stored']) or 'nothing'}")
        for variant in told["stored"]:
            lines += _variant(variant)
    return "\n".join(map(printable, lines))


def _variant(variant: Mapping[str, Any]) -> list[str]:
    left_s = variant["left_s"]
    life = f"{left_s:.1f} s of {variant['lifetime_s']:.1f} s left" if left_s > 0 else f"stale for {-left_s:.1f} s"
    said = [word.replace("_", "-") for word in ("no_cache", "must_revalidate", "guessed") if variant[word]]
    said += [
        f"{name} {variant[key]:g} s"
        for name, key in (
            ("stale-while-revalidate", "stale_while_revalidate_s"),
            ("stale-if-error", "stale_if_error_s"),
        )
        if variant[key]
    ]
    said += [
        f"{name.replace('_', '-')} {variant[name]}" for name in ("etag", "last_modified", "range") if variant[name]
    ]
    lines = [
        f"- {variant['status']}, {variant['bytes']:,} bytes, age {variant['age_s']:.1f} s, "
        + ", ".join([life, *said])
        + (", selected" if variant["selected"] else ""),
        f"  fetched {variant['fetched']} in {variant['fetch_ms']} ms, kept until {variant['kept_in_redis_until']}",
    ]
    if (purged := variant["purged"]) is not None:
        lines.append(f"  purged: {purged['by']}" + (f", at {purged['at']}" if purged["at"] else ""))
    if variant["selecting"]:
        lines.append("  selected by: " + ", ".join(_selecting(one) for one in variant["selecting"]))
    fields = [f"{one['name']}: {one['value']}" if "value" in one else one["name"] for one in variant["fields"]]
    lines.append("  fields: " + "; ".join(fields))
    return lines


def _selecting(one: Mapping[str, Any]) -> str:
    value = f" {one['value']!r}" if "value" in one else ""
    return f"{one['name']}{value} ({'as' if one['same'] else 'not as'} asked)"


def _pairs(of: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in of.items() if value not in (None, "", [])}
    return ", ".join(f"{name} {_word(value)}" for name, value in shown.items())


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (
        " ".join(map(str, value))
        if isinstance(value, list)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
