"""Answers questions about a policy's money, one after the other, until nobody can ask any more. Run as
``-m proxy.admin.clerk``: an ``Errand`` comes on standard input, its answer goes to standard output, its length first.
"""

import asyncio
import json
import logging
import os
import pickle
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from io import BufferedReader
from typing import Any, Final

import orjson

from proxy.admin import desk, shapes
from proxy.admin.dashboard import books
from proxy.admin.errands import LENGTH, About, Answer, Errand
from proxy.admin.granting import Asked, read_number
from proxy.admin.moments import back_ms
from proxy.admin.stores import Unanswered
from proxy.core.clock import SystemClock
from proxy.ledger.reports import By
from proxy.ledger.tabular import as_json
from proxy.policy.model import Policy
from proxy.telemetry.log import configure

_WHO: Final = "admin API"
_SINCE: Final = "30d"
_TO_GRANT: Final = ("scope", "amount", "until", "reason")
_TO_END: Final = ("id", "reason")


async def answer(errand: Errand, now_ms: int) -> Answer:
    try:
        return 200, await _ANSWERS[errand.about](errand.policy, errand.arguments, now_ms)
    except ValueError as error:
        return 400, {"error": str(error)}
    except Unanswered as error:
        return 503, {"error": str(error)}


async def _usage(policy: Policy, arguments: Mapping[str, str], now_ms: int) -> Any:
    by = desk.read_by(arguments.get("by", By.TENANT))
    since_ms = back_ms(arguments.get("since", _SINCE), now_ms)
    until_ms = back_ms(arguments["until"], now_ms) if "until" in arguments else None
    return orjson.loads(as_json(by, await desk.usage(policy, by, since_ms, until_ms)))


async def _budgets(policy: Policy, arguments: Mapping[str, str], now_ms: int) -> Any:
    return shapes.of_standings(*await desk.standings(policy, arguments.get("scope"), now_ms))


async def _grants(policy: Policy, arguments: Mapping[str, str], _now_ms: int) -> Any:
    return [shapes.of_grant(one) for one in await desk.history(policy, arguments.get("scope"))]


async def _grant(policy: Policy, arguments: Mapping[str, str], now_ms: int) -> Any:
    _check_whole(arguments, _TO_GRANT)
    asked = Asked(
        scope=arguments["scope"],
        amount=arguments["amount"],
        until=arguments["until"],
        reason=arguments["reason"],
        by=arguments.get("by", _WHO),
        budget=arguments.get("budget"),
    )
    return [shapes.of_grant(one) for one in await desk.grant(policy, asked, now_ms)]


async def _end(policy: Policy, arguments: Mapping[str, str], now_ms: int) -> Any:
    _check_whole(arguments, _TO_END)
    ids = [read_number(arguments["id"])]
    ended = await desk.end(policy, ids, arguments["reason"], arguments.get("by", _WHO), now_ms)
    return [shapes.of_grant(one) for one in ended]


def _check_whole(arguments: Mapping[str, str], needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in arguments]
    if missing:
        raise ValueError(f"{missing[0]} is missing")


async def _reconcile(policy: Policy, _arguments: Mapping[str, str], now_ms: int) -> Any:
    return shapes.of_comparison(*await desk.compared(policy, now_ms))


_ANSWERS: Final[dict[About, Callable[[Policy, Mapping[str, str], int], Awaitable[Any]]]] = {
    About.USAGE: _usage,
    About.BUDGETS: _budgets,
    About.GRANTS: _grants,
    About.GRANT: _grant,
    About.END: _end,
    About.RECONCILE: _reconcile,
    About.OVERVIEW: books.overview,
    About.TENANTS: books.tenant_page,
    About.BURNDOWN: books.burning,
}


def main() -> None:
    configure(json_lines=os.environ.get("SLUICEGATE_LOG", "json") == "json", level=logging.WARNING)
    asked = sys.stdin.buffer
    assert isinstance(asked, BufferedReader)
    while asked.peek(1):  # nothing: whoever asked has gone
        errand: Errand = pickle.load(asked)  # noqa: S301 - from our own parent
        said = json.dumps(asyncio.run(answer(errand, SystemClock().now_ms()))).encode()
        sys.stdout.buffer.write(LENGTH.pack(len(said)) + said)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
