"""From the prices as written to compiled ones: nothing that would bill too little by a slip of the pen. Pure."""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Final

from proxy.policy import money, schema
from proxy.policy.findings import Findings
from proxy.policy.money import ServiceTier
from proxy.policy.problems import KeyPath, meant
from proxy.policy.spending import Account, Dialect, OwnPrice, Prices

PROVIDERS: Final = {dialect: "google" if dialect is Dialect.GEMINI else dialect.value for dialect in Dialect}
"""Whose prices a dialect's calls have, by the names of ``ai.prices.table``."""
SERVICE_TIERS: Final[dict[str, frozenset[ServiceTier]]] = {
    Dialect.OPENAI: frozenset({ServiceTier.FLEX, ServiceTier.PRIORITY, ServiceTier.FAST, ServiceTier.SCALE}),
    Dialect.AZURE: frozenset({ServiceTier.FLEX, ServiceTier.PRIORITY}),
    Dialect.GEMINI: frozenset({ServiceTier.FLEX, ServiceTier.PRIORITY}),
}
"""The tiers that have prices of their own, in the table or here."""
_LISTED: Final[dict[str, frozenset[ServiceTier]]] = {
    Dialect.OPENAI: frozenset({ServiceTier.PRIORITY, ServiceTier.FAST}),
}
"""The dearer tiers whose prices the table has; others have only the policy's."""
_NAMES: Final = tuple(dialect.value for dialect in Dialect)
REGIONAL: Final = (Dialect.ANTHROPIC,)  # whose prices depend on the region


def compile_prices(config: schema.Config, findings: Findings) -> Prices:
    written = config.prices
    unknown: KeyPath = ("prices", "unknown_model")
    _check_doubles(("prices", "aliases"), written.aliases, findings)
    _check_doubles(("prices", "overrides"), written.overrides, findings)
    _check_aliases(written, findings)
    _check_providers(("prices", "discounts"), written.discounts, findings)
    _check_providers(("prices", "accounts"), written.accounts, findings)
    return Prices(
        unknown=None if written.unknown_model is None else _own_price(unknown, written.unknown_model, findings),
        aliases=dict(written.aliases),
        overrides={
            model: _own_price(("prices", "overrides", model), price, findings)
            for model, price in written.overrides.items()
        },
        factors={_provider(name): Fraction(1) - discount for name, discount in written.discounts.items()},
        accounts={
            _provider(name): _account(name, account, written, findings) for name, account in written.accounts.items()
        },
    )


def _own_price(path: KeyPath, written: money.OwnPrice, findings: Findings) -> OwnPrice:
    """A price is whole: what has none of its own is billed as input or output."""
    prices = _amounts(written)
    unknown = path[-1] == "unknown_model"
    if unknown and written.window is not None:
        findings.error((*path, "window"), "differs from model to model; say it in overrides")
    needed = ("input", "output") if unknown else ("input",) if prices or written.window is None else ()
    for key in needed:
        if key not in prices:
            findings.error(path, f"needs a price for {key}: what has none is refused", (*path, key))
    tiers = {tier.value: _amounts(price) for tier, price in written.service_tiers.items()}
    for tier, amounts in tiers.items():
        for key in {"input", "output"} & prices.keys() - amounts.keys():
            at = (*path, "service_tiers", tier)
            findings.error(at, f"needs a price for {key}: a tier's price is whole", (*at, key))
    if tiers and not prices:
        findings.error((*path, "service_tiers"), "needs the standard price beside it: input, and output if it has any")
    return OwnPrice(prices, written.window, tiers)


def _amounts(written: money.TokenPrice) -> dict[str, Decimal]:
    return {key: price for key, price in written if isinstance(price, Decimal)}


def _account(name: str, written: money.Account, prices: money.Prices, findings: Findings) -> Account:
    path: KeyPath = ("prices", "accounts", name)
    tier = written.service_tier
    if tier is not None and tier not in SERVICE_TIERS.get(name, ()):
        priced = [dialect for dialect, tiers in SERVICE_TIERS.items() if tier in tiers]
        findings.error((*path, "service_tier"), f"{str(tier)!r} has a price with {' and '.join(priced)} only")
    elif tier not in (None, ServiceTier.FLEX, *_LISTED.get(name, ())) and not any(
        tier in own.service_tiers for own in prices.overrides.values()
    ):
        message = f"no list has prices of {str(tier)!r} with {name}: name them in prices.overrides.MODEL.service_tiers"
        findings.error((*path, "service_tier"), message)
    if written.geo is not None and name not in REGIONAL:
        findings.error((*path, "geo"), f"changes prices with {' and '.join(REGIONAL)} only")
    return Account(() if tier is None else (("service_tier", tier.value),), written.geo and written.geo.value)


def _provider(name: str) -> str:
    return PROVIDERS[Dialect(name)] if name in _NAMES else name


def _check_providers(path: KeyPath, names: Iterable[str], findings: Findings) -> None:
    for name in names:
        if name not in _NAMES:
            findings.error((*path, name), f"unknown provider {name!r}{meant(name, _NAMES)}")


def _check_doubles(path: KeyPath, names: Iterable[str], findings: Findings) -> None:
    """Models are known by their names in lower case."""
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            findings.error((*path, name), f"is the same model as {seen[name.lower()]!r}")
        seen[name.lower()] = name


def _check_aliases(written: money.Prices, findings: Findings) -> None:
    """An alias is followed once, and before anything else is looked at."""
    aliases = {name.lower(): name for name in written.aliases}
    for name, model in written.aliases.items():
        if model.lower() in aliases:
            message = f"{model!r} is an alias itself; write the model that it stands for"
            findings.error(("prices", "aliases", name), message)
    for model in written.overrides:
        if model.lower() in aliases:
            message = "is an alias: calls have the price of what it stands for; override that model"
            findings.error(("prices", "overrides", model), message, ("prices", "aliases"))
