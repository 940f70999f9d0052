"""Compiles the installed genai-prices into ``table.json``: ``python -m proxy.ai.prices.build``. Needs that library.

The table states what the library's data (MIT, see ``table.LICENSE``) states, and no more: prices as decimal text,
rules of matching, dates. Its version is the library's and the digest of the content, so that a record in the ledger
names the prices that it was made with.
"""

import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson
from genai_prices import __version__, data, types
from genai_prices.data_units import unit_data

TABLE: Final = Path(__file__).with_name("table.json")

_VERBS: Final = (
    (types.ClauseEquals, "equals"),
    (types.ClauseStartsWith, "starts_with"),
    (types.ClauseEndsWith, "ends_with"),
    (types.ClauseContains, "contains"),
    (types.ClauseRegex, "regex"),
)
_UNIT_OF: Final = {unit["price_key"]: name for name, unit in unit_data.items()}


def table(providers: list[types.Provider] | None = None) -> dict[str, Any]:
    """The whole table, as JSON holds it."""
    content = {
        "units": {name: [unit["per"], unit["dimensions"]] for name, unit in unit_data.items()},
        "providers": {one.id: _provider(one) for one in (data.providers if providers is None else providers)},
    }
    digest = sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return {"version": f"genai-prices {__version__} {digest[:12]}", **content}


def _provider(provider: types.Provider) -> dict[str, Any]:
    made: dict[str, Any] = {"models": [_model(model) for model in provider.models]}
    if provider.fallback_model_providers:
        made["fallback"] = list(provider.fallback_model_providers)
    return made


def _model(model: types.ModelInfo) -> dict[str, Any]:
    prices = model.prices if isinstance(model.prices, list) else [types.ConditionalPrice(prices=model.prices)]
    made: dict[str, Any] = {
        "id": model.id,
        "match": _rule(model.match),
        "prices": [[_when(one.constraint), _amounts(one.prices)] for one in prices],
    }
    if model.context_window is not None:
        made["window"] = model.context_window
    if model.price_variants:
        made["variants"] = [[one.when, _when(one.constraint), _amounts(one.prices)] for one in model.price_variants]
    return made


def _rule(rule: Any) -> list[Any]:
    if isinstance(rule, types.ClauseOr):
        return ["or", [_rule(one) for one in rule.or_]]
    if isinstance(rule, types.ClauseAnd):
        return ["and", [_rule(one) for one in rule.and_]]
    for kind, verb in _VERBS:
        if isinstance(rule, kind):
            return [verb, getattr(rule, verb)]
    raise ValueError(f"a rule that the table cannot state: {type(rule).__name__}")


def _when(constraint: Any) -> list[Any] | None:
    if constraint is None:
        return None
    if isinstance(constraint, types.StartDateConstraint):
        return ["from", constraint.start_date.isoformat()]
    if isinstance(constraint, types.TimeOfDateConstraint):
        return ["daily", _second(constraint.start_time), _second(constraint.end_time)]
    raise ValueError(f"a condition that the table cannot state: {type(constraint).__name__}")


def _second(of_day: time) -> int:
    """Of the UTC day; a time without a zone is UTC, as the library has it."""
    offset = of_day.utcoffset() or timedelta()
    moment = datetime.combine(date(2000, 1, 2), of_day.replace(tzinfo=None)) - offset
    return moment.hour * 3600 + moment.minute * 60 + moment.second


def _amounts(prices: types.ModelPrice) -> dict[str, Any]:
    return {_UNIT_OF[key]: _amount(value) for key, value in vars(prices).items() if value is not None}


def _amount(value: Decimal | types.TieredPrices) -> Any:
    if isinstance(value, types.TieredPrices):
        return [str(value.base), *([tier.start, str(tier.price)] for tier in value.tiers)]
    return str(value)


def text_of(made: dict[str, Any]) -> bytes:
    """The table's JSON with a model a line, so that a new version's changes can be read."""
    blocks = []
    for name, provider in made["providers"].items():
        models = b",\n".join(orjson.dumps(model) for model in provider["models"])
        rest = b"".join(
            b",%b:%b" % (orjson.dumps(key), orjson.dumps(provider[key])) for key in provider if key != "models"
        )
        blocks.append(b'%b:{"models":[\n%b]%b}' % (orjson.dumps(name), models, rest))
    head = b'{"version":%b,\n"units":%b,\n"providers":{\n' % (
        orjson.dumps(made["version"]),
        orjson.dumps(made["units"]),
    )
    return head + b",\n".join(blocks) + b"}}\n"


def main() -> None:
    made = table()
    TABLE.write_bytes(text_of(made))
    sys.stdout.write(f"{made['version']}\n")


if __name__ == "__main__":
    main()
