"""The kinds of value that money brings into a policy: amounts, shares, prices, and where records and alerts go.

Each is a ``Spelling``. Amounts are exact: integer nano-dollars, prices decimal dollars. A URL here may hold a password
or be one (Slack's, a DSN): no message quotes it.
"""

import re
from decimal import Decimal
from fractions import Fraction
from typing import Final
from urllib.parse import urlsplit

from proxy.core import units
from proxy.core.units import NANOS
from proxy.policy.spelling import Spelling, as_number_text, as_text, pattern_json, written
from proxy.policy.words import claim_steps, is_loopback, read_url

MOST_USD: Final = 9_000_000
"""The largest amount in dollars: with 2^53 nano-dollars, about $9.007 million, Lua's exact counting ends, and what a
call holds on top has to fit below it."""
SHORTEST_KEEP_DAYS: Final = 62  # a month's report wants the month whole, and the one before
DAY_MS: Final = 86_400_000

_DECIMALS: Final = 9
_DOLLARS: Final = re.compile(r"\$([0-9][0-9_]*)(?:\.([0-9]+))?")
_DOLLARS_JSON: Final = r"\$[0-9][0-9_]*(\.[0-9]{1,9})?"


# --- amounts -----------------------------------------------------------------------------------------------------


def _read_dollars(spelled: str, whole: str, example: str) -> int:
    """Nano-dollars. Raises: ValueError."""
    found = _DOLLARS.fullmatch(spelled)
    if found is None:
        hint = "; for thousands write '_', as in $25_000" if "," in spelled else ""
        raise ValueError(f"{whole!r} is not in dollars; write {example}{hint}")
    digits, decimals = found[1].replace("_", ""), found[2] or ""
    if len(decimals) > _DECIMALS:
        raise ValueError(f"{whole!r} has more than nine decimals: nothing is counted finer than a nano-dollar")
    return int(digits) * NANOS + int(decimals.ljust(_DECIMALS, "0"))


def _read_money(raw: object) -> int:
    spelled = as_number_text(raw, "an amount of dollars").strip()
    nanousd = _read_dollars(spelled, spelled, '"$5", "$0.50" or "$25_000"')
    if nanousd > MOST_USD * NANOS:
        raise ValueError(
            f"{spelled!r} is more than ${MOST_USD:_}: with what calls hold on top it could pass 2^53 nano-dollars, "
            "about $9.007 million, beyond which counting is not exact"
        )
    return nanousd


MONEY: Final = Spelling("an amount of dollars", _read_money, "$1", pattern_json(_DOLLARS_JSON))


def dollars(nanousd: int) -> str:
    """As a policy would write it, with commas: ``$1,000``, ``$0.50``, ``$0.000000001``."""
    return f"${units.dollars(nanousd, grouped=True).removesuffix('.00')}"


def _percent(described: str, highest: str) -> Spelling:
    """A part of one, above nothing and up to ``highest`` percent."""

    def parse(raw: object) -> Fraction:
        spelled = as_number_text(raw, described)
        found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,4})?) ?%", spelled)
        if found is None or not 0 < Fraction(found[1]) <= Fraction(highest):
            raise ValueError(f"{spelled!r} is not {described}")
        return Fraction(found[1]) / 100

    return Spelling(described, parse, "1%", pattern_json(r"[0-9]{1,3}(\.[0-9]{1,4})? ?%"))


SHARE: Final = _percent("a share such as 30%", "100")
DISCOUNT: Final = _percent("a discount such as 15%, below 100%", "99.9999")


def _price(per: str, of: str) -> Spelling:
    example = f"$3/{per}"
    what = f"dollars for {of}, such as {example}"

    def parse(raw: object) -> Decimal:
        spelled = as_number_text(raw, what)
        amount, _, unit = spelled.partition("/")
        if unit.strip() != per:
            raise ValueError(f"{spelled!r} is not a price here; write {what}")
        nanousd = _read_dollars(amount.strip(), spelled, example)
        if nanousd > MOST_USD * NANOS:
            raise ValueError(f"{spelled!r} is no price that anybody asks")
        return Decimal(nanousd) / NANOS

    return Spelling(what, parse, example, pattern_json(rf"{_DOLLARS_JSON} ?/ ?{per}"))


PER_MILLION: Final = _price("1M", "a million tokens")
PER_THOUSAND: Final = _price("1K", "a thousand")


def _read_quantile(raw: object) -> float:
    spelled = as_number_text(raw, "a quantile such as 0.995")
    if not re.fullmatch(r"0?\.[0-9]{1,6}", spelled) or not 0.5 <= float(spelled) < 1:
        raise ValueError(f"{spelled!r} is not a quantile from 0.5 to below 1, such as 0.995")
    return float(spelled)


QUANTILE: Final = Spelling(
    "a number from 0.5 to below 1",
    _read_quantile,
    0.995,
    {"anyOf": [{"type": "number", "minimum": 0.5, "exclusiveMaximum": 1}, pattern_json(r"0?\.[0-9]+")]},
)


def _read_factor(raw: object) -> Fraction:
    spelled = as_number_text(raw, "a number such as 3")
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", spelled) or not 1 < Fraction(spelled) <= 1000:
        raise ValueError(f"{spelled!r} is not a number above 1, up to 1000")
    return Fraction(spelled)


FACTOR: Final = Spelling(
    "a number above 1, up to 1000",
    _read_factor,
    3,
    {"anyOf": [{"type": "number", "exclusiveMinimum": 1, "maximum": 1000}, pattern_json(r"[0-9]+(\.[0-9]+)?")]},
)


# --- the ledger --------------------------------------------------------------------------------------------------


def _read_ledger(raw: object) -> str:
    spelled = as_text(raw, "a URL")
    scheme, found, rest = spelled.partition("://")
    if not found or scheme not in ("sqlite", "postgresql", "postgres"):
        raise ValueError("must be sqlite:////absolute/path or postgresql://user:password@host:5432/database")
    if scheme == "sqlite" and (not rest.startswith("//") or "?" in rest):
        raise ValueError("must name its file by an absolute path, with four slashes: sqlite:////var/lib/ledger.db")
    if not rest.strip("/") or any(char <= " " or char == "\x7f" for char in rest):
        raise ValueError(f"must name a {'file' if scheme == 'sqlite' else 'server'}, without white space")
    return spelled


LEDGER: Final = Spelling(
    "a URL, sqlite:////absolute/path or postgresql://…",
    _read_ledger,
    "postgresql://ledger.invalid/ledger",
    pattern_json(r"sqlite:////.+|postgres(ql)?://.+"),
)


def _read_keep(raw: object) -> int | None:
    what = f"forever, or at least {SHORTEST_KEEP_DAYS}d"
    spelled = as_text(raw, what)
    if spelled == "forever":
        return None
    found = re.fullmatch(r"([0-9]{1,5})d", spelled)
    if found is None or int(found[1]) < SHORTEST_KEEP_DAYS:
        raise ValueError(f"{spelled!r} is not {what}: reports go back over the month before")
    return int(found[1]) * DAY_MS


KEEP: Final = Spelling(
    f"forever, or days from {SHORTEST_KEEP_DAYS}d", _read_keep, "forever", pattern_json(r"forever|[0-9]{2,5}d")
)
TABLE: Final = written(
    "a table with its schema, such as public.ai_usage",
    r"[A-Za-z_][A-Za-z0-9_]{0,62}\.[A-Za-z_][A-Za-z0-9_]{0,62}",
    "public.ai_usage",
)


# --- alerts ------------------------------------------------------------------------------------------------------


def _read_hook(raw: object) -> str:
    spelled = as_text(raw, "a URL")
    if not spelled:
        return ""
    scheme, host, _, _ = read_url(raw, ("https", "http"))
    if scheme == "http" and not is_loopback(host):
        raise ValueError("must be https: what it says is for nobody on the way")
    return spelled


HOOK: Final = Spelling(
    "a URL, https; empty: none", _read_hook, "https://hooks.invalid/hook", pattern_json("(https?://.+)?")
)


def _read_dsn(raw: object) -> str:
    spelled = as_text(raw, "a DSN")
    if not spelled:
        return ""
    form = "must be a DSN as Sentry shows it: https://KEY@host/PROJECT"
    try:
        parts = urlsplit(spelled)
    except ValueError:
        raise ValueError(form) from None
    host, project = parts.hostname or "", parts.path.rpartition("/")[2]
    if parts.scheme not in ("https", "http") or not host or not parts.username or not project.isdigit():
        raise ValueError(form)
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("must be https: what it says is for nobody on the way")
    return spelled


DSN: Final = Spelling(
    "a DSN, https://KEY@host/PROJECT; empty: none",
    _read_dsn,
    "https://key@sentry.invalid/1",
    pattern_json("(https?://.+@.+/[0-9]+)?"),
)


def _read_smtp(raw: object) -> str:
    if as_text(raw, "a URL") == "":
        return ""
    scheme, host, port, path = read_url(raw, ("smtps", "smtp"))
    if path.strip("/"):
        raise ValueError("must be smtps://host or smtp://host, with a port at most")
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


SMTP: Final = Spelling(
    "smtps://host (TLS, port 465) or smtp://host (STARTTLS, port 587); empty: none",
    _read_smtp,
    "smtps://mail.invalid",
    pattern_json("(smtps?://.+)?"),
)
_MAIL: Final = r"[^@\s,;<>\x00-\x1f]+@[^@\s,;<>\x00-\x1f]+"
MAIL: Final = written("an e-mail address", _MAIL, "finance@example.com")


def _read_recipient(raw: object) -> str:
    spelled = as_text(raw, "an e-mail address")
    if spelled.startswith("claim:"):
        path = spelled.removeprefix("claim:")
        claim_steps(path, tuple(path.split(".")))
    elif spelled != "tenant" and not re.fullmatch(_MAIL, spelled):
        raise ValueError(f"{spelled!r} is not an e-mail address, claim:PATH or tenant")
    return spelled


RECIPIENT: Final = Spelling(
    "an e-mail address, claim:PATH (of the caller) or tenant (its `contacts`)",
    _read_recipient,
    "finance@example.com",
    pattern_json(rf"{_MAIL}|claim:.+|tenant".replace(r"\x00-\x1f", "")),
)
