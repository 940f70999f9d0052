"""The keys of the policy file that speak of caching. A part of ``policy.schema``."""

from decimal import Decimal, InvalidOperation
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Any, Final

from proxy.policy import moneywords, words
from proxy.policy.caching import WHOLE, CacheScope, Downstream, Profile, TagFields
from proxy.policy.section import FieldName, Flag, Name, Section, key, section
from proxy.policy.spelling import (
    VARIABLE,
    Spelling,
    as_number_text,
    choice,
    count,
    duration,
    one_or_many,
    size,
    written,
)

DEFAULT_TTL_MS: Final = 300_000
AS_APP_SAYS: Final = "app"


class CachedMethod(StrEnum):
    GET = "GET"
    HEAD = "HEAD"


def _read_share(raw: object) -> int:
    """Thousandths. Raises: ValueError."""
    named = {True: WHOLE, "true": WHOLE, False: 0, "false": 0}
    if isinstance(raw, bool | str) and raw in named:
        return named[raw]
    spelled = as_number_text(raw, "true, false or a number from 0 to 1")
    try:
        share = Decimal(spelled) * WHOLE
    except InvalidOperation:
        raise ValueError(f"{spelled!r} is not true, false or a number from 0 to 1") from None
    if not share.is_finite() or not 0 <= share <= WHOLE or share != int(share):
        raise ValueError(f"{spelled} is not a number from 0 to 1 with at most three decimals")
    return int(share)


HITS_PAY: Final = Spelling(
    "true, false or a number from 0 to 1",
    _read_share,
    True,
    {
        "anyOf": [
            {"type": "boolean"},
            {"type": "number", "minimum": 0, "maximum": 1},
            {"type": "string", "pattern": VARIABLE},
        ]
    },
)

_TTL: Final = duration("1s", "365d")


def _read_ttl(raw: object) -> int | None:
    """A key that stands there without a value asks for DEFAULT_TTL_MS; None: as the app says. Raises: ValueError."""
    if raw is None:
        return DEFAULT_TTL_MS
    return None if raw == AS_APP_SAYS else int(_TTL.parse(raw))


TTL: Final = Spelling(
    f"{_TTL.what}, or {AS_APP_SAYS}",
    _read_ttl,
    AS_APP_SAYS,
    {"anyOf": [{"const": AS_APP_SAYS}, dict(_TTL.json), {"type": "null"}]},
)
PARAMETER: Final = written(
    "a query parameter's name as it stands in the URL, '*' for any part of it", r"[^\s&=#?\x00-\x1f\x7f]+", "utm_*"
)
TARGET: Final = written("a path of the JSON body such as data.company_id", r"[^\s.]+(?:\.[^\s.]+)*", "company_id")


class AssertTenant(Section):
    header: FieldName | None = key("A field of the answer that names its tenant.", None)
    json_path: Annotated[str, TARGET] | None = key(
        "A path in its JSON body; through lists, every member must agree.", None, alias="json"
    )


class Bypass(Section):
    tiers: list[Name] = key("Callers of these tiers.", [])
    claims: list[dict[str, Annotated[Any, words.CLAIM_VALUE]]] = key(
        "Callers whose tokens have all of these claims; several: one of them is enough.", []
    )


class Cache(Section):
    """A route's caching."""

    scope: Annotated[CacheScope, choice(CacheScope)] = key(
        "Who shares a stored answer: a `tenant`, one `user` of it, or all (`public`); the verified token's tenant is "
        "the first part of every key.",
        "tenant",
    )
    profile: Annotated[Profile, choice(Profile)] = key(
        "`safe`: no guessed lifetimes, nothing stored that sets a cookie, clients can't make the gateway fetch anew; "
        "`rfc`: RFC 9111 to the letter.",
        "safe",
    )
    ttl: Annotated[int | None, TTL] = key(
        "How long an answer lives: what the `app` says in Cache-Control and its kin, or a lifetime of the route's own, "
        "whatever the app gives; a key without a value is 300s.",
        AS_APP_SAYS,
    )
    force: Flag = key("With ttl: stores also what the app marks no-store, private or no-cache.", False)
    methods: Annotated[list[Annotated[CachedMethod, choice(CachedMethod)]], one_or_many()] = key(
        "Those that are answered from the cache.", ["GET", "HEAD"]
    )
    statuses: Annotated[list[Annotated[int, count(200, 999, "a status")]], one_or_many()] = key(
        "Only answers with these are stored; none given: those that RFC 9110 lets.", []
    )
    error_ttl: Annotated[int, duration("0s", "1h")] = key("Answers from 400 on live no longer than this.", "10s")
    stale_while_revalidate: Annotated[int, duration("0s", "30d")] | None = key(
        "How long a stale answer serves while it is fetched anew; default: what the app says.", None
    )
    stale_if_error: Annotated[int, duration("0s", "30d")] | None = key(
        "How long it serves while the upstream fails; default: what the app says.", None
    )
    ignore_query: Annotated[list[Annotated[str, PARAMETER]], one_or_many()] = key(
        "Query parameters that make no other answer, such as utm_*.", []
    )
    only_query: Annotated[list[Annotated[str, PARAMETER]], one_or_many()] | None = key(
        "The only query parameters that do; default: all.", None
    )
    max_body: Annotated[int, size("0B", "1GiB")] = key("Larger answers pass, and are not stored.", "8MiB")
    hits_pay: Annotated[int, HITS_PAY] = key(
        "Whether a hit takes from the limits what any request takes, nothing, or a part of it.", True
    )
    wait: Annotated[int, duration("0s", "1m")] = key(
        "For another request's fetch of the same answer; by default 30s for an answer of a provider.", "5s"
    )
    early_refresh: Flag = key("What is asked for often is fetched anew shortly before it is stale.", True)
    bypass: Bypass = section(Bypass, "Who gets the upstream's own answer when asking with Cache-Control: no-cache.")
    assert_tenant: AssertTenant | None = key(
        "Where an answer says whose it is; of another tenant than it is for: 502, and an alert.", None
    )
    downstream: Annotated[Downstream, choice(Downstream)] = key(
        "Answers that are not public leave as `private`, or a CDN in front would share them; or `as_is`.", "private"
    )
    tag_fields: Annotated[TagFields, choice(TagFields)] = key(
        "Whether clients get the app's Cache-Tag and Surrogate-Key.", "keep"
    )
    status_field: Flag = key("Tells clients in Cache-Status what the cache did (RFC 9211).", True)


class Caches(Section):
    """Where all of it is kept."""

    memory: Annotated[int, size("1MiB", "1024GiB")] = key("Bytes of each worker's memory.", "64MiB")
    tenant_share: Annotated[Fraction, moneywords.SHARE] = key("Of them, at most this much for one tenant.", "25%")
    largest_in_memory: Annotated[int, size("1KiB", "1GiB")] = key("Larger answers are in Redis alone.", "1MiB")
    redis_memory: Annotated[int, size("1MiB", "1024GiB")] = key(
        "Where the meters' Redis serves: above this use of its memory nothing more is stored there.", "512MiB"
    )
    timeout: Annotated[int, duration("5ms", "10s")] = key(
        "For one look-up in Redis; then it counts as a miss.", "100ms"
    )
