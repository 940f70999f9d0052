"""Requests as access logs tell them: our own lines, nginx's and Envoy's. Pure.

* Ours: JSON with ``"msg": "request"``; other JSON lines of the gateway are no requests.
* nginx: ``combined``, or ``combined`` with ``name=value`` fields after it: ``host``, ``time`` (``$request_time``),
  ``tenant``, ``user``, ``tier``, ``key``. Times as ``$time_local`` or ``$time_iso8601``, both of a request's end.
* Envoy: its default text, and JSON with the names that Istio gives its default's fields (``start_time``, ``method``,
  ``path``, ``authority``, ``duration``, …), and ``tenant``, ``user``, ``tier``, ``key`` beside them.

No message of an error holds anything of the line.
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import orjson

from proxy.core.units import NANOS
from proxy.identity.address import parse_node

NONE_WORDS: Final = ("", "-")
LAST_MS: Final = 253_402_300_800_000  # the year 9999 ends
LONGEST_MS: Final = 366 * 86_400_000
COSTLIEST_USD: Final = 1_000_000  # of one call
MOST_TOKENS: Final = 10**12
_OURS: Final = "request"
_NUMBERS: Final = frozenset({int, float})
_NO_TIER: Final = "none"

_TEXT: Final = r'"((?:[^"\\]|\\.)*)"'
_NGINX: Final = re.compile(
    rf"(\S+) \S+ (.*?) \[([^\]]+)\] {_TEXT} ([0-9]{{3}}) (?:[0-9]+|-)(?: {_TEXT} {_TEXT})?(.*)", re.DOTALL
)
_PAIR: Final = re.compile(r'([a-z_]+)=(?:"((?:[^"\\]|\\.)*)"|(\S+))')
_ENVOY: Final = re.compile(
    rf"\[([^\]]+)\] {_TEXT} ([0-9]+) \S+(?: \S+)*? [0-9-]+ [0-9-]+ ([0-9]+|-) \S+ {_TEXT} {_TEXT} {_TEXT} {_TEXT}.*",
    re.DOTALL,
)
_LOCAL: Final = "%d/%b/%Y:%H:%M:%S %z"


class Entry:
    """One request. Times are epoch milliseconds. ``knows_callers``: the line would name its caller if there was one.

    ``address`` is the client's, or where the line has X-Forwarded-For, the peer's: ``forwarded`` is what that wrote.
    ``reason``: why the gateway refused it or failed, and ``upstream``: whether it asked one; of our own lines alone.
    ``nanousd`` and ``tokens`` are those of a call to a provider that was made; None: of none.
    """

    __slots__ = (
        "address",
        "end_ms",
        "forwarded",
        "host",
        "key",
        "knows_callers",
        "method",
        "nanousd",
        "outcome",
        "path",
        "query",
        "reason",
        "request_id",
        "route",
        "start_ms",
        "status",
        "tenant",
        "tier",
        "tokens",
        "upstream",
        "user",
    )

    def __init__(self, end_ms: int, took_ms: float, method: str, target: str, host: str, address: str) -> None:
        self.end_ms = end_ms
        self.start_ms = end_ms - int(took_ms)
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.host = host
        self.address = address
        self.forwarded = ""
        self.status = 0
        self.tenant: str | None = None
        self.user: str | None = None
        self.tier = _NO_TIER
        self.key: str | None = None
        self.knows_callers = False
        self.route = ""
        self.outcome = ""
        self.reason = ""
        self.upstream = False
        self.request_id = ""
        self.nanousd: int | None = None
        self.tokens = 0


def entry_of(line: bytes) -> Entry | None:
    """The request that a line tells; None for a line that tells of something else. Raises: ValueError."""
    first = line[:1]
    if first == b"{":
        return _json(line)
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    if not text.strip():
        return None
    return _envoy(text) if first == b"[" else _nginx(text)


def _json(line: bytes) -> Entry | None:
    try:
        told = orjson.loads(line)
    except ValueError:
        raise ValueError("not JSON") from None
    if told.get("msg") == _OURS:
        return _ours(told)
    if "start_time" in told:
        return _envoy_json(told)
    if "msg" in told:
        return None  # the gateway's own events
    raise ValueError("JSON of neither Sluicegate nor Envoy")


def _ours(told: dict[str, Any]) -> Entry | None:
    get = told.get
    method = get("method")
    if method is None:
        return None  # what was no request: a head that could not be parsed
    words: tuple[Any, ...] = (
        method,
        get("path"),
        get("host", ""),
        get("ip", ""),
        get("tier", _NO_TIER),
        get("route", ""),
    )
    numbers: tuple[Any, ...] = (
        get("ts"),
        get("ms", 0),
        get("status"),
        get("cost_usd", 0),
        get("tokens_in", 0),
        get("tokens_out", 0),
    )
    names = (get("tenant", ""), get("user", ""), get("key", ""), get("id", ""), get("outcome", ""), get("reason", ""))
    if not all(type(one) is str for one in words + names) or not all(type(one) in _NUMBERS for one in numbers):
        raise ValueError("a field of a request's line is missing or of another type")
    ends_ms, took_ms = _within(told["ts"] * 1000, numbers[1])
    entry = Entry(ends_ms, took_ms, method, words[1], words[2], words[3])
    entry.status = _status(numbers[2])
    entry.knows_callers = True
    entry.tenant, entry.user, entry.key = get("tenant"), get("user"), get("key")
    entry.tier = get("tier", _NO_TIER)
    entry.route, entry.outcome, entry.request_id = get("route", ""), get("outcome", ""), get("id", "")
    entry.reason, entry.upstream = get("reason", ""), "upstream" in told
    cost = get("cost_usd")
    if cost is not None and "saved_usd" not in told:
        tokens = numbers[4] + numbers[5]
        if not 0 <= cost <= COSTLIEST_USD or not 0 <= tokens <= MOST_TOKENS:
            raise ValueError("its cost or its tokens are out of bounds")
        entry.nanousd = round(cost * NANOS)
        entry.tokens = int(tokens)
    return entry


def _within(end_ms: float, took_ms: float) -> tuple[int, float]:
    """Both, where they are times. Raises: ValueError."""
    if not 0 <= end_ms < LAST_MS or not 0 <= took_ms < LONGEST_MS:
        raise ValueError("its time or its duration is out of bounds")
    return int(end_ms), took_ms


def _status(number: float) -> int:
    """Raises: ValueError."""
    if not 0 <= number < 1000:
        raise ValueError("its status is none")
    return int(number)


# --- nginx -------------------------------------------------------------------------------------------------------


def _nginx(text: str) -> Entry | None:
    found = _NGINX.fullmatch(text)
    if found is None:
        raise ValueError("neither nginx's combined format nor Envoy's nor JSON")
    address, user, moment, request, status, _, _, rest = found.groups()
    named = {name: quoted or bare for name, quoted, bare in _PAIR.findall(rest)} if rest else {}
    method, target = _request(request)
    if not method:
        return None
    ends_ms, took_ms = _within(_moment_ms(moment), _number(named.get("time", "0")) * 1000)
    entry = Entry(ends_ms, took_ms, method, target, _word(named.get("host")) or "", address)
    entry.status = int(status)
    _name_caller(entry, named)
    if entry.user is None:
        entry.user = _word(user)
    return entry


def _request(text: str) -> tuple[str, str]:
    """Method and target of a request line; nothing where it was none."""
    words = text.split(" ")
    if len(words) < 2 or not words[1].startswith("/"):
        return "", ""
    return words[0], words[1]


# --- Envoy -------------------------------------------------------------------------------------------------------


def _envoy(text: str) -> Entry | None:
    found = _ENVOY.fullmatch(text)
    if found is None:
        raise ValueError("begins as Envoy's default format does, and goes on in another way")
    moment, request, status, took, forwarded, _, request_id, host = found.groups()
    method, target = _request(request)
    if not method:
        return None
    ends_ms, took_ms = _ended(_iso_ms(moment), _number(took))
    entry = Entry(ends_ms, took_ms, method, target, _word(host) or "", "")
    entry.forwarded = _word(forwarded) or ""
    entry.status = int(status)
    entry.request_id = _word(request_id) or ""
    return entry


def _envoy_json(told: dict[str, Any]) -> Entry | None:
    get = told.get
    method, target = _word(get("method")), _word(get("path"))
    if method is None or target is None or not target.startswith("/"):
        return None
    peer = _word(get("downstream_remote_address")) or ""
    ends_ms, took_ms = _ended(_iso_ms(str(told["start_time"])), _number(get("duration", 0)))
    entry = Entry(ends_ms, took_ms, method, target, _word(get("authority")) or "", parse_node(peer) or peer)
    entry.forwarded = _word(get("x_forwarded_for")) or ""
    entry.status = _status(_number(get("response_code", 0)))
    entry.request_id = _word(get("request_id")) or ""
    _name_caller(entry, told)
    return entry


def _ended(start_ms: int, took_ms: float) -> tuple[int, float]:
    """Of a line that tells when its request began."""
    _within(start_ms, took_ms)
    return start_ms + int(took_ms), took_ms


# --- their words -------------------------------------------------------------------------------------------------


def _name_caller(entry: Entry, named: dict[str, Any]) -> None:
    entry.knows_callers = not named.keys().isdisjoint(("tenant", "user", "tier", "key"))
    entry.tenant, entry.user, entry.key = _word(named.get("tenant")), _word(named.get("user")), _word(named.get("key"))
    entry.tier = _word(named.get("tier")) or _NO_TIER


def _word(value: object) -> str | None:
    return None if value is None or value in NONE_WORDS else str(value)


def _number(value: object) -> float:
    if value in NONE_WORDS:
        return 0.0
    try:
        return float(value)  # type: ignore[arg-type]  # the error is the answer
    except (TypeError, ValueError):
        raise ValueError("a duration or a status is not a number") from None


@lru_cache(maxsize=1024)
def _moment_ms(text: str) -> int:
    """nginx's, to the second: many lines have the same."""
    try:
        moment = datetime.fromisoformat(text) if text[4:5] == "-" else datetime.strptime(text, _LOCAL)  # noqa: DTZ007 - it has %z
    except ValueError:
        raise ValueError("its time is neither $time_local nor $time_iso8601") from None
    return int(moment.timestamp() * 1000)


def _iso_ms(text: str) -> int:
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        raise ValueError("its start time is not in ISO 8601") from None
