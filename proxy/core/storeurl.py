"""What a store's URL says: the policy refuses a wrong one, the store connects to a right one. Pure.

``redis://[user:password@]host[:6379][/db]`` · ``rediss://…`` (TLS) · ``unix:///path/to/socket[?db=0]`` ·
``redis+sentinel://[user:password@]host[:26379][,host…]/name[/db]`` ·
``redis+cluster://[user:password@]host[:6379][,host…]``; ``rediss+sentinel`` and ``rediss+cluster`` speak TLS to the
nodes. The credentials are the nodes'; sentinels that ask for their own get
``?sentinel_username=…&sentinel_password=…``.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

_ESCAPES: Final = "a '/', '?' or '#' in a Redis URL's password is written as %2F, %3F or %23"


class StoreUrlError(ValueError):
    """The URL cannot be a store; the message says what would be right and never repeats the URL's password."""


class Topology(StrEnum):
    STANDALONE = "standalone"
    UNIX = "unix"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


_SCHEMES: Final = {
    "redis": (Topology.STANDALONE, False, 6379),
    "rediss": (Topology.STANDALONE, True, 6379),
    "unix": (Topology.UNIX, False, 0),
    "redis+sentinel": (Topology.SENTINEL, False, 26379),
    "rediss+sentinel": (Topology.SENTINEL, True, 26379),
    "redis+cluster": (Topology.CLUSTER, False, 6379),
    "rediss+cluster": (Topology.CLUSTER, True, 6379),
}
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class StoreUrl:
    topology: Topology
    tls: bool
    hosts: tuple[tuple[str, int], ...]  # empty for UNIX
    path: str  # UNIX: the socket
    master: str  # SENTINEL: the name of the set
    db: int
    username: str | None
    password: str | None = field(repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Fit for a log: no credentials."""
        places = self.path or ",".join(f"{host}:{port}" for host, port in self.hosts)
        return f"{self.topology.value} at {places}" + (f" ({self.master})" if self.master else "")


def _host(text: str, default: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(default)
    if not host or not _NUMBER.fullmatch(port) or not 0 < int(port) < 65536:
        raise StoreUrlError("a Redis URL has a place that is not host or host:port")
    return host.strip("[]"), int(port)


def _db(text: str) -> int:
    if text and not _NUMBER.fullmatch(text):
        raise StoreUrlError("a Redis URL's database is a number")
    return int(text or 0)


def parse_store_url(text: str) -> StoreUrl:
    """Raises: StoreUrlError with what would be right."""
    try:
        parts = urlsplit(text)
    except ValueError:  # its message may quote the credentials
        raise StoreUrlError("a Redis URL has a place that is not host or host:port") from None
    if parts.scheme not in _SCHEMES:
        raise StoreUrlError(f"a Redis URL begins with one of {', '.join(s + '://' for s in _SCHEMES)}")
    topology, tls, port = _SCHEMES[parts.scheme]
    if parts.fragment or (topology is not Topology.UNIX and "@" in parts.path):
        raise StoreUrlError(_ESCAPES)
    credentials, _, places = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    known = {Topology.UNIX: {"db"}, Topology.SENTINEL: {"sentinel_username", "sentinel_password"}}.get(topology, set())
    if unknown := set(query) - known:
        # With an '@' it may be the rest of a password.
        raise StoreUrlError(_ESCAPES if "@" in parts.query else f"a {parts.scheme} URL has no option {min(unknown)!r}")
    steps = [step for step in parts.path.split("/") if step]
    master, db = "", ""
    if topology is Topology.UNIX:
        db = query.get("db", "")
        if not parts.path or places:  # of unix://run/redis.sock the first step would be taken for a host
            raise StoreUrlError("a unix URL names a socket: unix:///run/redis.sock")
    elif topology is Topology.SENTINEL:
        if not 1 <= len(steps) <= 2:
            raise StoreUrlError("a Sentinel URL ends in the name of its set: redis+sentinel://host:26379/mymaster")
        master, db = steps[0], steps[1] if len(steps) > 1 else ""
    elif topology is Topology.CLUSTER:
        if steps and steps != ["0"]:
            raise StoreUrlError("a cluster has no databases: leave the path away")
    else:
        if len(steps) > 1:
            raise StoreUrlError("a Redis URL's path is its database's number")
        db = steps[0] if steps else ""
    hosts = () if topology is Topology.UNIX else tuple(_host(place, port) for place in places.split(","))
    if topology is Topology.STANDALONE and len(hosts) > 1:
        raise StoreUrlError("several hosts need redis+sentinel:// or redis+cluster://")
    return StoreUrl(
        topology=topology,
        tls=tls,
        hosts=hosts,
        path=unquote(parts.path) if topology is Topology.UNIX else "",
        master=unquote(master),
        db=_db(db),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_username=query.get("sentinel_username"),
        sentinel_password=query.get("sentinel_password"),
    )
