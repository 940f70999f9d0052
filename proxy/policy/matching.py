"""Which route a request takes: the first whose method, host, path, query and header fields all match. Pure.

Patterns mean what ``policy.patterns`` says. The path is the one that ``policy.target`` gives. Further rules:

* A route that names methods takes only those; one that names GET takes HEAD too (RFC 9110 §9.3.2).
* The host is compared without its port and without a final dot, in any case of letters.
* A header field must be there once its name is given; where a field comes several times, the mapping's first counts.
* A query parameter matches if any of its values does; names and values are decoded first, ``+`` is a space.

Cost: one regular expression over all routes that take the method; one more for each route that was met by path and
refused by another predicate.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl

from proxy.policy.model import Match, Route
from proxy.policy.patterns import path_regex, value_regex

_NEVER: Final = re.compile(r"(?!)")


class _Predicates:
    """What a route asks beside method and path."""

    __slots__ = ("headers", "hosts", "query", "suffixes")

    def __init__(self, match: Match) -> None:
        hosts = [host.lower() for host in match.hosts]
        self.hosts = frozenset(host for host in hosts if not host.startswith("*."))
        self.suffixes = tuple(host[1:] for host in hosts if host.startswith("*."))
        self.headers = tuple((name, value_regex(value)) for name, value in match.headers)
        self.query = tuple((name, value_regex(value)) for name, value in match.query)

    def hold(self, host: str, query: str, headers: Mapping[str, str]) -> bool:
        if self.hosts or self.suffixes:
            name = bare_host(host)
            if name not in self.hosts and not name.endswith(self.suffixes):
                return False
        for field, regex in self.headers:
            value = headers.get(field)
            if value is None or not regex.fullmatch(value):
                return False
        if self.query:
            given = parse_qsl(query, keep_blank_values=True)
            for parameter, regex in self.query:
                if not any(name == parameter and regex.fullmatch(value) for name, value in given):
                    return False
        return True


class _Table:
    """The routes that take one method, in order."""

    __slots__ = ("_regexes", "predicates", "routes")

    def __init__(self, routes: list[Route]) -> None:
        self.routes = routes
        self.predicates = [
            _Predicates(route.match) if route.match.hosts or route.match.headers or route.match.query else None
            for route in routes
        ]
        self._regexes: list[re.Pattern[str] | None] = [None] * (len(routes) + 1)

    def regex_from(self, start: int) -> re.Pattern[str]:
        """Matches a path that a route at or after ``start`` takes; the last group's number, from 1, tells which.

        Made at its first use: only what follows a route with predicates is ever asked for.
        """
        regex = self._regexes[start]
        if regex is None:
            # An empty group after each alternative costs nothing to fill, unlike one around it.
            paths = [path_regex(route.match.path) + "()" for route in self.routes[start:]]
            regex = self._regexes[start] = re.compile("|".join(paths)) if paths else _NEVER
        return regex


class Router:
    """Finds the route of a request. Made once a policy; ``routes`` in the order in which they are tried."""

    __slots__ = ("_any", "_tables")

    def __init__(self, routes: tuple[Route, ...]) -> None:
        named = {method for route in routes for method in taken_methods(route.match)}
        self._tables = {
            method: _Table(
                [route for route in routes if not route.match.methods or method in taken_methods(route.match)]
            )
            for method in named
        }
        self._any = _Table([route for route in routes if not route.match.methods])
        for table in (self._any, *self._tables.values()):
            table.regex_from(0)

    def match(self, method: str, host: str, path: str, query: str, headers: Mapping[str, str]) -> Route | None:
        """The first route that takes the request, or None.

        ``host`` is the Host field, ``path`` from ``policy.target``, ``query`` raw without its question mark;
        ``headers`` is asked for names in lower case (a case-insensitive mapping does, too).
        """
        table = self._tables.get(method, self._any)
        start = 0
        while True:
            found = table.regex_from(start).fullmatch(path)
            if found is None:
                return None
            index = start + found.lastindex - 1  # type: ignore[operator]  # a match has gone through one of the groups
            predicates = table.predicates[index]
            if predicates is None or predicates.hold(host, query, headers):
                return table.routes[index]
            start = index + 1

    def methods_for(self, host: str, path: str, query: str, headers: Mapping[str, str]) -> tuple[str, ...]:
        """The methods with which the same request would find a route, sorted: for 405 and its Allow field."""
        return tuple(sorted(method for method in self._tables if self.match(method, host, path, query, headers)))


def taken_methods(match: Match) -> frozenset[str]:
    """Those named, with HEAD where GET is; empty for all."""
    return frozenset((*match.methods, "HEAD")) if "GET" in match.methods else frozenset(match.methods)


@lru_cache(maxsize=256)
def bare_host(host: str) -> str:
    """``App.Example.com.:8080`` → ``app.example.com``; an IPv6 literal keeps its brackets."""
    end = host.find("]") + 1 if host.startswith("[") else host.find(":")
    name = host[:end] if end > 0 else host
    return name.lower().removesuffix(".")
