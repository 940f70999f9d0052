"""A policy's prices as lines to read."""

from decimal import Decimal
from fractions import Fraction

from proxy.ai.prices.table import bundled
from proxy.cli.pricelines import DETAILS, OVERVIEW, PriceSheet, unmatched
from proxy.policy.spending import Account, OwnPrice, Prices

NOW_MS = 1_795_000_000_000
OWN = OwnPrice({"input": Decimal(3), "output": Decimal("6.5")}, 32_000)


def sheet(**prices: object) -> PriceSheet:
    return PriceSheet(bundled(), Prices(**prices), NOW_MS)  # type: ignore[arg-type]


def overview(one: PriceSheet, provider: str, model: str) -> dict[str, str | None]:
    found = one.find(provider, model)
    assert found is not None
    return dict(zip(OVERVIEW, one.overview(found), strict=True))


def details(one: PriceSheet, provider: str, model: str) -> dict[tuple[str, str], str]:
    found = one.find(provider, model)
    assert found is not None
    lines = [dict(zip(DETAILS, line, strict=True)) for line in one.details(found)]
    return {(line["what"], line["where"]): line["usd"] for line in lines}


def test_a_list_price_is_as_published() -> None:
    line = overview(sheet(), "openai", "gpt-4o-mini")
    assert (line["input"], line["cached"], line["output"]) == ("0.15", "0.075", "0.6")
    assert (line["price"], line["window"]) == ("list", "128,000")


def test_a_contract_takes_off_what_it_says() -> None:
    line = overview(sheet(factors={"openai": Fraction(9, 10)}), "openai", "gpt-4o-mini")
    assert (line["price"], line["input"], line["cached"]) == ("contract", "0.135", "0.0675")


def test_the_policys_own_price_gets_no_discount_and_is_listed() -> None:
    one = sheet(factors={"openai": Fraction(1, 2)}, overrides={"my-finetune": OWN})
    line = overview(one, "openai", "My-Finetune")
    assert (line["price"], line["input"], line["output"], line["window"]) == ("policy", "3", "6.5", "32,000")
    assert "my-finetune" in {priced.prices.id for priced in one.models("openai")}


def test_an_alias_has_the_price_of_what_it_stands_for() -> None:
    assert overview(sheet(aliases={"prod": "gpt-4o-mini"}), "azure", "prod")["input"] == "0.15"


def test_a_region_costs_more() -> None:
    one = sheet(accounts={"anthropic": Account((), "us")})
    assert overview(one, "anthropic", "claude-sonnet-4-5")["price"] == "contract"
    assert "anthropic: region us where a call does not choose" in list(one.notes(["anthropic"]))


def test_steps_and_variants_are_lines_of_their_own() -> None:
    found = details(sheet(), "google", "gemini-2.5-pro")
    assert (found["input", ""], found["input", "input > 200,000"]) == ("1.25", "2.5")
    assert found["output", "processing=batch input > 200,000"] == "7.5"
    assert overview(sheet(), "google", "gemini-2.5-pro")["input"] == "1.25+"


def test_nobodys_model_is_not_found() -> None:
    assert sheet().find("openai", "nobody-knows") is None


def test_notes_name_the_table_and_the_contract() -> None:
    notes = list(sheet(factors={"openai": Fraction(85, 100)}).notes(["openai"]))
    assert notes[0].startswith(f"prices: {bundled().version}")
    assert notes[1].startswith("openai: 15% off")


def test_what_no_call_can_meet_is_told() -> None:
    prices = Prices(
        aliases={"good": "gpt-4o", "mine": "my-finetune", "bad": "gpt-4oo"},
        overrides={"my-finetune": OWN, "gpt-4o": OwnPrice({}, 1), "nothing": OwnPrice({}, 1)},
        factors={"anthropic": Fraction(1, 2)},
    )
    found = list(unmatched(prices, bundled(), ["openai"]))
    assert [flaw.partition(":")[0] for flaw in found] == ["prices.aliases.bad", "prices.overrides.nothing", "prices"]
    assert "anthropic" in found[2]
