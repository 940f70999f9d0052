"""A policy by hand, a clock that tests move, tokens by any key, and an issuer on a real socket."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web
from joserfc.jwa import JWS_ALGORITHMS
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.core.errors import GatewayError
from proxy.identity.authenticator import Authenticator
from proxy.identity.jwks import KeySets, KeySource
from proxy.identity.tokens import TokenVerifier
from proxy.policy import model
from proxy.policy.model import AuthMode

ISSUER = "https://issuer.example/auth/v1"
SECRET = "a-shared-secret-of-more-than-thirty-two-bytes"
ADDRESS = "192.0.2.7"
START_MS = 1_800_000_000_000
TIERS = ("enterprise", "pro", "trial", "anonymous")
MODELS = {algorithm.name: algorithm for algorithm in JWS_ALGORITHMS}


@dataclass
class FakeClock:
    """Stands still until it is moved; the wall clock and the monotonic one can be moved apart."""

    wall_ms: int = START_MS
    steady_ms: float = 5_000_000.0

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic_ms(self) -> float:
        return self.steady_ms

    def move(self, ms: int) -> None:
        self.wall_ms += ms
        self.steady_ms += ms


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    """Claims of a token that is good for an hour; a change to None takes the claim out."""
    now = START_MS // 1000
    made: dict[str, Any] = {
        "iss": ISSUER,
        "aud": "authenticated",
        "sub": "user-1",
        "iat": now - 10,
        "exp": now + 3600,
        "app_metadata": {"company_id": "acme", "company_ids": ["acme", "globex"], "subscription_tier": "pro"},
    }
    made |= changes
    return {name: value for name, value in made.items() if value is not None}


def encode(header: dict[str, Any] | str, payload: dict[str, Any] | str, key: Any, algorithm: str) -> str:
    """A token signed by ``algorithm`` whatever its header says. Texts go in as they are."""
    head = header if isinstance(header, str) else json.dumps(header)
    body = payload if isinstance(payload, str) else json.dumps(payload)
    signing_input = f"{base64url(head.encode())}.{base64url(body.encode())}"
    return f"{signing_input}.{base64url(MODELS[algorithm].sign(signing_input.encode(), key))}"


def hs256(payload: dict[str, Any] | str | None = None, secret: str = SECRET, **header: Any) -> str:
    """A token signed by the shared secret."""
    key = OctKey.import_key(secret)
    return encode({"alg": "HS256", "typ": "JWT"} | header, claims() if payload is None else payload, key, "HS256")


def issuer(**changes: Any) -> model.Issuer:
    made = model.Issuer(
        issuer=ISSUER,
        audiences=("authenticated",),
        algorithms=(),
        jwks_url=None,
        jwks_file=None,
        secrets=(SECRET,),
        tenants=None,
        leeway_ms=0,
        max_age_ms=None,
    )
    return replace(made, **changes)


def policy(**changes: Any) -> model.Identity:
    made = model.Identity(
        token_from=(model.TokenSource(header="authorization"), model.TokenSource(cookie="sb-*-auth-token")),
        issuers=(issuer(),),
        claims=model.ClaimPaths(
            tenant=("app_metadata", "company_id"),
            member_of=("app_metadata", "company_ids"),
            user=("sub",),
            tier=("app_metadata", "subscription_tier"),
        ),
        tenant_header="x-tenant-id",
        unknown_tier="trial",
        anonymous_tier="anonymous",
        refuse=(),
        anonymous_tokens=(),
        expired_cookie=model.ExpiredCookie.ANONYMOUS,
        keys=(),
        forward=model.ForwardedIdentity(tenant="X-Tenant-ID", user="X-User-ID", tier="X-Tier"),
        attempts_per_minute=600,
    )
    return replace(made, **changes)


def fields(*pairs: tuple[str, str], token: str | None = None, **named: str) -> CIMultiDictProxy[str]:
    """A header section; ``token`` as Bearer, keywords with ``_`` for ``-``."""
    made: CIMultiDict[str] = CIMultiDict(pairs)
    if token is not None:
        made.add("Authorization", f"Bearer {token}")
    for name, value in named.items():
        made.add(name.replace("_", "-"), value)
    return CIMultiDictProxy(made)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def keysets(clock: FakeClock) -> AsyncIterator[KeySets]:
    made = KeySets(clock)
    yield made
    await made.close()


@pytest.fixture
def authenticator(clock: FakeClock, keysets: KeySets) -> Callable[..., Authenticator]:
    """Makes an authenticator of a policy with these changes."""

    def make(attempts: Any = None, max_tokens: int = 20_000, **changes: Any) -> Authenticator:
        return Authenticator(policy(**changes), clock, keysets, tiers=TIERS, attempts=attempts, max_tokens=max_tokens)

    return make


@pytest.fixture(scope="session")
def private_keys() -> dict[str, Any]:
    """One private key for each algorithm that a published key can have."""
    rsa = RSAKey.generate_key(2048)
    ed25519, ed448 = OKPKey.generate_key("Ed25519"), OKPKey.generate_key("Ed448")
    made: dict[str, Any] = {f"{family}{size}": rsa for family in ("RS", "PS") for size in (256, 384, 512)}
    made |= {"ES256": ECKey.generate_key("P-256"), "ES384": ECKey.generate_key("P-384")}
    made |= {"ES512": ECKey.generate_key("P-521"), "EdDSA": ed25519, "Ed25519": ed25519, "Ed448": ed448}
    return made


def published(key: Any, **members: Any) -> dict[str, Any]:
    """The public JWK."""
    return key.as_dict(private=False) | members


async def settled(source: KeySource) -> None:
    """Wait for a load in the background."""
    async with asyncio.timeout(5):
        while source._task is not None:
            await asyncio.shield(source._task)


@dataclass
class KeyServer:
    """An issuer's key server. ``answer`` may be set to any handler."""

    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=list)
    fetches: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    cache_control: str = "max-age=600"
    answer: Callable[[web.BaseRequest], Any] | None = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.fetches += 1
        self.asked.set()
        if self.answer is not None:
            made = await self.answer(request)
            assert isinstance(made, web.StreamResponse)
            return made
        return web.json_response({"keys": self.keys}, headers={"Cache-Control": self.cache_control})


@pytest.fixture
async def key_server() -> AsyncIterator[KeyServer]:
    """A key server on a loopback socket."""
    made = KeyServer()
    runner = web.ServerRunner(web.Server(made.handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}/keys.json"
    yield made
    await runner.cleanup()


async def error_of(
    authenticator: Authenticator,
    headers: CIMultiDictProxy[str],
    auth: AuthMode = AuthMode.REQUIRED,
    address: str = ADDRESS,
) -> GatewayError:
    """What the full way refuses with; the quick way says nothing."""
    assert authenticator.cached(headers, address, auth) is None
    with pytest.raises(GatewayError) as caught:
        await authenticator.identify(headers, address, auth)
    return caught.value


@pytest.fixture
def verifications(monkeypatch):
    """The tokens that were really verified, in order."""
    seen: list[str] = []
    verify = TokenVerifier.verify

    async def counted(self, token):
        seen.append(token)
        return await verify(self, token)

    monkeypatch.setattr(TokenVerifier, "verify", counted)
    return seen
