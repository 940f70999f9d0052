"""The policy's own kinds of value: rates, scopes, networks, origins, claim paths and such, each as a ``Spelling``."""

import datetime
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from proxy.core.headers import is_token
from proxy.core.storeurl import parse_store_url
from proxy.core.units import DURATIONS_MS, UnitError, parse_count, parse_duration_ms
from proxy.policy.model import MILLI, Address, Network, Origin, Period, Scope, ScopeKind
from proxy.policy.patterns import PatternError, normal_path
from proxy.policy.problems import meant
from proxy.policy.spelling import Spelling, as_number_text, as_text, kind_of, pattern_json, written

MAX_EXACT: Final = 2**53  # Lua counts in doubles: beyond this a step of one is lost
SYMMETRIC: Final = {"HS256": 32, "HS384": 48, "HS512": 64}  # least bytes of the secret (RFC 7518 §3.2)
ALGORITHMS: Final = (
    *SYMMETRIC, "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
EDITED_BY_USERS: Final = ("user_metadata", "raw_user_meta_data")

_PERIODS: Final = {period.value: period for period in Period}


VERSION: Final = 1


def _read_version(raw: object) -> int:
    if as_number_text(raw, str(VERSION)) != str(VERSION):
        raise ValueError(f"{raw} is not known; this release reads version {VERSION}")
    return VERSION


FORMAT_VERSION: Final = Spelling(str(VERSION), _read_version, VERSION, {"const": VERSION})


# --- rates and weights -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WrittenRate:
    """``count`` a window (milliseconds), or a calendar period, or neither (what may be in flight)."""

    count: int
    window_ms: int = 0
    period: Period | None = None


def _positive(spelled: str, whole: str) -> int:
    try:
        value = parse_count(spelled)
    except UnitError:
        raise ValueError(f"{whole!r}: {spelled.strip()!r} is not a whole number") from None
    if value < 1:
        raise ValueError(f"{whole!r}: a limit lets at least 1 through")
    if value * MILLI > MAX_EXACT:
        raise ValueError(f"{whole!r} is more than {MAX_EXACT // MILLI}, the most that can be counted exactly")
    return value


def read_rate(raw: object) -> WrittenRate:
    """``600/1m``, ``100_000/day``. Raises: ValueError."""
    spelled = as_number_text(raw, "a rate such as 600/1m or 100_000/day")
    number, slash, window = spelled.partition("/")
    if not slash:
        raise ValueError(f"{spelled!r} is not a rate; write a number, '/', and a window: 600/1m, or 100_000/day")
    count = _positive(number, spelled)
    if window.strip() in _PERIODS:
        return WrittenRate(count, period=_PERIODS[window.strip()])
    try:
        window_ms = parse_duration_ms(window)
    except UnitError as error:
        if window.strip() in DURATIONS_MS:
            raise ValueError(
                f"{spelled!r}: the window lacks a number; did you mean {f'{number}/1{window}'!r}?"
            ) from None
        raise ValueError(f"{spelled!r}: {str(error).removeprefix(f'{window!r}: ')}") from None
    if window_ms < 100:
        raise ValueError(f"{spelled!r}: a window is at least 100ms long")
    return WrittenRate(count, window_ms)


def read_in_flight(raw: object) -> WrittenRate:
    """A whole number of requests that may be under way. Raises: ValueError."""
    spelled = as_number_text(raw, "a whole number")
    return WrittenRate(_positive(spelled, spelled))


def _read_exception(raw: object) -> WrittenRate:
    return read_rate(raw) if isinstance(raw, str) and "/" in raw else read_in_flight(raw)


_RATE_JSON: Final = pattern_json(r"[0-9][0-9_]*/([0-9][0-9_.]*(ms|s|m|h|d)|hour|day|week|month)")
_COUNT_JSON: Final = {"anyOf": [{"type": "integer", "minimum": 1}, pattern_json("[0-9][0-9_]*")]}

RATE: Final = Spelling("a rate", read_rate, "600/1m", _RATE_JSON)
IN_FLIGHT: Final = Spelling("a whole number from 1", read_in_flight, 1, _COUNT_JSON)
EXCEPTION: Final = Spelling(
    "a rate, or a whole number for what may be in flight",
    _read_exception,
    "600/1m",
    {"anyOf": [_RATE_JSON, _COUNT_JSON]},
)


def _read_weight(raw: object) -> int:
    spelled = as_number_text(raw, "a number")
    try:
        scaled = Decimal(spelled.replace("_", "")) * MILLI
    except InvalidOperation:
        raise ValueError(f"{spelled!r} is not a number") from None
    if not scaled.is_finite() or not 1 <= scaled <= 1_000_000 * MILLI or scaled != int(scaled):
        raise ValueError(f"{spelled} is not a number from 0.001 to 1000000 with at most three decimals")
    return int(scaled)


WEIGHT: Final = Spelling(
    "a number from 0.001 to 1000000",
    _read_weight,
    1,
    {"anyOf": [{"type": "number", "minimum": 0.001, "maximum": 1_000_000}, pattern_json(r"[0-9][0-9_]*(\.[0-9]+)?")]},
)


# --- claims and scopes -------------------------------------------------------------------------------------------


def claim_steps(path: str, steps: tuple[str, ...]) -> tuple[str, ...]:
    """Raises: ValueError for an empty step, and for what users edit themselves."""
    if not all(steps):
        raise ValueError(f"{path!r} is not a claim path; write steps with dots between: app_metadata.tenant")
    if any(step in EDITED_BY_USERS for step in steps):
        raise ValueError(f"{path!r} is refused: users edit their own user_metadata, so nothing may depend on it")
    return steps


def _read_claim(raw: object) -> tuple[str, ...]:
    if isinstance(raw, list):
        steps = tuple(as_text(step, "text") for step in raw)
        return claim_steps(".".join(steps), steps or ("",))
    path = as_text(raw, "a claim path such as app_metadata.tenant")
    return claim_steps(path, tuple(path.split(".")))


CLAIM: Final = Spelling(
    "a claim path, steps with dots between (or a list of steps, where a claim's name has dots)",
    _read_claim,
    "claim",
    {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]},
)


def _read_claim_value(raw: object) -> str | int | bool:
    if isinstance(raw, bool | int | str):
        return raw
    raise ValueError(f"must be text, a whole number, true or false, not {kind_of(raw)}")


CLAIM_VALUE: Final = Spelling(
    "text, a whole number, true or false", _read_claim_value, "text", {"type": ["string", "integer", "boolean"]}
)

_SCOPES: Final = [kind.value for kind in ScopeKind if kind is not ScopeKind.CLAIM]


def _read_scope(raw: object) -> Scope:
    name = as_text(raw, "a scope")
    if name.startswith("claim:"):
        path = name.removeprefix("claim:")
        return Scope(ScopeKind.CLAIM, claim_steps(path, tuple(path.split("."))))
    if name not in _SCOPES:
        raise ValueError(f"unknown scope {name!r}{meant(name, [*_SCOPES, 'claim:a.b.c'])}")
    return Scope(ScopeKind(name))


SCOPE: Final = Spelling(
    f"one of {', '.join(_SCOPES)}, claim:a.b.c", _read_scope, "ip", pattern_json("|".join([*_SCOPES, "claim:.+"]))
)


def _read_algorithm(raw: object) -> str:
    name = as_text(raw, "an algorithm such as RS256")
    if name.lower() == "none":
        raise ValueError(f"{name!r} is refused: a token without a signature proves nothing")
    if name not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {name!r}{meant(name, ALGORITHMS)}")
    return name


ALGORITHM: Final = Spelling(f"one of {', '.join(ALGORITHMS)}", _read_algorithm, "RS256", {"enum": [*ALGORITHMS]})


# --- secrets: messages never quote them --------------------------------------------------------------------------


def _read_secret(raw: object) -> str:
    value = as_text(raw, "text")
    if any(char < " " or char == "\x7f" for char in value):
        raise ValueError("a secret holds no control characters; has a newline come with it?")
    return value


SECRET: Final = Spelling("text", _read_secret, "0" * 64, {"type": "string"})


def _read_digest(raw: object) -> str:
    value = as_text(raw, "64 hexadecimal digits").lower()
    if not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError("must be the key's SHA-256 in 64 hexadecimal digits, never the key itself")
    return value


DIGEST: Final = Spelling("64 hexadecimal digits", _read_digest, "0" * 64, pattern_json("[0-9a-fA-F]{64}"))


# --- places ------------------------------------------------------------------------------------------------------


def _read_address(raw: object) -> Address:
    example = "write host:port, such as 127.0.0.1:8080 or [::1]:8080"
    if isinstance(raw, int) and not isinstance(raw, bool):
        raise ValueError(f"{raw} has no host; {example}")
    spelled = as_text(raw, "an address")
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", spelled)
    if found is None or int(found[3]) > 65535:
        raise ValueError(f"{spelled!r} is not an address; {example}")
    return Address(found[1] or found[2], int(found[3]))


ADDRESS: Final = Spelling("host:port", _read_address, "127.0.0.1:8080", pattern_json(r".+:[0-9]{1,5}"))


def _read_network(raw: object) -> Network:
    spelled = as_text(raw, "an address or a network")
    try:
        return ip_network(spelled)
    except ValueError:
        pass
    try:
        nearest = ip_network(spelled, strict=False)
    except ValueError:
        raise ValueError(f"{spelled!r} is not an IP address or network such as 10.0.0.0/8") from None
    raise ValueError(f"{spelled!r} has bits set beyond its prefix; did you mean {str(nearest)!r}?")


NETWORK: Final = Spelling("an address or network (CIDR)", _read_network, "10.0.0.0/8", pattern_json("[0-9A-Fa-f:./]+"))


_PORTS: Final = {"http": 80, "https": 443, "smtp": 587, "smtps": 465}


def read_url(raw: object, schemes: tuple[str, ...]) -> tuple[str, str, int, str]:
    """Scheme, host, port, path and query. Raises: ValueError, without quoting: a URL may hold a password."""
    spelled = as_text(raw, "a URL")
    try:
        parts = urlsplit(spelled)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL, or its port is no number up to 65535") from None
    wanted = " or ".join(f"{scheme}://" for scheme in schemes)
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"must be a URL that begins with {wanted} and names a host")
    if not re.fullmatch(r"[A-Za-z0-9._:-]+", parts.hostname) or not re.fullmatch(r"[!-~]*", parts.path):
        raise ValueError("must be a URL in plain ASCII, without white space")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or a password")
    if parts.fragment:
        raise ValueError("must not hold a fragment")
    if port == 0:
        raise ValueError("must not name port 0")
    query = f"?{parts.query}" if parts.query else ""
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme], parts.path + query


def is_loopback(host: str) -> bool:
    """Whether a URL's host, or a listener's, is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _read_origin(raw: object) -> Origin:
    scheme, host, port, path = read_url(raw, ("http", "https"))
    if "?" in path:
        raise ValueError("must not hold a query: a request brings its own")
    return Origin(scheme, host, port, path.rstrip("/"))


ORIGIN: Final = Spelling("a URL, http or https", _read_origin, "http://127.0.0.1:3000", pattern_json("https?://.+"))


def _read_jwks_url(raw: object) -> str:
    read_url(raw, ("https", "http"))
    return str(raw)


JWKS_URL: Final = Spelling("a URL, https", _read_jwks_url, "https://issuer.invalid/jwks", pattern_json("https?://.+"))

_REDIS_SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")


def _read_redis(raw: object) -> str:
    spelled = as_text(raw, "'embedded' or a URL")
    scheme, found, rest = spelled.partition("://")
    if spelled == "embedded":
        return spelled
    if not found or scheme not in _REDIS_SCHEMES:
        known = ", ".join(f"{name}://" for name in _REDIS_SCHEMES)
        raise ValueError(f"must be 'embedded' or a URL that begins with one of {known}")
    if not rest or any(char <= " " for char in spelled):
        raise ValueError(f"must name a {'path' if scheme == 'unix' else 'host'}, without white space")
    parse_store_url(spelled)
    return spelled


REDIS: Final = Spelling(
    "embedded, or a URL",
    _read_redis,
    "embedded",
    pattern_json(r"embedded|(redis|rediss|unix|redis\+sentinel|redis\+cluster)://.+"),
)


def _read_redis_or_same(raw: object) -> str:
    if isinstance(raw, str) and raw == "same":
        return raw
    spelled = _read_redis(raw)
    if spelled == "embedded":
        raise ValueError("must be 'same' or a URL; the embedded server is the meters'")
    return spelled


REDIS_OR_SAME: Final = Spelling(
    "same, or a URL",
    _read_redis_or_same,
    "same",
    pattern_json(r"same|(redis|rediss|unix|redis\+sentinel|redis\+cluster)://.+"),
)


# --- names of HTTP -----------------------------------------------------------------------------------------------


def _read_field_name(raw: object) -> str:
    name = as_text(raw, "the name of a header field")
    if not name.isascii() or not is_token(name.encode()):
        raise ValueError(f"{name!r} is not the name of a header field")
    return name


FIELD_NAME: Final = Spelling("the name of a header field", _read_field_name, "X-Field", pattern_json("[!-~]+"))


def _read_field_value(raw: object) -> str:
    value = as_text(raw, "text")
    if any(not " " <= char <= "~" for char in value) or value != value.strip():
        raise ValueError("must be printable ASCII without white space around it")
    return value


FIELD_VALUE: Final = Spelling("text", _read_field_value, "text", {"type": "string"})
METHOD: Final = written("a method in capitals, such as GET", "[A-Z][A-Z-]{0,30}", "GET")
HOST_PATTERN: Final = written(
    "a host, exact or *.example.com, without a port",
    r"(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]",
    "app.example.com",
    str.lower,
)
ORIGIN_PATTERN: Final = written(
    "an origin: https://app.example.com, https://*.example.com, or *",
    r"\*|[a-z][a-z0-9+.-]*://(?:\*\.)?(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?",
    "https://app.example.com",
    str.lower,
)
COOKIE_PATTERN: Final = written("a cookie's name, '*' for any part of it", r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", "session")


def _read_path_pattern(raw: object) -> str:
    try:
        return normal_path(as_text(raw, "a path pattern such as /a/{id} or /a/**"))
    except PatternError as error:
        raise ValueError(str(error)) from None


PATH_PATTERN: Final = Spelling("a path pattern", _read_path_pattern, "/**", pattern_json("/.*"))
PREFIX: Final = written(
    "a path without a final slash, such as /api", r"(?:/[A-Za-z0-9._~!$&'()*+,=:@%-]+)*", "/prefix", json=r"(/[^/]+)*"
)


# --- time --------------------------------------------------------------------------------------------------------


def _read_zone(raw: object) -> str:
    name = as_text(raw, "a time zone such as Europe/Zurich")
    if name == "UTC":  # needs no database of zones, which slim images lack
        return name
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name!r}; write UTC or a name such as Europe/Zurich") from None
    return name


TIME_ZONE: Final = Spelling("a time zone's name (IANA)", _read_zone, "UTC", {"type": "string"})


def _read_end(raw: object) -> int:
    """Epoch milliseconds. A day without a time is its end; a time without a zone is UTC. Raises: ValueError."""
    value: Any = raw
    if isinstance(raw, str):
        try:
            value = datetime.date.fromisoformat(raw) if len(raw) == 10 else datetime.datetime.fromisoformat(raw)
        except ValueError:
            raise ValueError(f"{str(raw)!r} is not a date or time such as 2026-12-31 or 2026-12-31T18:00:00Z") from None
    if not isinstance(value, datetime.date):
        raise ValueError("must be a date or time such as 2026-12-31 or 2026-12-31T18:00:00Z")
    if not isinstance(value, datetime.datetime):
        if value == datetime.date.max:
            raise ValueError(f"{str(raw)!r} is the last day of the calendar; leave the key out for no end")
        value = datetime.datetime.combine(value, datetime.time()) + datetime.timedelta(days=1)
    if value.tzinfo is None:
        value = value.replace(tzinfo=datetime.UTC)
    return int(value.timestamp()) * 1000


END: Final = Spelling(
    "a date (its end, UTC) or a time (UTC where it names no zone)",
    _read_end,
    "2099-12-31",
    pattern_json(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*"),
)
