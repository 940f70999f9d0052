"""What a call to a provider may cost and did cost, by one policy: the dialects, prices and contracts together. Pure,
but for the price table, which is read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from proxy.ai.bounds import Hold, NoBound, Refused, hold
from proxy.ai.costs import USUAL, Account, Billed, billed, cost_of
from proxy.ai.dialects.call import AiCall, Free, Kind, Refusal, Why
from proxy.ai.dialects.edits import edit
from proxy.ai.dialects.reading import read_request
from proxy.ai.dialects.registry import DIALECTS
from proxy.ai.prices.pricelist import Override, PriceList
from proxy.ai.prices.table import ModelPrices, bundled
from proxy.ai.usage.result import Usage
from proxy.core.errors import GatewayError, Reason
from proxy.policy.spending import OwnPrice, Prices, Spending

_UNKNOWN: Final = "*"
_LIST: Final = Fraction(1)

_WHY: Final = {
    Why.NOT_LISTED: (Reason.CALL_NOT_LISTED, "the provider's API has no such path, or none whose price is known"),
    Why.METHOD: (Reason.CALL_NOT_LISTED, "the provider's API has no such method on this path"),
    Why.STORED: (
        Reason.CALL_STORED,
        "the provider keeps what all callers of this gateway have stored under one key: it is nobody's alone",
    ),
    Why.COMPRESSED: (Reason.CALL_UNREADABLE, "a request that is metered must not be compressed"),
    Why.TOO_LARGE: (Reason.BODY_TOO_LARGE, ""),
    Why.NOT_JSON: (Reason.CALL_UNREADABLE, "the body is not JSON"),
    Why.DUPLICATE_MEMBER: (Reason.CALL_UNREADABLE, "the body has a member twice: which one counts is unknown"),
    Why.TOO_DEEP: (Reason.CALL_UNREADABLE, "the body is nested too deeply"),
    Why.NOT_AN_OBJECT: (Reason.CALL_UNREADABLE, "the body is not a JSON object"),
    Why.BAD_FIELD: (Reason.CALL_UNREADABLE, "the member is not as the provider's API has it"),
    Why.QUERY: (Reason.CALL_UNREADABLE, "the query has a parameter that may change what the answer says, or one twice"),
    Why.NO_MODEL: (Reason.CALL_UNREADABLE, "the request names no model"),
    Why.SIGNED: (Reason.CALL_UNREADABLE, "the body is signed, so no cap can be written into it: name one"),
}
_NO_BOUND: Final = {
    NoBound.UNBOUNDED: "nothing bounds what it may cost",
    NoBound.UNCAPPED: "it has no cap of output tokens",
    NoBound.NO_WINDOW: "it refers to input that is not in it, and the model's context window is not known",
    NoBound.UNPRICED: "a part of it has no known price",
}


@dataclass(frozen=True, slots=True)
class Quote:
    """The prices of one call: those at which it is held are those at which it is settled. ``prices`` is None for what
    is held at a sum of the policy's, and whose answer never says what was used.

    ``model``: the one that is priced, by its own name and not by a client's; ``at_ms``: when it was asked for.
    """

    model: str
    prices: ModelPrices | None
    factor: Fraction
    account: Account
    at_ms: int

    def cost(self, call: AiCall, usage: Usage) -> int:
        """Nano-dollars. Raises: ValueError for a call that has no prices."""
        if self.prices is None:
            raise ValueError("the call has no prices")
        return cost_of(call, usage, self.prices, self.at_ms, account=self.account, factor=self.factor)

    def billed(self, call: AiCall, usage: Usage) -> Billed:
        """What ``cost`` is of what the provider bills."""
        if self.prices is None:
            return Billed.UNKNOWN
        return billed(call, usage, self.prices, self.at_ms, account=self.account)


class Pricing:
    """One policy's. Raises: ValueError for a price that no one bills."""

    __slots__ = ("_accounts", "_factors", "_list", "_own", "_unknown")

    def __init__(self, prices: Prices) -> None:
        overrides = {name: _override(own) for name, own in prices.overrides.items()}
        self._list = PriceList(bundled(), aliases=prices.aliases, overrides=overrides)
        self._own = {name.lower() for name, own in prices.overrides.items() if own.prices}
        self._factors = prices.factors
        self._accounts = {name: Account(one.context, one.geo) for name, one in prices.accounts.items()}
        self._unknown: ModelPrices | None = None
        if prices.unknown is not None:
            unknown = PriceList(bundled(), overrides={_UNKNOWN: _override(prices.unknown)})
            self._unknown = unknown.find("", _UNKNOWN)

    @property
    def version(self) -> str:
        return self._list.version

    def quote(self, call: AiCall, at_ms: int) -> Quote:
        """Raises: GatewayError MODEL_UNKNOWN where the policy has no price for what nobody knows."""
        account = self._accounts.get(call.provider, USUAL)
        if call.kind is Kind.OPAQUE:
            return Quote(call.model.lower(), None, _LIST, account, at_ms)
        prices = self._list.find(call.provider, call.model)
        if prices is None:
            if self._unknown is None:
                raise GatewayError(Reason.MODEL_UNKNOWN, "nobody knows this model's price", field="model")
            return Quote(call.model.lower(), self._unknown, _LIST, account, at_ms)
        own = prices.id in self._own  # as agreed: the contract's factor is for the list price
        factor = _LIST if own else self._factors.get(call.provider, _LIST)
        return Quote(prices.id, prices, factor, account, at_ms)


def _override(own: OwnPrice) -> Override:
    return Override(own.prices, own.window, own.tiers)


def read_call(
    spending: Spending, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> AiCall | Free:
    """What a request asks of the route's provider. ``path`` as it goes upstream; ``headers`` by lower-case names.

    Raises: GatewayError CALL_NOT_LISTED, CALL_STORED, CALL_UNREADABLE, BODY_TOO_LARGE.
    """
    dialect = DIALECTS[spending.dialect]
    call = read_request(
        dialect, method, path, query, headers, body, also=spending.vouched, stored=spending.stored_objects
    )
    if isinstance(call, Refusal):
        raise _refused(call)
    return call


def edited(call: AiCall, body: bytes, spending: Spending) -> tuple[AiCall, bytes]:
    """The call and its body as they go upstream: with a cap of output, and the wish for a stream's usage.

    Raises: GatewayError CALL_UNREADABLE for what is signed; CALL_UNBOUNDED for a cap above the route's.
    """
    most = spending.most_output_tokens
    if most is not None and call.output_cap is not None and call.output_cap > most:
        detail = f"the route lets at most {most} tokens of output be asked for"
        raise GatewayError(Reason.CALL_UNBOUNDED, detail, field=".".join(call.cap_path))
    made = edit(call, body, default_cap=spending.max_output_tokens, ask_usage=True)
    if isinstance(made, Refusal):
        raise _refused(made)
    return made


def bound(call: AiCall, quote: Quote, spending: Spending) -> Hold:
    """The most that the call may cost. Raises: GatewayError CALL_UNBOUNDED."""
    found = hold(
        call,
        quote.prices,
        quote.at_ms,
        account=quote.account,
        factor=quote.factor,
        fixed_nanousd=spending.unbounded_nanousd,
    )
    if isinstance(found, Refused):
        raise GatewayError(Reason.CALL_UNBOUNDED, _NO_BOUND[found.why], field=", ".join(found.what) or None)
    return found


def _refused(refusal: Refusal) -> GatewayError:
    reason, detail = _WHY[refusal.why]
    return GatewayError(reason, detail, field=refusal.field or None)
