"""Callers whose names are made to be taken for one another's, what they ask for, and the origin that knows them apart.

The origin reads tenant, user and issuer from what the gateway tells it, and fills its answer with bytes that follow
from these and from the target alone: whoever gets a byte that was made for another can tell.
"""

import asyncio
import base64
import json
import random
import time
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import OctKey

from tests.e2e.gateway import ISSUER, SECRET, Answer
from tests.e2e.origin import Exchange

OTHER_ISSUER: Final = "test-issuer-2"
KEY: Final = "sg_acting-key-of-at-least-some-length"
ANY: Final = "*"  # no tenant's name in the list of those that a key may act for
SIZES: Final = (40, 3_000, 20_000, 150_000)  # of bodies: one is kept in pieces

# Pairs of them are equal joined or cut, look alike, or mean something to what keys are made of.
NAMES: Final = (
    *("a", "b", "ab", "ba", "aa", "abc", "bc", "c", "A", "0", "00", "1", "01", "-1", "null", "None", "true"),
    *("a:b", "a|b", "a/b", "a\\b", "a\\0b", "a%00b", "a%2Fb", "a b", "a,b", "a;b", "a=b", "a&b", "a?b", "a#b", "a..b"),
    *("{a}", "{b}", "{m0}", "{c0}:purges", "sc:{a}", "*", "a*", "[a]", "a\u00a0b", "'a'", '"a"', "`a`", "$(a)", "<a>"),
    *("tenant", "user", "public", "everywhere", "all", "url", "prefix", "tag", "many tags", "api", "mine", "ours"),
    *("1:a", "2:ab", "1,a", "a1", "a\u200bb", "\u0430", "\u00e9", "e\u0301", "\uff41", "\ufb01", "fi", "K", "\u212a"),
    *("\u202ea", "a\u202e", "\U0001f600", "\u00c3\u00a9", "%C3%A9", "x" * 255, "x" * 256, "\u00e9" * 256),
)

PATHS: Final = (
    *("a", "b", "ab", "a/b", "a%2Fb", "a%2fb", "a%252Fb", "a;b", "a;b=c/d", "a.b", "a..b", "a,b", "a:b", "a@b", "a*b"),
    *("A", "a%20b", "a+b", "%61", "a%00b", "%C3%A9", "e%CC%81", "a%0d%0aX:b", "public/a", "tenant/a", "a?b", "a%3Fb"),
    *("a?b=1", "a?b=1&c=2", "a?c=2&b=1", "a?b=1%26c=2", "a?", "a?b=/c", "a?b=c;d", "a?b=%00", "a?" + "q" * 900),
    *("vary/a", "vary/b?x", "a/" + "p" * 900, "a?tenant=b", "a?user=b", "a?X-Tenant-ID=b", "a?b=%F0%9F%98%80"),
)
KINDS: Final = ("", "x", "y")  # what answers below vary/ differ by


@dataclass(frozen=True)
class Caller:
    """``headers``: what shows who it is. ``user`` and ``issuer`` as the origin sees them."""

    tenant: str | None
    user: str | None
    issuer: str
    headers: tuple[str, ...]

    def owns(self, scope: str) -> tuple[str | None, ...]:
        """What its answers of a scope are made for."""
        match scope:
            case "public":
                return ()
            case "user":
                return self.tenant, self.user, self.issuer
            case _:
                return (self.tenant,)


def field(name: str, value: str) -> str:
    """A field line whose value goes out in UTF-8."""
    return f"{name}: {value.encode().decode('latin-1')}"


def signed(**claims: Any) -> str:
    whole = {"exp": int(time.time()) + 3600} | claims
    return jwt.encode({"alg": "HS256"}, whole, OctKey.import_key(SECRET))


def by_token(tenant: str, user: str, issuer: str = ISSUER) -> Caller:
    metadata = {"company_id": tenant, "subscription_tier": "trial"}
    who = signed(iss=issuer, sub=user, app_metadata=metadata)
    return Caller(tenant, user, issuer, (f"Authorization: Bearer {who}",))


def by_membership(user: str, tenants: list[str]) -> list[Caller]:
    """One token, and the tenants that it may choose."""
    metadata = {"company_id": tenants[0], "company_ids": tenants, "subscription_tier": "trial"}
    who = f"Authorization: Bearer {signed(iss=ISSUER, sub=user, app_metadata=metadata)}"
    return [Caller(tenant, user, ISSUER, (who, field("X-Tenant-ID", tenant))) for tenant in tenants]


def by_key(tenant: str, user: str) -> Caller:
    """A gateway key that acts for them."""
    named = field("Sluicegate-Tenant", tenant), field("Sluicegate-User", user)
    return Caller(tenant, user, "", (f"x-api-key: {KEY}", *named))


def callers(chance: random.Random, count: int) -> list[Caller]:
    """Of few names, so that many share a tenant, or a user's name in another; in every way that there is to come."""
    names = chance.sample(NAMES, max(4, count // 4))
    found = [by_token("a", "bc"), by_token("ab", "c"), by_token("a", "bc", OTHER_ISSUER)]
    # Equal when tenant, issuer and user are joined.
    found += [by_token(f"a{ISSUER}", "b"), by_token("a", f"{ISSUER}b")]
    while len(found) < count:
        tenant, user = chance.choice(names), chance.choice(names)
        match chance.randrange(6):
            case 0 | 1:
                found.append(by_token(tenant, user))
            case 5:
                found += [by_token(made_up(chance), user), by_token(tenant, made_up(chance))]
            case 2:
                found.append(by_token(tenant, user, OTHER_ISSUER))
            case 3:
                found += by_membership(user, chance.sample(names, 3))
            case _ if tenant != ANY:
                found.append(by_key(tenant, user))
    return found


def made_up(chance: random.Random) -> str:
    """Of others' names."""
    return "".join(chance.choices(NAMES, k=chance.randint(2, 4)))[:256].strip()


def target(chance: random.Random, scope: str) -> str:
    return f"/{scope}/{chance.choice(PATHS)}"


def body_for(owner: tuple[str | None, ...], path: str, kind: str) -> bytes:
    """The whole body for one owner, target and kind: no part of it is part of another's."""
    named = json.dumps([owner, path, kind]).encode()
    mark = sha256(named).hexdigest().encode()
    return mark * (SIZES[mark[0] % len(SIZES)] // len(mark) + 1)


def kind_of(path: str, kind: str) -> str:
    return kind if "/vary/" in path else ""


def flaw(answer: Answer, caller: Caller, scope: str, path: str, kind: str) -> str:
    """What is wrong with an answer of 200 or 206; empty: it is the caller's own, whole."""
    wanted = body_for(caller.owns(scope), path, kind_of(path, kind))
    if answer.status == 206:
        span, _, whole = (answer.get("Content-Range") or "").removeprefix("bytes ").partition("/")
        first, _, last = span.partition("-")
        if int(whole) != len(wanted):
            return f"a part of {whole} bytes, and it has {len(wanted)}"
        wanted = wanted[int(first) : int(last) + 1]
    if answer.body == wanted:
        return ""
    return f"{len(answer.body)} bytes that begin with {answer.body[:16]!r} in place of {wanted[:16]!r}"


class Knows:
    """The origin. Slow by chance; its answers are fresh for a second or ten, or to be validated, or not to be kept.

    ``calm``: it answers at once, and all are fresh.
    """

    def __init__(self, chance: random.Random, slowest_s: float) -> None:
        self.asked: Counter[str] = Counter()  # by target
        self.calm = False
        self._chance = chance
        self._slowest_s = slowest_s

    async def __call__(self, exchange: Exchange) -> None:
        seen, chance = exchange.seen, self._chance
        length = int(seen.get("Content-Length") or 0)
        if length:
            await exchange.reader.readexactly(length)
        if not self.calm:
            await asyncio.sleep(chance.random() * self._slowest_s)
        method, path, _ = seen.request_line.split(" ")
        self.asked[path] += 1
        scope = path.split("/")[1]
        kind = kind_of(path, seen.get("X-Kind") or "")
        body = body_for(_teller(seen.get, scope), path, kind)
        etag = f'"{body[:16].decode()}"'
        says = chance.choice(("s-maxage=10", "s-maxage=10", "s-maxage=1, stale-while-revalidate=1", "s-maxage=0"))
        if self.calm:
            says = "s-maxage=60"
        if scope == "user":
            says = says.replace("s-maxage", "private, max-age")
        if chance.random() < 0.05 and not self.calm:
            says = "no-store"
        lines = [f"Cache-Control: {says}", f"ETag: {etag}", field("Cache-Tag", _tags(chance))]
        if "/vary/" in path:
            lines.append("Vary: X-Kind")
        if method != "GET":
            await exchange.send(_answer("204 No Content", []))
        elif seen.get("If-None-Match") == etag:
            await exchange.send(_answer("304 Not Modified", lines))
        elif chance.random() < 0.3:
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in _parts(body))
            head = _answer("200 OK", [*lines, "Transfer-Encoding: chunked"])
            await exchange.send(head + chunks + b"0\r\n\r\n")
        else:
            await exchange.send(_answer("200 OK", [*lines, f"Content-Length: {len(body)}"]) + body)


def _teller(told: Any, scope: str) -> tuple[str | None, ...]:
    """For whom the gateway says that this request is."""

    def name(header: str) -> str | None:
        value = told(header)
        return None if value is None else value.encode("latin-1").decode()

    issuer = ""
    if (credential := told("Authorization") or "").startswith("Bearer "):
        payload = credential.split(".")[1]
        issuer = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["iss"]
    return Caller(name("X-Tenant-ID"), name("X-User-ID"), issuer, ()).owns(scope)


def _tags(chance: random.Random) -> str:
    return ",".join(chance.sample(NAMES, 3))


def _answer(status: str, lines: list[str]) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


def _parts(body: bytes) -> list[bytes]:
    return [body[at : at + 8_192] for at in range(0, len(body), 8_192)]
