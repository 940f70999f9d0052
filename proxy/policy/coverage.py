"""Whether a route can ever be reached: not if an earlier one takes all that it would take. Pure."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from proxy.policy.matching import taken_methods
from proxy.policy.model import Match, Route
from proxy.policy.patterns import host_covers, path_covers, value_covers

_WILD: Final = re.compile(r"[{*]")


def covers(outer: Match, inner: Match) -> bool:
    """Whether ``outer`` certainly matches every request that ``inner`` does."""
    return (
        _methods_cover(outer, inner)
        and _hosts_cover(outer.hosts, inner.hosts)
        and _values_cover(outer.headers, inner.headers)
        and _values_cover(outer.query, inner.query)
        and path_covers(outer.path, inner.path)
    )


def literal(path: str) -> str:
    """What a path that the pattern matches begins with for sure. A pattern covers another only if its own is the
    other's, or the beginning of it."""
    return _WILD.split(path.removesuffix("/**"), maxsplit=1)[0]


def hidden(routes: Iterable[Route]) -> Iterator[tuple[Route, Route]]:
    """Each route that is never reached, and the first above it that takes all that it would take."""
    above: dict[str, list[Route]] = {}  # by what their paths begin with: to compare all with all would take minutes
    for route in routes:
        begins = literal(route.match.path)
        near = [one for end in range(len(begins) + 1) for one in above.get(begins[:end], ())]
        above.setdefault(begins, []).append(route)
        for earlier in sorted(near, key=lambda one: one.index):
            if covers(earlier.match, route.match):
                yield route, earlier
                break


def _methods_cover(outer: Match, inner: Match) -> bool:
    if not outer.methods:
        return True
    return bool(inner.methods) and taken_methods(outer) >= taken_methods(inner)


def _hosts_cover(outer: Iterable[str], inner: tuple[str, ...]) -> bool:
    outer = tuple(outer)
    if not outer:
        return True
    return bool(inner) and all(any(host_covers(one, host) for one in outer) for host in inner)


def _values_cover(outer: Iterable[tuple[str, str]], inner: tuple[tuple[str, str], ...]) -> bool:
    """Each thing that the outer asks is asked by the inner, as strictly."""
    return all(any(name == other and value_covers(value, given) for other, given in inner) for name, value in outer)
