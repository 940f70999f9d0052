"""The keys of the policy file that speak of money: budgets, prices, the ledger, alerts. A part of ``policy.schema``."""

from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Annotated

from pydantic import ConfigDict, Field

from proxy.policy import moneywords, servicewords, words
from proxy.policy.model import Scope, ScopeKind
from proxy.policy.section import Flag, Name, Secret, Section, Text, key
from proxy.policy.spelling import choice, count, one_or_many, single, word_for
from proxy.policy.spending import Dialect, Level, OnExceed

Money = Annotated[int, moneywords.MONEY]
Scopes = Annotated[list[Annotated[Scope, words.SCOPE]], one_or_many()]
ByTier = Annotated[dict[str, Money], single("default", "or one amount for all")]


# --- budgets -----------------------------------------------------------------------------------------------------


class Exceeded(Section):
    action: Annotated[OnExceed, choice({"block": OnExceed.BLOCK, "warn": OnExceed.WARN})] | None = key(
        "`block`: refused with 429; `warn`: admitted, counted and told.", None
    )
    downgrade: Text | None = key("A model that the call is made of instead, if that one fits.", None)


class Budget(Section):
    scope: Scopes = key("Who shares one budget; several: each pair of them.")
    daily: ByTier | None = key("For a calendar day: $50, or a map by tier, with `default`.", None)
    weekly: ByTier | None = key("For a calendar week, from Monday.", None)
    monthly: ByTier | None = key("For a calendar month.", None)
    reserve: dict[str, Annotated[Fraction, moneywords.SHARE]] = key(
        "By tier, the share that is kept for it and for better ones: others are refused sooner.", {}
    )
    on_exceed: Annotated[Exceeded, single("action", "or block or warn alone")] = key(
        "What happens to a call that does not fit.", "block"
    )


class Budgets(Section):
    """Each key but `time_zone` is the name of a budget."""

    members = Budget
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Budget] = Field(init=False)

    time_zone: Annotated[str, words.TIME_ZONE] = key("Where days, weeks and months begin.", "UTC")

    @property
    def by_name(self) -> dict[str, Budget]:
        return self.__pydantic_extra__


class TenantBudget(Section):
    amount: Money | None = key("For the budget's only period.", None)
    daily: Money | None = key("Instead of the daily amount.", None)
    weekly: Money | None = key("Instead of the weekly amount.", None)
    monthly: Money | None = key("Instead of the monthly amount.", None)


# --- routes to a provider ----------------------------------------------------------------------------------------


class MaxOutput(Section):
    default: Annotated[int, count(1, 10_000_000)] | None = key(
        "Written into requests that have no cap of their own.", None
    )
    most: Annotated[int, count(1, 10_000_000)] | None = key("A request that asks for more is refused.", None)


class Estimate(Section):
    quantile: Annotated[float, moneywords.QUANTILE] = key(
        "How many of the calls, in parts of one, stay within what is held.", 0.995
    )


# --- prices ------------------------------------------------------------------------------------------------------

PerMillion = Annotated[Decimal, moneywords.PER_MILLION]
PerThousand = Annotated[Decimal, moneywords.PER_THOUSAND]


class ServiceTier(StrEnum):
    FLEX = "flex"
    PRIORITY = "priority"
    FAST = "fast"
    SCALE = "scale"


class TokenPrice(Section):
    input: PerMillion | None = key("Input, and whatever of it has no price below.", None)
    output: PerMillion | None = key("Output, and whatever of it has no price below.", None)
    cached_read: PerMillion | None = key("Input that came from the provider's cache.", None)
    cache_write: PerMillion | None = key("Input that was put into it.", None)
    cache_write_1h: PerMillion | None = key("The same, to be kept for an hour.", None)
    reasoning: PerMillion | None = key("Output that was thought and not said.", None)
    audio_input: PerMillion | None = key("Sound heard.", None)
    audio_output: PerMillion | None = key("Sound made.", None)
    image_input: PerMillion | None = key("Pictures seen.", None)
    image_output: PerMillion | None = key("Pictures made.", None)


class OwnPrice(TokenPrice):
    web_search: PerThousand | None = key("Searches of the web.", None)
    file_search: PerThousand | None = key("Searches of files that the provider keeps.", None)
    request: PerThousand | None = key("Requests.", None)
    window: Annotated[int, count(1, 1_000_000_000)] | None = key("Tokens of input that the model can read.", None)
    service_tiers: dict[Annotated[ServiceTier, choice(ServiceTier)], TokenPrice] = key(
        "By service tier: its price, whole; calls on a dearer tier that has none are refused.", {}
    )


class Geo(StrEnum):
    GLOBAL = "global"
    US = "us"


class Account(Section):
    service_tier: Annotated[ServiceTier, choice(ServiceTier)] | None = key(
        "That of the project's settings, for calls that do not choose one.", None
    )
    geo: Annotated[Geo, choice(Geo)] | None = key("The workspace's region, for calls that do not choose one.", None)


class Prices(Section):
    unknown_model: Annotated[OwnPrice | None, word_for("refuse", None)] = key(
        "The price of models that the table does not know, or `refuse` calls to them; never free.", "refuse"
    )
    aliases: dict[str, Text] = key("What a client or a deployment calls a model, and the model whose price it has.", {})
    overrides: dict[str, OwnPrice] = key(
        "By model: its own price, whole, instead of the table's; a `window` alone leaves the price.", {}
    )
    discounts: dict[str, Annotated[Fraction, moneywords.DISCOUNT]] = key(
        f"Agreed with a provider ({', '.join(Dialect)}), off the table's prices.", {}
    )
    accounts: dict[str, Account] = key("By provider, what is set at its console and changes prices.", {})


# --- the ledger --------------------------------------------------------------------------------------------------


class Ledger(Section):
    url: Annotated[str, moneywords.LEDGER] | None = key(
        "Where every call's record goes; default: ledger.db in `data_dir`.", None, secret=True
    )
    read_url: Annotated[str, moneywords.LEDGER] | None = key(
        "A replica that reports read from; PostgreSQL only.", None, secret=True
    )
    keep: Annotated[int | None, moneywords.KEEP] = key("How long records are kept.", "forever")
    outbox: Annotated[int, count(1_000, 10_000_000)] = key(
        "Records that may wait for the database; beyond it budgets close.", 100_000
    )
    project_into: Annotated[str, moneywords.TABLE] | None = key(
        "A table of your own that gets a copy of each record, best effort; PostgreSQL only.", None
    )


# --- alerts ------------------------------------------------------------------------------------------------------


class MailServer(Section):
    smtp: Annotated[str, moneywords.SMTP] = key("The server.", secret=True)
    user: Secret = key("Who logs in; none given: nobody.", "")
    password: Secret = key("With this password.", "", secret=True)
    sender: Annotated[str, moneywords.MAIL] = key("The sender.", alias="from")


class Channel(Section):
    """One of slack, webhook, email and sentry."""

    name: Name | None = key("In logs and metrics; default: its kind and a number, such as slack-1.", None)
    slack: Annotated[str, moneywords.HOOK] | None = key("An incoming webhook of Slack's.", None, secret=True)
    webhook: Annotated[str, moneywords.HOOK] | None = key("Where the alert is posted as JSON.", None, secret=True)
    secret: Secret = key("Signs what the webhook gets; at least 16 characters.", "", secret=True)
    email: MailServer | None = key("The mail server.", None)
    to: list[Annotated[str, moneywords.RECIPIENT]] = key("Who gets the e-mail.", [])
    sentry: Flag = key("The project of `sentry.dsn`.", False)
    scopes: list[Annotated[ScopeKind, choice(ScopeKind)]] = key(
        "Hears only of budgets with one of these scopes; none given: of all.", []
    )


class Unusual(Section):
    factor: Annotated[Fraction, moneywords.FACTOR] = key("So many times the dearest hour of the week before.", 3)
    at_least: Money = key("And at least this.", "$5")


class Alerts(Section):
    at: dict[str, Annotated[Level, choice(Level)]] = key(
        "Percents of a budget, each with its level.", {"80%": "warning", "95%": "critical", "100%": "critical"}
    )
    to: list[Annotated[Channel, word_for("sentry", {"sentry": True})]] = key("Who is told.", [])
    forecast: Flag = key("Tell also when the budget would be gone at this rate.", False)
    unusual: Unusual | None = key("Tell of an hour that is dearer than usual.", None)
    service: servicewords.ServiceOrOff = key("Tell also of errors, latency and what the gateway depends on.", "off")
