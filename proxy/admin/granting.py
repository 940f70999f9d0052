"""What is granted by what ops ask for: which budgets of the policy, to whom, how much, until when; and its end before
that. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from proxy.admin.moments import ahead_ms
from proxy.admin.scopetexts import Subject, form, subject
from proxy.ledger.grants import Ending, Grant
from proxy.policy.model import Policy
from proxy.policy.moneywords import MONEY
from proxy.policy.problems import meant
from proxy.policy.spending import Budget

_DIGITS: Final = 18  # of a number: the database's have 63 bits


@dataclass(frozen=True, slots=True)
class Asked:
    """As it was typed. ``budget``: None for all whose scopes the text fits."""

    scope: str
    amount: str
    until: str
    reason: str
    by: str
    budget: str | None = None


def grants(policy: Policy, asked: Asked, now_ms: int) -> list[Grant]:
    """One for each budget, whatever its periods. Raises: ValueError that says what would be right."""
    nanousd = read_amount(asked.amount)
    if not nanousd:
        raise ValueError("a grant of nothing")
    if not asked.reason.strip() or not asked.by.strip():
        raise ValueError("a grant says why, and who granted it")
    _check_words(asked.reason, asked.by)
    made = {}
    for budget, found in fitting(policy, asked.scope, asked.budget):
        until_ms = ahead_ms(asked.until, now_ms, budget.time_zone)
        if until_ms <= now_ms:
            raise ValueError(f"{asked.until!r} is over: a grant that ends before it begins")
        text = found.text(budget.scopes)
        made[budget.name] = Grant(budget.name, text, nanousd, now_ms, until_ms, asked.reason, asked.by)
    return list(made.values())


def ending(reason: str, by: str, now_ms: int) -> Ending:
    """Of grants, before their time. Raises: ValueError."""
    _check_words(reason, by)
    return Ending(now_ms, reason, by)


def read_number(text: str) -> int:
    """A grant's, as it was told when it was made. Raises: ValueError."""
    if not (text.isascii() and text.isdecimal()) or len(text) > _DIGITS:
        raise ValueError(f"{text!a} is no number of a grant, such as 7")
    return int(text)


def fitting(policy: Policy, text: str, name: str | None = None) -> list[tuple[Budget, Subject]]:
    """The budgets, period by period, that have one of that name. Raises: ValueError where none has."""
    if not _is_utf8(text):
        raise ValueError(f"{text!a} is not UTF-8, as it is written or as its escapes say")
    names = list(dict.fromkeys(budget.name for budget in policy.budgets))
    if name is not None and name not in names:
        raise ValueError(f"the policy has no budget {name!r}{meant(name, names)}")
    considered = [budget for budget in policy.budgets if name is None or budget.name == name]
    issuers = policy.identity.issuers
    issuer = issuers[0].issuer if len(issuers) == 1 else None
    fits = [(budget, found) for budget in considered if (found := subject(budget.scopes, text, issuer)) is not None]
    if not fits:
        raise ValueError(f"no budget is counted by {text!r}: {_forms(considered) or 'the policy has none'}")
    return fits


def read_amount(text: str) -> int:
    """Nano-dollars: ``$200``; below zero, ``$-200`` or ``-$200``, takes back. Raises: ValueError."""
    spelled = text.strip().replace("$-", "-$", 1)
    sign = -1 if spelled.startswith("-") else 1
    nanousd: int = MONEY.parse(spelled.removeprefix("-"))
    return sign * nanousd


def _check_words(*words: str) -> None:
    for word in words:
        if not _is_utf8(word):
            raise ValueError(f"{word!a} is not UTF-8")


def _is_utf8(text: str) -> bool:
    """What the ledger can keep. An escaped half of a character, which a token may hold, is passed."""
    try:
        text.encode()
        unquote(text, errors="surrogatepass")
    except UnicodeError:
        return False
    return True


def _forms(budgets: Iterable[Budget]) -> str:
    return ", ".join(dict.fromkeys(f"{budget.name} is by {form(budget.scopes)}" for budget in budgets))
