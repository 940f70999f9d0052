"""What becomes of a test's request before its meters are asked."""

from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.core.errors import GatewayError, Reason
from proxy.foresight.doorway import Arrival, Doorway, Request
from proxy.foresight.judge import Judge
from proxy.foresight.testwords import Caller
from proxy.gateway.accept import ALLOWED_METHODS
from tests.foresight.policies import TEXT, compiled

ORIGIN = "https://app.example.com"
POLICY = compiled(
    TEXT.replace("\nip: {", f"\ncors: {{origins: [{ORIGIN}]}}\nvitals: {{per_minute: 2}}\nip: {{").replace(
        "\nroutes:\n",
        """
routes:
  - {name: graphql, match: {path: /api/graphql}, upstream: app, limits: [per-user], weight: {batch: graphql,
     per_item: 1}, max_body: 1KB}
""",
    )
)
NOW_MS = 1_795_435_200_000
ADA: dict[str, Any] = {"claims": {"sub": "ada", "tenant": "initech", "tier": "trial"}}
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
FROM_PAGE = {"Origin": ORIGIN}


def request(target: str, method: str = "GET", headers: dict[str, str] | None = None, **given: Any) -> Request:
    fields = CIMultiDictProxy(CIMultiDict({"Host": "gw", **(headers or {})}))
    batch, size, address = given.pop("batch", None), given.pop("size", 0), given.pop("address", "192.0.2.1")
    return Request(Caller.model_validate(given), method, target, "gw", address, fields, None, batch, size)


def arrived(one: Request, doorway: Doorway | None = None) -> Arrival:
    arrival = Arrival()
    (doorway or Doorway(Judge(POLICY))).arrive(one, arrival, NOW_MS)
    return arrival


@pytest.mark.parametrize(
    ("one", "status", "field"),
    [
        (request("/api/x", "OPTIONS", PREFLIGHT), 204, (b"Access-Control-Allow-Origin", ORIGIN.encode())),
        (request("/api/x", "OPTIONS", {"Max-Forwards": "0"}), 204, (b"Allow", ALLOWED_METHODS)),
        (request("/_gateway/usage", **ADA), 200, (b"Cache-Control", b"no-store")),
        (request("/_gateway/usage", key="robot"), 200, (b"Cache-Control", b"no-store")),
        (request("/_gateway/vitals", "POST", FROM_PAGE), 204, (b"Access-Control-Allow-Origin", ORIGIN.encode())),
        (request("/_gateway/vitals", "OPTIONS", PREFLIGHT), 204, (b"Access-Control-Allow-Origin", ORIGIN.encode())),
    ],
)  # fmt: skip
def test_what_the_gateway_answers_itself(one: Request, status: int, field: tuple[bytes, bytes]) -> None:
    """Without a route's limits; who is asked for has to be known only where own usage is told."""
    arrival = arrived(one)
    assert arrival.status == status
    assert field in arrival.fields


@pytest.mark.parametrize(
    ("one", "reason", "field"),
    [
        (request("/api/x", "TRACE"), Reason.METHOD_REFUSED, b"Allow"),
        (request("/api/é"), Reason.BAD_TARGET, None),
        (request("/api/x", headers={"Upgrade": "websocket"}, **ADA), Reason.UPGRADE_UNSUPPORTED, None),
        (request("/_gateway/usage", address="203.0.113.9"), Reason.IP_DENIED, None),
        (request("/_gateway/usage"), Reason.TOKEN_MISSING, b"WWW-Authenticate"),
        (request("/_gateway/usage", "POST", **ADA), Reason.METHOD_REFUSED, b"Allow"),
        (request("/_gateway/else", **ADA), Reason.NO_ROUTE, None),
        (request("/_gateway/sentry", "POST"), Reason.NO_ROUTE, None),
        (request("/_gateway/vitals"), Reason.METHOD_REFUSED, b"Allow"),
        (request("/app/x", "PUT", **ADA), Reason.METHOD_REFUSED, b"Allow"),
        (request("/app/x", "OPTIONS", {**PREFLIGHT, "Access-Control-Request-Method": "PUT"}), Reason.METHOD_REFUSED,
         b"Allow"),
        (request("/api/x"), Reason.TOKEN_MISSING, b"WWW-Authenticate"),
        (request("/api/x", claims={"iss": "other"}), Reason.TOKEN_INVALID, b"WWW-Authenticate"),
        (request("/app/x", key="robot"), Reason.KEY_ROUTE_REFUSED, None),
        (request("/api/graphql", "POST", size=1025, **ADA), Reason.BODY_TOO_LARGE, None),
    ],
)  # fmt: skip
def test_what_is_refused_there(one: Request, reason: Reason, field: bytes | None) -> None:
    """With the fields that tell a client what would be right."""
    with pytest.raises(GatewayError) as refused:
        arrived(one)
    assert refused.value.reason is reason
    assert [name for name, _ in refused.value.headers] == ([] if field is None else [field])


def test_where_nobody_is_asked_a_key_may_be_for_other_routes() -> None:
    """As the gateway, which does not look at a credential there."""
    arrival = arrived(request("/health", key="robot"))
    assert arrival.route is not None
    assert arrival.identity is not None
    assert (arrival.route.name, arrival.identity.tier) == ("health", "anonymous")
    with pytest.raises(KeyError):
        arrived(request("/health", key="nobody's"))


def test_what_is_refused_tells_pages_so() -> None:
    arrival = Arrival()
    with pytest.raises(GatewayError):
        Doorway(Judge(POLICY)).arrive(request("/api/x", headers=FROM_PAGE), arrival, NOW_MS)
    assert (b"Access-Control-Allow-Origin", ORIGIN.encode()) in arrival.fields


def test_what_a_request_counts_as() -> None:
    """tRPC's calls are in its path, GraphQL's are said; where nobody weighs them one is one."""
    assert arrived(request("/api/trpc/a,b,c", **ADA)).factor == 3
    assert arrived(request("/api/graphql", "POST", batch=4, **ADA)).factor == 4
    assert arrived(request("/api/graphql", "POST", **ADA)).factor == 1
    assert arrived(request("/api/x,y", **ADA)).factor == 1


def test_beacons_are_bounded_by_address() -> None:
    doorway = Doorway(Judge(POLICY))
    for _ in range(2):
        arrived(request("/_gateway/vitals", "POST"), doorway)
    with pytest.raises(GatewayError, match="quota_exceeded"):
        arrived(request("/_gateway/vitals", "POST"), doorway)
    assert arrived(request("/_gateway/vitals", "POST", address="192.0.2.2"), doorway).status == 204
