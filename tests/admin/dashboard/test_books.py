"""What the dashboard asks of money, on a real ledger and without a Redis, which a gateway would bring."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster

from proxy.admin.clerk import answer
from proxy.admin.dashboard.books import MOST_ALERTS, MOST_BUDGETS, PAGE, read_wanted
from proxy.admin.errands import About, Errand
from proxy.admin.scopetexts import Subject
from proxy.admin.standings import Budgets
from proxy.core.clock import SystemClock
from proxy.core.identity import Identity, IdentityKind
from proxy.core.units import NANOS
from proxy.ledger.database import connect
from proxy.ledger.deliveries import Deliveries
from proxy.ledger.tenants import Order
from proxy.policy.compiler import load
from proxy.policy.model import Policy
from tests.admin.spent import a_call, filled, ledger_url, written_policy
from tests.ledger.samples import NOW_MS, a_firing

TENANTS = 60


@pytest.fixture(autouse=True)
def no_blocking_calls_but(no_blocking_calls: BlockBuster) -> None:
    """A clerk's loop is its own."""
    for function in no_blocking_calls.functions.values():
        function.can_block_in("tests/admin/dashboard/test_books.py", {"policy", "asked", "fired"})
        function.can_block_in("tests/admin/spent.py", {"filled"})
        function.can_block_in("sqlite/pysqlite.py", {"create_connect_args"})
        function.can_block_in("proxy/ledger/migrate.py", {"head", "_upgrade"})


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    """Tenant number n has spent n dollars of its 200, all of them at once; so the first has spent nothing."""
    made = load(written_policy(tmp_path), {}).policy
    now_ms = SystemClock().now_ms()
    budgets = Budgets(made.budgets, now_ms)
    calls = []
    for number in range(TENANTS):
        subject = Subject(Identity(IdentityKind.USER, "", tenant=f"t{number:02d}"), "", "", "")
        charges = [budgets.charge(one, subject) for one in made.budgets if one.name in ("global", "tenant")]
        calls.append(
            a_call(
                f"r{number}",
                now_ms - 1,
                number * NANOS,
                *charges,
                company_id=f"t{number:02d}",
                subscription_tier="trial",
            )
        )
    filled(ledger_url(tmp_path), calls, now_ms)
    return made


def asked(policy: Policy, about: About, **arguments: str) -> tuple[int, Any]:
    return asyncio.run(answer(Errand(policy, about, arguments), SystemClock().now_ms()))


def fired(policy: Policy) -> None:
    async def fire() -> None:
        assert policy.ledger is not None
        database = connect(policy.ledger.url, pool=1)
        payload = '{"level":"critical","cause":"threshold","message":"95% of tenant","tenant":"<b>"}'
        alerts = [a_firing(f"a{n}", period=f"p{n}", payload=payload) for n in range(MOST_ALERTS + 5)]
        await Deliveries(database).fire(alerts, NOW_MS)
        await database.close()

    asyncio.run(fire())


def test_everybodys_budgets_come_first_and_then_the_most_used(policy: Policy) -> None:
    status, told = asked(policy, About.OVERVIEW)
    rows = told["budgets"]
    assert (status, len(rows), told["more"]) == (200, MOST_BUDGETS, TENANTS - 1 + 2 - MOST_BUDGETS)
    assert [row["scope"] for row in rows[:4]] == ["global", "global", "tenant:t59", "tenant:t58"]
    assert (rows[2]["used"], rows[2]["left_usd"], rows[2]["length"], rows[2]["on_exceed"]) == (
        0.295, "141.00", "month", "block",
    )  # fmt: skip
    assert "no gateway does" in told["only_ledger"]


def test_the_newest_alerts_are_told_and_nobodys_address(policy: Policy) -> None:
    fired(policy)
    _, told = asked(policy, About.OVERVIEW)
    assert len(told["alerts"]) == MOST_ALERTS
    assert told["alerts"][0] == {
        "at_ms": NOW_MS, "level": "critical", "cause": "threshold", "message": "95% of tenant", "posts": 1,
        "delivered": 0, "waiting": 1,
    }  # fmt: skip


def test_a_page_of_tenants_has_each_ones_tightest_budget(policy: Policy) -> None:
    status, told = asked(policy, About.TENANTS, page="2")
    assert (status, told["page"], told["pages"], told["count"]) == (200, 2, 3, TENANTS)
    assert told["cost_usd"] == f"{sum(range(TENANTS))}.000000000"
    assert len(told["rows"]) == PAGE
    first = told["rows"][0]
    assert (first["tenant"], first["calls"], first["input_tokens"], first["cost_usd"]) == (
        "t34",
        1,
        105,
        "34.000000000",
    )
    assert (first["budget"]["scope"], first["budget"]["used"], first["budget"]["left_usd"]) == (
        "tenant:t34",
        0.17,
        "166.00",
    )


def test_tenants_are_found_and_sorted_by_the_ledger(policy: Policy) -> None:
    _, told = asked(policy, About.TENANTS, filter="T1", sort="tenant", order="asc")
    assert [row["tenant"] for row in told["rows"]] == [f"t1{n}" for n in range(10)]
    _, told = asked(policy, About.TENANTS, filter="nobody")
    assert (told["rows"], told["page"], told["pages"]) == ([], 1, 1)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"sort": "password"}, "sort"),
        ({"order": "up"}, "order"),
        ({"page": "0"}, "page"),
        ({"page": "x"}, "page"),
        ({"page": "²"}, "page"),
        ({"page": "9999999"}, "page"),
        ({"filter": "x" * 201}, "filter"),
        ({"filter": "\0"}, "filter"),
        ({"since": "soon"}, "soon"),
    ],
)
def test_a_page_that_cannot_be_meant_is_400(policy: Policy, arguments: dict[str, str], word: str) -> None:
    status, told = asked(policy, About.TENANTS, **arguments)
    assert (status, word in told["error"]) == (400, True)


def test_what_is_left_out_is_the_dearest_of_thirty_days() -> None:
    wanted = read_wanted({}, NOW_MS)
    assert (wanted.order, wanted.descending, wanted.page, wanted.contains) == (Order.COST, True, 1, "")
    assert NOW_MS - wanted.since_ms == 30 * 86_400_000


def test_a_budget_burns_down_by_what_its_rows_were_charged(policy: Policy) -> None:
    _, told = asked(policy, About.OVERVIEW)
    month = next(row for row in told["budgets"] if row["length"] == "month" and row["scope"] == "global")
    status, told = asked(policy, About.BURNDOWN, **{name: month[name] for name in ("budget", "scope", "period")})
    chart = told["chart"]
    spent = sum(range(TENANTS))
    assert (status, chart["amount_usd"], chart["settled_usd"]) == (200, 25_000, spent)
    assert chart["points"][0] == [chart["start_ms"], 25_000]
    assert chart["points"][-1] == [chart["now_ms"], 25_000 - spent]


def test_a_budget_that_nobody_has_is_400(policy: Policy) -> None:
    for arguments, word in (
        ({}, "budget is missing"),
        ({"budget": "global", "scope": "global", "period": "1999-12"}, "1999-12"),
        ({"budget": "x", "scope": "global", "period": "2026-11"}, "'x'"),
    ):
        status, told = asked(policy, About.BURNDOWN, **arguments)
        assert (status, word in told["error"]) == (400, True)


def test_without_an_amount_there_is_no_chart(policy: Policy) -> None:
    """What a tenant has that never spent depends on its tier."""
    _, told = asked(policy, About.OVERVIEW)
    period = next(row["period"] for row in told["budgets"] if row["budget"] == "tenant")
    status, told = asked(policy, About.BURNDOWN, budget="tenant", scope="tenant:new", period=period)
    assert (status, told["chart"]) == (200, None)
