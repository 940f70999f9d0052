"""What the policy says of money: budgets, prices, the ledger, alerts. Frozen and picklable, as ``policy.model`` is.

Money is integer nano-dollars, prices are dollars as written, durations milliseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING

from proxy.policy.caching import AnswerCaching
from proxy.policy.model import Limit, Period, Scope, ScopeKind

if TYPE_CHECKING:  # which has what is here
    from proxy.policy.service import Service

# --- budgets -----------------------------------------------------------------------------------------------------


class OnExceed(StrEnum):
    BLOCK = "block"
    WARN = "warn"  # admitted and counted all the same
    DOWNGRADE = "downgrade"  # asked again for a cheaper model


@dataclass(frozen=True, slots=True)
class Budget:
    """One budget in one period: what a policy writes as ``user: {daily: …, monthly: …}`` makes two of these.

    ``amounts`` has every tier. ``usable`` is the share of an amount that callers of a tier may use up, where some of it
    is kept for better tiers; tiers that are not in it may use all. ``tenants`` are exceptions and when each ends (epoch
    ms). ``downgrade_to`` is the model of DOWNGRADE.
    """

    name: str
    index: int  # among all budgets of the policy, periods apart
    period: Period
    time_zone: str
    scopes: tuple[Scope, ...]
    amounts: Mapping[str, int]
    usable: Mapping[str, Fraction]
    tenants: Mapping[str, tuple[int, int | None]]
    on_exceed: OnExceed
    downgrade_to: str | None = None

    def amount(self, tier: str, tenant: str | None, now_ms: int) -> tuple[int, int | None]:
        """The whole amount of a caller's budget, and when that changes by itself (epoch ms), if it does."""
        if tenant is not None and (exception := self.tenants.get(tenant)) is not None:
            amount, ends_ms = exception
            if ends_ms is None or now_ms < ends_ms:
                return amount, ends_ms
        return self.amounts[tier], None

    def capacity(self, tier: str, amount: int) -> int:
        """What a caller of this tier may find used up of ``amount``, grants included, before it is refused."""
        share = self.usable.get(tier)
        return amount if share is None else amount * share.numerator // share.denominator


# --- calls -------------------------------------------------------------------------------------------------------


class Dialect(StrEnum):
    """How a provider is spoken to, by the names of ``ai.dialects.registry``."""

    OPENAI = "openai"
    AZURE = "azure"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    GROQ = "groq"
    MISTRAL = "mistral"


class OnDisconnect(StrEnum):
    """What becomes of an answer whose client has left."""

    DRAIN = "drain"  # read to its end, and settled exactly
    CANCEL = "cancel"  # given up, and settled at its hold


@dataclass(frozen=True, slots=True)
class Spending:
    """How a route's calls to a provider are held, settled and accounted for.

    ``max_output_tokens``: written into requests that have no cap of their own, None: those have no bound.
    ``most_output_tokens``: a request that asks for more is refused, None: any. ``unbounded_nanousd``: what is held for
    calls that nothing bounds, None: they are refused. ``learnt``: the quantile of the learnt estimate, None: holds are
    upper bounds. ``vouched``: members of the body that the policy vouches for although the dialect does not know them.
    ``stored_objects``: whether callers may list, read and delete what calls have left at the provider.
    """

    dialect: str
    budgets: tuple[Budget, ...]
    tokens: tuple[Limit, ...]  # limits whose unit is tokens
    max_output_tokens: int | None
    most_output_tokens: int | None
    on_disconnect: OnDisconnect
    unbounded_nanousd: int | None
    learnt: float | None
    vouched: frozenset[str]
    answers: AnswerCaching | None = None  # kept for calls whose bodies are equal
    stored_objects: bool = False


# --- prices ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """``prices`` are dollars, keys and their units as ``ai.prices.pricelist.OVERRIDES``; ``window`` in tokens;
    ``tiers``: the same prices by the service tiers that have others."""

    prices: Mapping[str, Decimal]
    window: int | None = None
    tiers: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Account:
    """What a provider has settled for our account: the service tier and region of calls that do not choose."""

    context: tuple[tuple[str, str], ...] = ()
    geo: str | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """``unknown``: the price of models that nobody knows, None: calls to them are refused. ``factors``: by provider,
    what the contract makes of the list price; ``overrides`` and ``unknown`` are as agreed, and get no factor."""

    unknown: OwnPrice | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)  # a client's or a deployment's name -> the model's
    overrides: Mapping[str, OwnPrice] = field(default_factory=dict)
    factors: Mapping[str, Fraction] = field(default_factory=dict)
    accounts: Mapping[str, Account] = field(default_factory=dict)


# --- the ledger --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ledger:
    """``url`` as ``ledger.url`` reads it. ``read_url``: a replica for reports. ``keep_ms``: None for ever.
    ``outbox``: records that may wait for the database, beyond which budgets close. ``project_into``: a table of the
    first user's own (``public.ai_usage``) that gets a copy, best effort."""

    url: str = field(repr=False)
    read_url: str | None = field(repr=False, default=None)
    keep_ms: int | None = None
    outbox: int = 100_000
    project_into: str | None = None


# --- alerts ------------------------------------------------------------------------------------------------------


class Level(StrEnum):
    WARNING = "warning"
    CRITICAL = "critical"


class ChannelKind(StrEnum):
    WEBHOOK = "webhook"
    SLACK = "slack"
    EMAIL = "email"
    SENTRY = "sentry"


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to tell somebody. ``scopes``: of which budgets it hears, by the kinds of their scopes; empty: all.

    ``url`` is the webhook's, Slack's, the mail server's (``smtps://host:465``) or Sentry's DSN. ``to``, of e-mail:
    addresses, ``claim:PATH`` (of the caller whose spending did it) and ``tenant`` (the tenant's ``contacts``).
    """

    name: str
    kind: ChannelKind
    url: str = field(repr=False)
    secret: str = field(repr=False, default="")  # signs a webhook
    user: str = field(repr=False, default="")
    password: str = field(repr=False, default="")
    sender: str = ""
    to: tuple[str, ...] = ()
    scopes: frozenset[ScopeKind] = frozenset()


@dataclass(frozen=True, slots=True)
class Unusual:
    """An hour is unusual whose spending is above ``at_least`` and ``factor`` times the dearest of the week before."""

    factor: Fraction
    at_least_nanousd: int


@dataclass(frozen=True, slots=True)
class Alerts:
    """``at``: percent of a budget and its level, lowest first. ``contacts``: addresses by tenant. ``service``: what is
    told of the service itself, None: nothing."""

    at: tuple[tuple[int, Level], ...] = ((80, Level.WARNING), (95, Level.CRITICAL), (100, Level.CRITICAL))
    channels: tuple[Channel, ...] = ()
    contacts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    forecast: bool = False
    unusual: Unusual | None = None
    service: "Service | None" = None
