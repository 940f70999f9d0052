"""`sluicegate budget`: where budgets stand, and grants on top of them, on a record that is only added to."""

import argparse
import getpass
import json
import os
from collections.abc import Callable, Coroutine
from typing import Any, Final

from proxy.admin.desk import end, grant, history, standings
from proxy.admin.granting import Asked, read_number
from proxy.admin.shapes import of_grant, of_standing, of_standings
from proxy.cli.books import answer, policy_of, wrong_call
from proxy.cli.tables import aligned, printable
from proxy.core.clock import SystemClock
from proxy.core.units import dollars
from proxy.policy.model import Policy

_WORDS: Final = ("budget", "scope", "period", "resets_at")
_RECORD: Final = ("id", "budget", "scope", "until", "ended_at", "by", "reason")
_AMOUNTS: Final = ("amount", "granted", "settled", "held", "left")


def main(args: argparse.Namespace) -> int:
    policy = policy_of(args)
    if policy is None:
        return 1
    try:
        return answer(_VERBS[args.verb](args, policy))
    except ValueError as error:
        return wrong_call(error)


async def _show(args: argparse.Namespace, policy: Policy) -> int:
    """Raises: ValueError."""
    found, why = await standings(policy, args.scope, SystemClock().now_ms())
    if args.json:
        print(json.dumps(of_standings(found, why), indent=2))
        return 0
    if found:
        shapes = [of_standing(one) for one in found]
        names = (*_WORDS, *(f"{name}_usd" for name in _AMOUNTS))
        print(aligned((*_WORDS, *_AMOUNTS), [[shape[name] for name in names] for shape in shapes], words=len(_WORDS)))
    else:
        print("nothing is spent yet")
    if why is not None:
        print(f"from the ledger alone, without what is held or on its way there: {why}")
    return 0


async def _grant(args: argparse.Namespace, policy: Policy) -> int:
    """Raises: ValueError."""
    asked = Asked(args.scope, args.amount, args.until, args.reason, args.by or _whoever(), args.budget)
    made = await grant(policy, asked, SystemClock().now_ms())
    if args.json:
        print(json.dumps([of_grant(one) for one in made], indent=2))
        return 0
    for one in made:
        periods = " and ".join(budget.period for budget in policy.budgets if budget.name == one.budget)
        print(
            f"granted ${dollars(one.amount_nanousd, grouped=True)} to {printable(one.scope)} on top of the budget "
            f"{one.budget} ({periods}), until {of_grant(one)['until']}: number {one.id} of the record"
        )
    return 0


async def _end(args: argparse.Namespace, policy: Policy) -> int:
    """Raises: ValueError."""
    ids = [read_number(number) for number in args.number]
    ended = await end(policy, ids, args.reason, args.by or _whoever(), SystemClock().now_ms())
    if args.json:
        print(json.dumps([of_grant(one) for one in ended], indent=2))
        return 0
    for one in ended:
        print(
            f"ended number {one.id} of the record: ${dollars(one.amount_nanousd, grouped=True)} to "
            f"{printable(one.scope)} on top of the budget {one.budget}"
        )
    return 0


async def _grants(args: argparse.Namespace, policy: Policy) -> int:
    now_ms = SystemClock().now_ms()
    found = [one for one in await history(policy, args.scope) if args.all or one.binds(now_ms)]
    shapes = [of_grant(one) for one in found]
    if args.json:
        print(json.dumps(shapes, indent=2))
    elif shapes:
        names = (*_RECORD, "amount_usd")
        rows = [[None if shape[name] is None else str(shape[name]) for name in names] for shape in shapes]
        print(aligned(("number", *_RECORD[1:], "amount"), rows, words=len(_RECORD)))
    else:
        print("nothing was granted" if args.all else "no grant is in force")
    return 0


_VERBS: Final[dict[str, Callable[[argparse.Namespace, Policy], Coroutine[Any, Any, int]]]] = {
    "show": _show,
    "grant": _grant,
    "end": _end,
    "grants": _grants,
}


def _whoever() -> str:
    """Who runs the command; a container may have a user without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
