"""Who calls: told to the origin, to the log and to the metrics, by whatever credential."""

import base64
import json
import time
from collections.abc import Iterator
from hashlib import sha256
from types import SimpleNamespace

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from tests.e2e.gateway import ISSUER, SECRET, Gateway, bearer, get, once, reached, running, token
from tests.e2e.origin import Origin, running_origin
from tests.e2e.policies import policy

ROBOT, AGENT = "sg_robot-key-of-at-least-some-length", "sg_agent-key-of-at-least-some-length"

SET_KEY = ECKey.generate_key("P-256", {"kid": "known", "use": "sig"})

IDENTITY = f"""
token_from: [authorization, {{cookie: "sb-*-auth-token"}}]
unknown_tier: trial
keys:
  robot: {{sha256: "{sha256(ROBOT.encode()).hexdigest()}", tenant: initech, user: r1, tier: growth_team, routes: [app]}}
  agent: {{sha256: "{sha256(AGENT.encode()).hexdigest()}", may_act_for: [acme, globex]}}
"""
ROUTES = """
limits: {per-user: {scope: user, rate: 1000/1m}}
routes:
  - {name: open, match: {path: "/open/**"}, upstream: app, auth: optional, limits: [per-user]}
  - {name: public, match: {path: "/public/**"}, upstream: app, auth: none, limits: []}
  - {name: app, match: {path: "/app/**"}, upstream: app, limits: [per-user]}
  - {name: keyless, match: {path: "/keyless/**"}, upstream: app, limits: []}
"""


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    key_set = tmp_path_factory.mktemp("keys") / "jwks.json"
    key_set.write_text(json.dumps({"keys": [SET_KEY.as_dict(private=False)]}))
    with running_origin() as origin:
        issuers = f", {{issuer: set, jwks_file: {key_set}, tenants: any}}"
        with running(policy(origin.port, ROUTES, identity=IDENTITY, issuers=issuers)) as gateway:
            yield SimpleNamespace(origin=origin, gateway=gateway)


@pytest.fixture
def gateway(setup: SimpleNamespace) -> Gateway:
    return setup.gateway


@pytest.fixture
def origin(setup: SimpleNamespace) -> Origin:
    return setup.origin


def told(origin: Origin) -> tuple[str | None, str | None, str | None]:
    """What the origin was told of the last request's tenant, user and tier."""
    seen = origin.last()
    return seen.get("X-Tenant-ID"), seen.get("X-User-ID"), seen.get("X-Tier")


async def test_a_token_is_told_to_the_origin_and_not_what_the_client_says_of_itself(
    gateway: Gateway, origin: Origin
) -> None:
    lies = ("X-User-ID: root", "X-Tier: enterprise", "x_user_id: root")
    answer = await once(gateway, get("/app/x", bearer(user="ada", tenant="acme", tier="trial"), *lies))
    assert answer.status == 200
    assert told(origin) == ("acme", "ada", "trial")
    assert origin.last().all("X-User-ID") == ["ada"]
    assert origin.last().get("x_user_id") is None


async def test_a_cookie_in_supabases_chunks_is_a_token(gateway: Gateway, origin: Origin) -> None:
    session = json.dumps({"access_token": token(user="ada", tenant="acme", tier="enterprise")}).encode()
    value = "base64-" + base64.urlsafe_b64encode(session).rstrip(b"=").decode()
    half = len(value) // 2
    cookie = f"Cookie: theme=dark; sb-project-auth-token.0={value[:half]}; sb-project-auth-token.1={value[half:]}"
    assert (await once(gateway, get("/app/x", cookie))).status == 200
    assert told(origin) == ("acme", "ada", "enterprise")


async def test_an_expired_cookie_is_no_token_where_none_is_needed(gateway: Gateway, origin: Origin) -> None:
    """The app's middleware renews it; a 401 would lock its users out."""
    session = json.dumps({"access_token": token(exp=int(time.time()) - 3600)}).encode()
    cookie = "Cookie: sb-project-auth-token=base64-" + base64.urlsafe_b64encode(session).rstrip(b"=").decode()
    assert (await once(gateway, get("/open/x", cookie))).status == 200
    assert told(origin)[:2] == (None, None)
    assert (await once(gateway, get("/app/x", cookie))).status == 401


@pytest.mark.parametrize("field", [f"x-api-key: {ROBOT}", f"Authorization: Bearer {ROBOT}", f"x-goog-api-key: {ROBOT}"])
async def test_a_gateway_key_opens_its_routes_and_never_reaches_the_origin(
    gateway: Gateway, origin: Origin, field: str
) -> None:
    assert (await once(gateway, get("/app/x", field))).status == 200
    assert told(origin) == ("initech", "r1", "growth_team")
    assert ROBOT.encode() not in origin.last().head
    refused = await once(gateway, get("/keyless/x", field))
    assert (refused.status, refused.json()["reason"]) == (403, "key_route_refused")


async def test_a_key_that_may_act_for_tenants_names_them(gateway: Gateway, origin: Origin) -> None:
    key = f"x-api-key: {AGENT}"
    who = ("Sluicegate-Tenant: globex", "Sluicegate-User: u7", "Sluicegate-Tier: enterprise")
    answer = await once(gateway, get("/app/x", key, *who))
    assert answer.status == 200
    assert told(origin) == ("globex", "u7", "enterprise")
    assert origin.last().get("Sluicegate-Tenant") is None
    refused = await once(gateway, get("/app/x", key, "Sluicegate-Tenant: initech"))
    assert (refused.status, refused.json()["reason"]) == (403, "tenant_refused")
    line = gateway.request_line(answer.get("X-Request-ID"))
    assert (line["key"], line["tenant"], line["user"], line["tier"]) == ("agent", "globex", "u7", "enterprise")


async def test_from_anyone_else_what_only_keys_may_say_is_stripped(gateway: Gateway, origin: Origin) -> None:
    who = ("Sluicegate-Tenant: globex", "Sluicegate-User: root", "Sluicegate-Tier: enterprise")
    assert (await once(gateway, get("/app/x", bearer(user="ada", tenant="acme", tier="trial"), *who))).status == 200
    assert told(origin) == ("acme", "ada", "trial")
    assert b"sluicegate-" not in origin.last().head.lower().partition(b"\r\n")[2].replace(b"via: 1.1 sluicegate-", b"")


async def test_a_member_of_several_tenants_chooses_and_pays_under_its_tier(gateway: Gateway, origin: Origin) -> None:
    """The tier belongs to the tenant acted for: an enterprise user who switches is none there."""
    member = bearer(
        user="ada",
        app_metadata={"company_id": "acme", "subscription_tier": "enterprise", "company_ids": ["acme", "globex"]},
    )
    assert (await once(gateway, get("/app/x", member))).status == 200
    assert told(origin) == ("acme", "ada", "enterprise")
    assert (await once(gateway, get("/app/x", member, "X-Tenant-ID: globex"))).status == 200
    assert told(origin) == ("globex", "ada", "trial")
    refused = await once(gateway, get("/app/x", member, "X-Tenant-ID: initech"))
    assert (refused.status, refused.json()["reason"]) == (403, "tenant_refused")


async def test_an_expired_token_is_refused_with_the_challenge(gateway: Gateway) -> None:
    refused = await once(gateway, get("/app/x", bearer(exp=int(time.time()) - 120)))
    assert (refused.status, refused.json()["reason"]) == (401, "token_expired")
    assert refused.get("WWW-Authenticate").startswith("Bearer")


async def test_tokens_by_unknown_keys_and_issuers_are_refused(gateway: Gateway) -> None:
    claims = {"iss": ISSUER, "sub": "u", "exp": int(time.time()) + 60}
    other = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key("x" * 32))
    stranger = jwt.encode({"alg": "HS256"}, claims | {"iss": "stranger"}, OctKey.import_key(SECRET))
    for unknown in (other, stranger, "not.a.token", ""):
        refused = await once(gateway, get("/app/x", f"Authorization: Bearer {unknown}"))
        assert refused.status == 401, unknown
        assert unknown not in refused.body.decode() or not unknown
    assert (await once(gateway, get("/app/x"))).json()["reason"] == "token_missing"


async def test_a_key_of_a_set_is_found_by_its_kid_and_no_other_is_tried(gateway: Gateway, origin: Origin) -> None:
    claims = {"iss": "set", "sub": "eve", "exp": int(time.time()) + 60}
    known = jwt.encode({"alg": "ES256", "kid": "known"}, claims, SET_KEY)
    assert (await once(gateway, get("/app/x", f"Authorization: Bearer {known}"))).status == 200
    assert told(origin)[1] == "eve"
    unknown = jwt.encode({"alg": "ES256", "kid": "unheard-of"}, claims, SET_KEY)
    refused = await once(gateway, get("/app/x", f"Authorization: Bearer {unknown}"))
    assert (refused.status, refused.json()["reason"]) == (401, "token_invalid")


async def test_an_anonymous_caller_passes_where_the_route_lets_him(gateway: Gateway, origin: Origin) -> None:
    assert (await once(gateway, get("/open/x"))).status == 200
    assert told(origin) == (None, None, "anonymous")
    assert (await once(gateway, get("/public/x", "Authorization: Bearer junk"))).status == 200


async def test_one_request_id_is_in_answer_log_and_upstream(gateway: Gateway, origin: Origin) -> None:
    """Also when the client sends one of its own: ours names the request."""
    answer = await once(gateway, get("/app/x?secret=1", bearer(user="ada"), "X-Request-ID: forged"))
    request_id = answer.get("X-Request-ID")
    assert request_id != "forged"
    assert origin.last().all("X-Request-ID") == [request_id]
    line = gateway.request_line(request_id)
    assert (line["tenant"], line["tier"], line["route"]) == ("acme", "growth_team", "app")
    assert (line["outcome"], line["status"], line["method"], line["path"]) == ("forwarded", 200, "GET", "/app/x")
    assert line["upstream"] == f"127.0.0.1:{origin.port}"
    assert "secret" not in json.dumps(line)


async def test_refusals_are_logged_and_counted_with_their_reason(gateway: Gateway) -> None:
    pattern = r'sluicegate_requests_total{outcome="refused",route="app",status="401",tier="none"}'
    before = gateway.metric(pattern)
    refused = await once(gateway, get("/app/x"))
    line = gateway.request_line(refused.get("X-Request-ID"))
    assert (line["status"], line["outcome"], line["reason"]) == (401, "refused", "token_missing")
    await reached(lambda: gateway.metric(pattern) == before + 1)


async def test_metrics_tell_route_tier_status_and_outcome(gateway: Gateway) -> None:
    pattern = r'sluicegate_requests_total{outcome="forwarded",route="app",status="200",tier="enterprise"}'
    before = gateway.metric(pattern)
    for _ in range(7):
        await once(gateway, get("/app/x", bearer(tier="enterprise")))
    await reached(lambda: gateway.metric(pattern) == before + 7)


async def test_no_credential_is_ever_in_the_log(gateway: Gateway) -> None:
    secret = token(user="somebody")
    for field in (f"Authorization: Bearer {secret}", f"Cookie: sb-x-auth-token={secret}", f"x-api-key: {ROBOT}"):
        gateway.request_line((await once(gateway, get("/app/x", field))).get("X-Request-ID"))
    written = json.dumps([gateway.requests, gateway.events, gateway.other_output])
    assert secret not in written
    assert secret.split(".")[2] not in written
    assert ROBOT not in written
