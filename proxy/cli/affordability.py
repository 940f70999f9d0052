"""Whether a call fits at all into the budgets of who may make it: what `sluicegate check` warns of. Pure.

A request's size is not known here, so a call is taken to cost its output at the route's cap and nothing else: what does
not fit then never fits.
"""

from collections.abc import Iterator
from fractions import Fraction

from proxy.ai.dialects.registry import DIALECTS
from proxy.ai.prices.pricelist import Override, PriceList
from proxy.ai.prices.table import Context, ModelPrices, PriceTable
from proxy.policy.model import AuthMode, Policy, Route
from proxy.policy.moneywords import dollars
from proxy.policy.problems import KeyPath
from proxy.policy.spending import Budget, Spending

_LIST_PRICE = Fraction(1)


class Affordability:
    """Of one policy at one time (epoch ms), by its own prices and those of ``table``."""

    def __init__(self, policy: Policy, table: PriceTable, now_ms: int) -> None:
        self._policy = policy
        self._now_ms = now_ms
        self._table = table
        overrides = {
            model: Override(own.prices, own.window, own.tiers) for model, own in policy.prices.overrides.items()
        }
        self._prices = PriceList(table, aliases=policy.prices.aliases, overrides=overrides)
        self._own = {model.lower() for model, own in policy.prices.overrides.items() if own.prices}

    def warnings(self) -> Iterator[tuple[KeyPath, str]]:
        """Where in the policy, and what will never fit."""
        for route in self._policy.routes:
            if route.spending is not None:
                path: KeyPath = ("routes", route.index)
                for message in dict.fromkeys(self._of_route(route, route.spending)):
                    yield path, message

    def _of_route(self, route: Route, spending: Spending) -> Iterator[str]:
        provider = DIALECTS[spending.dialect].provider
        for cap in dict.fromkeys((spending.max_output_tokens, spending.most_output_tokens)):
            costs = [] if cap is None else self._costs(provider, cap)
            if costs:
                for budget in spending.budgets:
                    yield from self._of_budget(route, budget, f"{cap:,} tokens of output", costs)
        for budget in spending.budgets:
            yield from self._of_downgrade(route, spending, budget, provider)

    def _of_budget(self, route: Route, budget: Budget, size: str, costs: list[tuple[int, str]]) -> Iterator[str]:
        """``costs``: of one call of that size, with each model, cheapest first."""
        cheapest, median, dearest = costs[0], costs[len(costs) // 2], costs[-1]
        where = f"fits the budget {budget.name!r} in a {budget.period}"
        none = self._short(route, budget, cheapest[0])
        if none:
            cost, model = cheapest
            yield (
                f"for {', '.join(none)} no call with {size} {where}: "
                f"with the cheapest model, {model}, it may cost {dollars(cost)}"
            )
        few = [tier for tier in self._short(route, budget, median[0]) if tier not in none]
        if few:
            cost, model = dearest
            yield (
                f"for {', '.join(few)} a call with {size} {where} with half of the models at most: "
                f"with the dearest, {model}, it may cost {dollars(cost)}"
            )

    def _of_downgrade(self, route: Route, spending: Spending, budget: Budget, provider: str) -> Iterator[str]:
        model = budget.downgrade_to
        if model is None:
            return
        prices = self._prices.find(provider, model)
        if prices is None:
            if self._policy.prices.unknown is None:
                yield f"the budget {budget.name!r} downgrades to {model!r}, whose price nobody knows: it is refused"
            return
        cost = self._output(provider, prices, spending.max_output_tokens or 0)
        if cost is not None and (tiers := self._short(route, budget, cost)):
            yield (
                f"for {', '.join(tiers)} the budget {budget.name!r} is below one call of {model!r}, to which it "
                f"downgrades: {dollars(cost)} for its output"
            )

    def _costs(self, provider: str, tokens: int) -> list[tuple[int, str]]:
        """What so much output costs with each model that is not free, cheapest first."""
        listed = [prices for prices in self._table.models(provider) if prices.id.lower() not in self._own]
        models = [*listed, *self._overridden(provider)]
        return sorted((cost, prices.id) for prices in models if (cost := self._output(provider, prices, tokens)))

    def _overridden(self, provider: str) -> Iterator[ModelPrices]:
        for model in self._policy.prices.overrides:
            if (found := self._prices.find(provider, model)) is not None:
                yield found

    def _output(self, provider: str, prices: ModelPrices, tokens: int) -> int | None:
        """Nano-dollars, rounded up; None for a model whose output has no price."""
        account = self._policy.prices.accounts.get(provider)
        context: Context = account.context if account is not None else ()
        rates = prices.rates(self._now_ms, context)
        rate = rates.find("output_tokens")
        if rate is None:
            return None
        own = prices.id.lower() in self._own
        factor = _LIST_PRICE if own else self._policy.prices.factors.get(provider, _LIST_PRICE)
        return -(-tokens * rate.base * factor.numerator // (rates.denominator * factor.denominator))

    def _short(self, route: Route, budget: Budget, cost: int) -> list[str]:
        """Tiers that may come this way, spend something, and whose share of the budget is below ``cost``."""
        anonymous = self._policy.identity.anonymous_tier
        shares = {tier: budget.capacity(tier, amount) for tier, amount in budget.amounts.items()}
        closed = {AuthMode.REQUIRED: {anonymous}, AuthMode.NONE: set(shares) - {anonymous}}.get(route.auth, set())
        return [tier for tier, share in shares.items() if 0 < share < cost and tier not in closed]
