"""From a request to a price: what is read, bounded, refused, and by whose contract."""

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from proxy.ai.dialects.call import AiCall, Free
from proxy.ai.usage.result import Usage
from proxy.core.errors import GatewayError, Reason
from proxy.gateway.pricing import Pricing, bound, edited, read_call
from proxy.policy.spending import OnDisconnect, OwnPrice, Prices, Spending

CHAT = "/v1/chat/completions"
MODEL = "gpt-4o-mini"


def spending(**changes: Any) -> Spending:
    values: dict[str, Any] = {
        "dialect": "openai",
        "budgets": (),
        "tokens": (),
        "max_output_tokens": None,
        "most_output_tokens": None,
        "on_disconnect": OnDisconnect.DRAIN,
        "unbounded_nanousd": None,
        "learnt": None,
        "vouched": frozenset(),
    }
    return Spending(**values | changes)


def body(**changes: Any) -> bytes:
    members = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100} | changes
    return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


def read(raw: bytes, one: Spending | None = None) -> AiCall:
    found = read_call(one or spending(), "POST", CHAT, "", {}, raw)
    assert isinstance(found, AiCall)
    return found


def refusal(method: str, path: str, raw: bytes, headers: dict[str, str] | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        read_call(spending(), method, path, "", headers or {}, raw)
    return caught.value


def test_what_a_provider_does_not_list_is_refused() -> None:
    assert refusal("POST", "/v1/secrets", b"{}").reason is Reason.CALL_NOT_LISTED
    assert refusal("PUT", CHAT, body()).reason is Reason.CALL_NOT_LISTED


def test_what_is_free_is_free() -> None:
    assert isinstance(read_call(spending(), "GET", "/v1/models", "", {}, b""), Free)


@pytest.mark.parametrize(
    ("raw", "headers", "field"),
    [
        (b"{", {}, None),
        (b'{"model":"a","model":"b"}', {}, None),
        (body(model=None), {}, "model"),
        (body(max_tokens="many"), {}, "max_tokens"),
        (body(), {"content-encoding": "gzip"}, "content-encoding"),
    ],
)
def test_what_cannot_be_read_names_the_member_at_fault(raw: bytes, headers: dict[str, str], field: str | None) -> None:
    error = refusal("POST", CHAT, raw, headers)
    assert (error.reason, error.field) == (Reason.CALL_UNREADABLE, field)


def test_without_a_cap_a_call_has_no_bound_unless_the_route_writes_one() -> None:
    uncapped, pricing = body(max_tokens=None), Pricing(Prices())
    call = read(uncapped)
    with pytest.raises(GatewayError) as caught:
        bound(call, pricing.quote(call, 0), spending())
    assert caught.value.reason is Reason.CALL_UNBOUNDED
    one = spending(max_output_tokens=50)
    call, sent = edited(call, uncapped, one)
    assert json.loads(sent)["max_completion_tokens"] == 50 or json.loads(sent)["max_tokens"] == 50
    assert bound(call, pricing.quote(call, 0), one).output_tokens == 50


def test_a_cap_above_the_routes_is_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        edited(read(body(max_tokens=101)), body(max_tokens=101), spending(most_output_tokens=100))
    assert caught.value.reason is Reason.CALL_UNBOUNDED
    assert caught.value.field
    assert edited(read(body()), body(), spending(most_output_tokens=100))[1] == body()


def test_what_nothing_bounds_is_held_at_what_the_policy_fixes() -> None:
    raw, pricing = body(tools=[{"type": "nobody-knows"}]), Pricing(Prices())
    call = read(raw)
    with pytest.raises(GatewayError):
        bound(call, pricing.quote(call, 0), spending())
    held = bound(call, pricing.quote(call, 0), spending(unbounded_nanousd=2 * 10**9))
    assert (held.nanousd, held.fixed) == (2 * 10**9, True)


def cost(prices: Prices, model: str = MODEL) -> int:
    call = read(body(model=model))
    usage = Usage({"input_tokens": 1_000_000, "output_tokens": 1_000_000}, complete=True)
    return Pricing(prices).quote(call, 0).cost(call, usage)


def test_an_unknown_model_is_refused_or_priced_and_never_free() -> None:
    with pytest.raises(GatewayError) as caught:
        cost(Prices(), "nobody-knows")
    assert caught.value.reason is Reason.MODEL_UNKNOWN
    own = OwnPrice({"input": Decimal(10), "output": Decimal(30)})
    assert cost(Prices(unknown=own), "nobody-knows") == 40 * 10**9
    assert cost(Prices(unknown=own)) == cost(Prices())


def test_the_contracts_factor_is_for_list_prices_only() -> None:
    half = {"openai": Fraction(1, 2)}
    assert cost(Prices(factors=half)) * 2 == cost(Prices())
    own = {MODEL: OwnPrice({"input": Decimal(3), "output": Decimal(6)})}
    assert cost(Prices(factors=half, overrides=own)) == 9 * 10**9


def test_an_alias_has_its_models_price_and_name() -> None:
    assert cost(Prices(aliases={"my-deployment": MODEL}), "my-deployment") == cost(Prices())
    call = read(body(model="My-Deployment"))
    assert Pricing(Prices(aliases={"my-deployment": MODEL})).quote(call, 0).model == MODEL


def test_a_batch_is_held_at_what_the_policy_fixes_and_at_nothing_else() -> None:
    """It names no model, and no answer says what it used."""
    call = read_call(spending(), "POST", "/v1/batches", "", {}, b'{"input_file_id":"f"}')
    assert isinstance(call, AiCall)
    quote = Pricing(Prices()).quote(call, 0)
    with pytest.raises(GatewayError) as caught:
        bound(call, quote, spending())
    assert caught.value.reason is Reason.CALL_UNBOUNDED
    assert bound(call, quote, spending(unbounded_nanousd=5)).nanousd == 5
