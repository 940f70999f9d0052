"""Which of several stored answers a request selects (RFC 9111 §4.1). Pure, never raises.

Values are compared in a form that leaves out what means nothing: white space between members of a list, how many lines
they came in, the case and the order of negotiated names. A secret, or a long value, is kept as its digest alone.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from multidict import CIMultiDictProxy

from proxy.cache.entry import Stored
from proxy.core.headers import RawHeaders, get_all, list_members
from proxy.policy.caching import Profile

Headers = CIMultiDictProxy[str]
Selecting = tuple[tuple[str, str], ...]

_ABSENT: Final = ""  # differs from a field that is there and empty
_LANGUAGE: Final = "accept-language"
_ORDERLESS: Final = frozenset({"accept-encoding", "accept-charset"})
# Equal weights mean no order by the standard, but apps read one into it.
_ORDERLESS_BY_LETTER: Final = _ORDERLESS | {"accept", _LANGUAGE}
_SECRETS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
_LONGEST: Final = 128
_DIGEST_BYTES: Final = 16


def selecting_fields(response: RawHeaders, request: Headers, profile: Profile) -> Selecting | None:
    """For ``Stored.vary``: the fields that Vary names, sorted, as this request has them; None: Vary is ``*``."""
    names = {name for value in get_all(response, b"vary") for name in list_members(value)}
    if b"*" in names:
        return None
    return tuple((name, compared(name, request, profile)) for name in sorted(n.decode("latin-1") for n in names))


def choose(variants: Sequence[Stored], headers: Headers, profile: Profile) -> Stored | None:
    """The one that the request selects; of several the latest by its Date (§4).

    By the standard's letter, where none is selected, one in the language that the client likes best is taken: the app
    could choose no better (§4.1 on preferences).
    """
    if len(variants) == 1 and not variants[0].vary:
        return variants[0]
    values: dict[str, str] = {}
    best = None
    for stored in variants:
        if _differs(stored, headers, profile, values):
            continue
        if best is None or stored.terms.date_ms >= best.terms.date_ms:
            best = stored
    if best is None and profile is Profile.RFC and _LANGUAGE in values:
        best = _in_favourite_language(variants, headers, profile, values)
    return best


def compared(name: str, request: Headers, profile: Profile) -> str:
    """A request's field in the form that is compared; "" where it is absent. ``name`` in lower case."""
    lines = request.getall(name, None)
    if lines is None:
        return _ABSENT
    value = ", ".join(lines).strip(" \t")
    if name in _SECRETS:
        return _digest(value)
    if name in _ORDERLESS_BY_LETTER:
        members = [_plain(member) for member in value.lower().split(",") if member.strip(" \t")]
        if profile is Profile.RFC or name in _ORDERLESS:
            members.sort()
        value = ",".join(members)
    elif '"' not in value:
        value = ",".join(member.strip(" \t") for member in value.split(","))
    return "=" + value if len(value) <= _LONGEST else _digest(value)


def _differs(stored: Stored, headers: Headers, profile: Profile, values: dict[str, str], *, but: str = "") -> bool:
    for name, kept in stored.vary:
        if name not in values:
            values[name] = compared(name, headers, profile)
        if values[name] != kept and name != but:
            return True
    return False


def _in_favourite_language(
    variants: Sequence[Stored], headers: Headers, profile: Profile, values: dict[str, str]
) -> Stored | None:
    favourite = _favourite(", ".join(headers.getall(_LANGUAGE, ())))
    if favourite is None:
        return None
    best = None
    for stored in variants:
        languages = [v for value in get_all(stored.headers, b"content-language") for v in list_members(value)]
        if languages != [favourite] or _differs(stored, headers, profile, values, but=_LANGUAGE):
            continue
        if best is None or stored.terms.date_ms >= best.terms.date_ms:
            best = stored
    return best


def _favourite(accepted: str) -> bytes | None:
    """The one language of the highest weight, in lower case; None: there are several, or none."""
    weighed: list[tuple[float, str]] = []
    for member in accepted.lower().split(","):
        language, _, weight = _plain(member).partition(";q=")
        try:
            weighed.append((float(weight or 1), language))
        except ValueError:
            return None
    weighed.sort(reverse=True)
    if weighed[0][0] <= 0 or not weighed[0][1] or (len(weighed) > 1 and weighed[1][0] == weighed[0][0]):
        return None
    return weighed[0][1].encode("utf-8", "surrogateescape")


def _plain(member: str) -> str:
    """Without white space around its parts, and without a weight that says nothing: ``;q=1.0``; ``;q=0.50`` is .5."""
    parts = [part.strip(" \t") for part in member.split(";")]
    kept = []
    for part in parts:
        if part.startswith("q=") and "." in part:
            part = part.rstrip("0").rstrip(".")
        if part != "q=1":
            kept.append(part)
    return ";".join(kept)


def _digest(value: str) -> str:
    return "#" + blake2b(value.encode("utf-8", "surrogateescape"), digest_size=_DIGEST_BYTES).hexdigest()
