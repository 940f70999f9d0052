"""What ops ask to be purged: read from JSON or the command line, and turned into what the log of purges names. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from proxy.cache.digests import (
    ANY_HOST,
    EVERYWHERE,
    PUBLIC,
    Partition,
    of_tenant,
    purge_of_all,
    purge_of_prefix,
    purge_of_tag,
    purge_of_url,
)
from proxy.cache.query import normalised_target
from proxy.core.errors import GatewayError
from proxy.policy.caching import Caching
from proxy.policy.matching import bare_host
from proxy.policy.model import Policy
from proxy.policy.patterns import path_regex
from proxy.policy.target import matched_path

MOST_TAGS: Final = 1_000

_SHOWN: Final = 5  # tags
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_WORDS: Final = ("url", "prefix", "tags", "tenant", "all")
_WITHIN: Final = ("within", "public", "host")


class WordError(ValueError):
    """What is asked cannot be meant; the message names the field that is wrong."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One purge. Exactly one of ``url``, ``prefix``, ``tags``, ``tenant`` and ``everything`` is set.

    ``partition`` is that within which it names things; ``hosts`` are those of a URL or prefix, ANY_HOST for all.
    """

    partition: Partition = EVERYWHERE
    url: str | None = None
    prefix: str | None = None
    tags: tuple[str, ...] = ()
    tenant: str | None = None
    everything: bool = False
    hosts: tuple[str, ...] = (ANY_HOST,)

    def __str__(self) -> str:
        """As it is told to whoever asked."""
        whose = {
            b"public": " of the public answers",
            b"tenant": f" of tenant {self.partition.tenant}",
        }.get(self.partition.kind, "")
        host = "" if self.hosts[0] == ANY_HOST else f" on {self.hosts[0]}"
        if self.url is not None:
            return f"the URL {self.url}{host}{whose}"
        if self.prefix is not None:
            return f"{self.prefix} and all below it{host}{whose}"
        if self.tags:
            more = f" and {len(self.tags) - _SHOWN} more" if len(self.tags) > _SHOWN else ""
            return f"the tag{'s' * (len(self.tags) > 1)} {', '.join(self.tags[:_SHOWN])}{more}{whose}"
        return f"everything{whose}"


def read(words: Mapping[str, Any]) -> Wanted:
    """Raises: WordError."""
    for name in words:
        if name not in (*_WORDS, *_WITHIN):
            raise WordError(name, f"there is no such field; there are {', '.join((*_WORDS, *_WITHIN))}")
    given = [name for name in _WORDS if name in words]
    if len(given) != 1:
        raise WordError(given[1] if given else "url", f"say exactly one of {', '.join(_WORDS)}")
    (what,) = given
    partition, host = _partition(words), _host(words)
    if host is not None and what not in ("url", "prefix"):
        raise WordError("host", "only a URL or a prefix has one")
    if what == "tags":
        return Wanted(partition, tags=_tags(words["tags"]))
    if what == "tenant":
        if partition != EVERYWHERE:
            raise WordError("within" if "within" in words else "public", "a tenant is all that is purged here")
        tenant = _text(words, "tenant")
        return Wanted(of_tenant(tenant), tenant=tenant)
    if what == "all":
        if words["all"] is not True:
            raise WordError("all", "write true")
        return Wanted(partition, everything=True)
    target, hosts = _place(what, _text(words, what), host)
    if what == "url":
        return Wanted(partition, url=target, hosts=hosts)
    return Wanted(partition, prefix=_prefix(target), hosts=hosts)


def digests(wanted: Wanted, policy: Policy) -> tuple[int, ...]:
    """What the log is told, each once. A URL is taken as every route writes it that may have stored it."""
    partition, found = wanted.partition, dict[int, None]()
    if wanted.url is not None:
        for host in wanted.hosts:
            for target in targets(wanted.url, policy):
                found.update(dict.fromkeys(purge_of_url(partition, host, target)))
    elif wanted.prefix is not None:
        for host in wanted.hosts:
            found.update(dict.fromkeys(purge_of_prefix(partition, host, wanted.prefix)))
    elif wanted.tags:
        for tag in wanted.tags:
            found.update(dict.fromkeys(purge_of_tag(partition, tag.encode())))
    else:
        found.update(dict.fromkeys(purge_of_all(partition)))
    return tuple(found)


def targets(target: str, policy: Policy) -> tuple[str, ...]:
    """The target as it is written, and as each caching route that takes its path has it in its keys."""
    found = {target: None}
    for caching in cachings(target, policy):
        found[normalised_target(target, caching.ignore_query, caching.only_query)] = None
    return tuple(found)


def cachings(target: str, policy: Policy) -> list[Caching]:
    """Of the routes that take its path, whatever else they ask for."""
    listen = policy.listen
    try:
        path = matched_path(target.partition("?")[0], listen.double_slash, listen.encoded_slash)
    except GatewayError:
        return []  # no request of it gets anywhere
    return [
        route.caching
        for route in policy.routes
        if route.caching is not None and re.fullmatch(path_regex(route.match.path), path)
    ]


def place_of(url: str) -> tuple[str, str, str]:
    """Scheme, host as clients send it (lower case, a default port left out) and target of an absolute URL.

    Raises: ValueError.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("this is no URL") from None
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS or not parts.netloc:
        raise ValueError("write the whole URL, such as https://app.example.com/reports?page=2")
    host = parts.netloc.lower()
    _check_host(host)
    if port == _DEFAULT_PORTS[scheme]:
        host = host.removesuffix(f":{port}")
    rest = url.split("://", 1)[1][len(parts.netloc) :]
    target = rest if rest.startswith("/") else "/" + rest
    _check_target(target)
    return scheme, host, target


# --- one field each ----------------------------------------------------------------------------------------------


def _text(words: Mapping[str, Any], name: str) -> str:
    value = words[name]
    if not isinstance(value, str) or not value:
        raise WordError(name, "write text")
    _check_encodes(name, value)
    return value


def _partition(words: Mapping[str, Any]) -> Partition:
    public = words.get("public", False)
    if not isinstance(public, bool):
        raise WordError("public", "write true or false")
    if "within" not in words:
        return PUBLIC if public else EVERYWHERE
    if public:
        raise WordError("public", "what is public is no tenant's: within or public, not both")
    return of_tenant(_text(words, "within"))


def _host(words: Mapping[str, Any]) -> str | None:
    if "host" not in words:
        return None
    host = _text(words, "host").lower()
    try:
        _check_host(host)
    except ValueError as error:
        raise WordError("host", str(error)) from None
    return host


def _place(name: str, written: str, host: str | None) -> tuple[str, tuple[str, ...]]:
    """Target and hosts: a URL's own, the one that is said, or any."""
    if written.startswith("/"):
        try:
            _check_target(written)
        except ValueError as error:
            raise WordError(name, str(error)) from None
        return written, (ANY_HOST if host is None else host,)
    if host is not None:
        raise WordError("host", f"the {name} names its host already: begin it with a slash, or leave this out")
    try:
        scheme, named, target = place_of(written)
    except ValueError as error:
        raise WordError(name, f"{error}; or only its path, which is meant on every host then") from None
    # A client that writes the default port has another key, and means the same.
    bare = bare_host(named) == named
    return target, (named, f"{named}:{_DEFAULT_PORTS[scheme]}") if bare else (named,)


def _prefix(target: str) -> str:
    if "?" in target:
        raise WordError("prefix", "a prefix is of paths: it has no query")
    if target.rstrip("/").endswith("*"):
        raise WordError("prefix", "all below a path is meant without a star: /api/reports, not /api/reports/*")
    return target


def _tags(value: Any) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise WordError("tags", "write a list of text")
    if len(value) > MOST_TAGS:
        raise WordError("tags", f"these are more than {MOST_TAGS} at once")
    for tag in value:
        if not isinstance(tag, str) or not tag.strip(" \t"):
            raise WordError("tags", "write a list of text, none of it empty")
        _check_encodes("tags", tag)
    return tuple(dict.fromkeys(tag.strip(" \t") for tag in value))


def _check_encodes(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise WordError(name, "this is not UTF-8") from None


def _check_host(host: str) -> None:
    """Raises: ValueError."""
    if not _HOST.fullmatch(host):
        raise ValueError("write the host as clients send it, such as app.example.com or app.example.com:8443")


def _check_target(target: str) -> None:
    """Raises: ValueError."""
    if "#" in target:
        raise ValueError("what follows a # is never sent: leave it out")
    if not target.isascii() or not target.isprintable() or " " in target:
        raise ValueError("write it as clients send it: what is not ASCII is percent-encoded")
