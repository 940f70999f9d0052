"""From a route's keys about calls to a provider to what is compiled of them. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from proxy.policy import money, schema
from proxy.policy.caches import compile_answer_caching
from proxy.policy.callers import tiers_that_pass
from proxy.policy.findings import Findings
from proxy.policy.limits import DEFAULT
from proxy.policy.model import Limit, RedisDown
from proxy.policy.moneywords import dollars
from proxy.policy.problems import KeyPath
from proxy.policy.spending import Budget, Dialect, OnDisconnect, OnExceed, Spending
from proxy.policy.words import MAX_EXACT

_KEYS: Final = {
    "budgets": "budgets",
    "more_budgets": "budgets+",
    "max_output_tokens": "max_output_tokens",
    "on_disconnect": "on_disconnect",
    "unbounded_hold": "unbounded_hold",
    "estimate": "estimate",
    "vouch_for": "vouch_for",
    "stored_objects": "stored_objects",
}
"""A route's keys that are for calls to a provider: the schema's names, and as they are written."""
_CAPPED: Final = (Dialect.ANTHROPIC,)  # whose requests must bring a cap of output
_MODEL_IN_PATH: Final = (Dialect.GEMINI, Dialect.AZURE)


def compile_spending(
    config: schema.Config,
    index: int,
    names: tuple[str, ...],
    limits: Sequence[Limit],
    budgets: Mapping[str, tuple[Budget, ...]],
    findings: Findings,
) -> Spending | None:
    """None for a route that leads to no provider. ``names``: its budgets; ``limits``: all of its own."""
    written = config.routes[index]
    path: KeyPath = ("routes", index)
    upstream = config.upstreams.get(written.upstream)
    tokens = tuple(limit for limit in limits if limit.tokens)
    if upstream is None or upstream.dialect is None:
        if upstream is not None:
            _refuse_keys(path, written, tokens, findings)
        return None
    dialect = upstream.dialect
    cap = written.max_output_tokens or money.MaxOutput()
    spending = Spending(
        dialect=dialect.value,
        budgets=tuple(one for name in names for one in budgets.get(name, ())),
        tokens=tokens,
        max_output_tokens=cap.default,
        most_output_tokens=cap.most,
        on_disconnect=written.on_disconnect or OnDisconnect.DRAIN,
        unbounded_nanousd=written.unbounded_hold,
        learnt=written.estimate.quantile if written.estimate is not None else None,
        vouched=frozenset(written.vouch_for),
        answers=compile_answer_caching(config, index, findings),
        stored_objects=bool(written.stored_objects),
    )
    _check(path, written, spending, findings)
    _check_counting(path, spending, tiers_that_pass(config, written.auth or config.defaults.auth), findings)
    return spending


def is_held(spending: Spending | None) -> bool:
    """Whether calls are limited by what they cost or use, not only accounted for."""
    return spending is not None and bool(spending.budgets or spending.tokens)


def _refuse_keys(path: KeyPath, written: schema.Route, tokens: tuple[Limit, ...], findings: Findings) -> None:
    speaks: KeyPath = ("upstreams", written.upstream, "dialect")
    where = f"the upstream {written.upstream!r} has no dialect"
    for field, key in _KEYS.items():
        if field in written.model_fields_set:
            findings.error((*path, key), f"is for calls to a provider, but {where}", speaks, (*path, "upstream"))
    for limit in tokens:
        message = f"the limit {limit.name!r} counts tokens, but {where}"
        findings.error((*path, "limits"), message, speaks, (*path, "upstream"), ("limits", limit.name, "unit"))


def _check(path: KeyPath, written: schema.Route, spending: Spending, findings: Findings) -> None:
    if written.weight.batch is not None:
        findings.error((*path, "weight", "batch"), "is for an app's batches; a call to a provider is one")
    if written.redis_down is RedisDown.OPEN and is_held(spending):
        what = "budgets" if spending.budgets else "limits of tokens"
        findings.error(
            (*path, "redis_down"), f"{what} are never left unwatched: a route that has some is closed without Redis"
        )
    if spending.unbounded_nanousd is not None and spending.tokens:
        message = f"cannot be held from {spending.tokens[0].name!r}: nobody knows how many tokens such a call uses"
        findings.error((*path, "unbounded_hold"), message)
    for budget in spending.budgets:
        if budget.on_exceed is OnExceed.DOWNGRADE and spending.dialect in _MODEL_IN_PATH:
            message = f"the dialect {spending.dialect} names the model in the path, where it cannot be changed"
            findings.error(("budgets", budget.name, "on_exceed"), f"{message}: not on the route {written.name!r}")
    default, most = spending.max_output_tokens, spending.most_output_tokens
    cap: KeyPath = (*path, "max_output_tokens")
    if written.max_output_tokens is not None and default is None and most is None:
        findings.error(cap, "names neither default nor most", cap)
    if default is not None and most is not None and default > most:
        findings.error((*cap, DEFAULT), f"is more than most, {most}", (*cap, "most"))
    unbounded = default is None and spending.unbounded_nanousd is None and spending.dialect not in _CAPPED
    if unbounded and is_held(spending):
        findings.warn(
            path, "a request that brings no cap of output has no bound, and is refused; give it max_output_tokens"
        )


def _check_counting(path: KeyPath, spending: Spending, tiers: Sequence[str], findings: Findings) -> None:
    """What is counted stays below 2^53, and a hold that is fixed fits for the tiers that may call."""
    hold = spending.unbounded_nanousd
    if hold is None:
        return
    here: KeyPath = (*path, "unbounded_hold")
    for budget in spending.budgets:
        largest = max([*budget.amounts.values(), *(amount for amount, _ in budget.tenants.values())], default=0)
        rests: KeyPath = ("budgets", budget.name)
        if largest + hold >= MAX_EXACT:
            message = f"on top of the budget {budget.name!r}, {dollars(largest)}, it passes 2^53 nano-dollars"
            findings.error(here, f"{message}: beyond counting", rests, ("tenants",))
        amounts = {tier: amount for tier, amount in budget.amounts.items() if tier in tiers and amount}
        short = [tier for tier, amount in amounts.items() if hold > budget.capacity(tier, amount)]
        if short:
            message = f"{dollars(hold)} never fits the budget {budget.name!r} for {', '.join(short)}"
            findings.warn(here, message)
