"""The words that the policy shares with the dialects and prices, which it may not import: equal, held together here."""

from proxy.ai.dialects.registry import DIALECTS
from proxy.ai.prices.pricelist import OVERRIDES
from proxy.ai.prices.table import bundled
from proxy.policy.money import OwnPrice
from proxy.policy.moneywords import PER_MILLION, PER_THOUSAND
from proxy.policy.prices import PROVIDERS, REGIONAL, SERVICE_TIERS
from proxy.policy.spending import Dialect


def test_the_policys_dialects_are_all_that_there_are() -> None:
    assert [dialect.value for dialect in Dialect] == list(DIALECTS)


def test_each_dialects_prices_are_its_providers() -> None:
    assert {dialect.value: provider for dialect, provider in PROVIDERS.items()} == {
        name: dialect.provider for name, dialect in DIALECTS.items()
    }


def test_what_may_be_priced_is_what_prices_know() -> None:
    """In their order, with their units: for a million tokens, or for a thousand of anything else."""
    assert [name for name in OwnPrice.model_fields if name not in ("window", "service_tiers")] == list(OVERRIDES)
    per = {1_000_000: PER_MILLION, 1_000: PER_THOUSAND}
    units = bundled().units
    for key, unit in OVERRIDES.items():
        annotated = OwnPrice.model_fields[key].annotation
        assert per[units[unit].per] in annotated.__args__[0].__metadata__, key  # type: ignore[union-attr]


def test_the_service_tiers_that_have_prices_are_those_that_the_dialects_price() -> None:
    priced: dict[str, set[str]] = {}
    for name, dialect in DIALECTS.items():
        for endpoint in dialect.endpoints:
            if endpoint.shape is not None and endpoint.shape.tiers is not None and endpoint.shape.tiers.priced:
                priced.setdefault(name, set()).update(endpoint.shape.tiers.priced)
    assert priced == {name: {tier.value for tier in tiers} for name, tiers in SERVICE_TIERS.items()}


def test_the_providers_with_regions_are_those_whose_requests_choose_one() -> None:
    regional = {
        name
        for name, dialect in DIALECTS.items()
        if any(endpoint.shape is not None and endpoint.shape.geo is not None for endpoint in dialect.endpoints)
    }
    assert regional == set(REGIONAL)
