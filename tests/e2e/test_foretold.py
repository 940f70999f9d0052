"""`sluicegate test` says of a request what a running gateway does with it: its status, and the fields that are ours."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from proxy.foresight.testfile import read
from proxy.foresight.trial import run
from proxy.policy.compiler import compile_text
from tests.e2e.gateway import ISSUER, Gateway, bearer, get, once, running
from tests.e2e.origin import running_origin
from tests.e2e.policies import policy

pytestmark = pytest.mark.full

KEY = "sk-slg-" + "a" * 43
IDENTITY = f"""
    refuse: [{{claims: {{role: service_role}}}}]
    keys: {{svc: {{sha256: {hashlib.sha256(KEY.encode()).hexdigest()}, tenant: acme, routes: [api]}}}}
"""
REST = """
ip: {deny: [203.0.113.0/24]}
cors: {origins: [https://app.example.com], credentials: true}
vitals: {}
limits: {per-user: {scope: user, rate: 3/1m}, per-ip: {scope: ip, rate: 5/1m}}
defaults: {auth: required, limits: [per-user]}
routes:
  - {name: pub, match: {path: "/pub/**"}, upstream: app, auth: none, limits: []}
  - {name: post, match: {path: "/post/**", methods: [POST]}, upstream: app}
  - {name: trpc, match: {path: "/trpc/**"}, upstream: app, weight: {batch: trpc, per_item: 1}}
  - {name: gql, match: {path: "/gql"}, upstream: app, weight: {batch: graphql, per_item: 1}}
  - {name: opt, match: {path: "/opt/**"}, upstream: app, auth: optional, limits: [per-ip]}
  - {name: small, match: {path: "/small/**"}, upstream: app, limits: [], max_body: 10B}
  - {name: api, match: {path: "/api/**"}, upstream: app}
"""
PAGE = {"Origin": "https://app.example.com"}
ASKS_FOR = "Access-Control-Request-Method"
PREFLIGHT = {**PAGE, ASKS_FOR: "POST"}
OURS = ("Allow", "WWW-Authenticate", "Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "RateLimit-Policy")


@dataclass(frozen=True)
class Asked:
    """``user``: None for nobody; ``key``: with the key instead. ``given``: what the file says beside."""

    path: str
    method: str = "GET"
    user: str | None = None
    key: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    address: str = "192.0.2.1"
    body: bytes = b""
    claims: dict[str, Any] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)


ASKED = {
    "a key, where nobody is asked": Asked("/pub/a", key=True),
    "a key, on another route": Asked("/opt/a", key=True),
    "a key, on its own": Asked("/api/a", key=True),
    "a preflight": Asked("/post/a", "OPTIONS", headers=PREFLIGHT),
    "a preflight of another method": Asked("/post/a", "OPTIONS", headers=PREFLIGHT | {ASKS_FOR: "PUT"}),
    "a preflight from elsewhere": Asked("/api/a", "OPTIONS", headers=PREFLIGHT | {"Origin": "https://evil.example"}),
    "own usage": Asked("/_gateway/usage", user="usage"),
    "own usage of nobody": Asked("/_gateway/usage", headers=PAGE),
    "own usage from a denied address": Asked("/_gateway/usage", address="203.0.113.9"),
    "vitals that are asked for": Asked("/_gateway/vitals"),
    "errors, with no Sentry": Asked("/_gateway/sentry", "POST"),
    "another of the gateway's paths": Asked("/_gateway/x", user="else"),
    "another method": Asked("/post/a", user="method"),
    "nobody, from a page": Asked("/api/a", headers=PAGE),
    "somebody, from a page": Asked("/api/a", headers=PAGE, user="page"),
    "a claim that is refused": Asked("/api/a", user="role", claims={"role": "service_role"}),
    "three calls in a path": Asked("/trpc/a,b,c", user="three"),
    "four calls in a path": Asked("/trpc/a%2Cb,c,d", user="four"),
    "four calls in a body": Asked("/gql", "POST", user="gql", body=b"[{},{},{},{}]", given={"batch": 4}),
    "a body that is too large": Asked("/small/a", "POST", user="large", body=b"x" * 20, given={"size": "20B"}),
    "TRACE": Asked("/api/a", "TRACE", user="trace"),
    "an upgrade": Asked("/api/a", user="ws", headers={"Upgrade": "websocket", "Connection": "Upgrade"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def stand() -> Iterator[tuple[str, Gateway]]:
    with running_origin() as origin:
        text = policy(origin.port, REST, workers=1, identity=IDENTITY, listen="trusted_proxies: [127.0.0.0/8]")
        with running(text) as gateway:
            yield text, gateway


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
async def test_it_is_as_it_was_foretold(stand: tuple[str, Gateway], asked: Asked) -> None:
    text, gateway = stand
    claims = {
        "iss": ISSUER,
        "sub": asked.user,
        "app_metadata": {"company_id": "acme", "subscription_tier": "growth_team"},
        **asked.claims,
    }
    fields = [f"{name}: {value}" for name, value in {**asked.headers, "X-Forwarded-For": asked.address}.items()]
    fields += [bearer(user=asked.user, **asked.claims)] if asked.user is not None else []
    fields += [f"x-api-key: {KEY}"] if asked.key else []
    answer = await once(gateway, get(asked.path, *fields, method=asked.method, body=asked.body))
    itself = answer.status != 200 or asked.path.startswith("/_gateway/")
    test: dict[str, Any] = {
        "name": "it",
        "path": asked.path,
        "method": asked.method,
        "headers": asked.headers,
        "address": asked.address,
        "host": "app.test",
        **asked.given,
        **({"claims": claims} if asked.user is not None else {}),
        **({"key": "svc"} if asked.key else {}),
        "expect": {
            "decision": "refused" if answer.status >= 400 else "answered" if itself else "admitted",
            "headers": {name: value for name in OURS if (value := answer.get(name)) is not None},
            **({"status": answer.status} if itself else {}),
            **({"reason": answer.json()["reason"]} if answer.status >= 400 else {}),
        },
    }
    compiled = compile_text(text, "config.yaml", {}).policy
    (one,) = read(yaml.safe_dump({"tests": [test]}), "t.yaml").file.tests
    assert [str(wrong) for wrong in run(compiled, one, 1_795_435_200_000)] == [], answer.status
