"""Kept sums are what the rows add up to, and what the outbox still has is counted once."""

from proxy.core.usage import Charge, RecordKind, Spender, Spent
from proxy.ledger.database import Database
from proxy.ledger.sums import Waiting, counters, kept, living, position, recounted
from proxy.ledger.writer import write
from tests.ledger.samples import NOW_MS, a_record, an_arrival

DAY, MONTH = Charge("global", "global", "2026-11-18"), Charge("user", "user:ü'\"", "2026-11")


async def test_rows_and_kept_sums_agree(ledger: Database) -> None:
    for rev in (1, 2):
        await write(
            ledger,
            [
                an_arrival(a_record(f"r{n}", rev=rev, cost_nanousd=n * rev + 2**52, charges=(DAY, MONTH)[: n % 3]))
                for n in range(9)
            ],
            NOW_MS,
        )
    assert await kept(ledger) == await recounted(ledger, 0)
    assert await kept(ledger, ["2026-11"]) == await recounted(ledger, 0, ["2026-11"])
    assert set(await kept(ledger)) == {DAY, MONTH}
    assert await recounted(ledger, NOW_MS + 10**9) == {}


async def test_what_is_on_its_way_counts_by_what_it_would_move(ledger: Database) -> None:
    """A new one whole, a correction by its difference, one that has arrived meanwhile not at all."""
    arrived = an_arrival(a_record("old", cost_nanousd=100, charges=(DAY,)))
    await write(ledger, [arrived, an_arrival(a_record("fix", cost_nanousd=50, charges=(DAY,)))], NOW_MS)
    outbox = [
        arrived,
        an_arrival(a_record("fix", rev=2, cost_nanousd=20, charges=(DAY,))),
        an_arrival(a_record("new", cost_nanousd=7, charges=(DAY, MONTH))),
    ]
    found = await position(ledger, outbox)
    assert found.ledger == {DAY: 150}
    assert found.outbox == {DAY: -23, MONTH: 7}
    assert (await position(ledger, outbox, ["2026-11"])).outbox == {MONTH: 7}
    await write(ledger, outbox, NOW_MS)
    assert (await position(ledger, outbox)).ledger == {DAY: 127, MONTH: 7}
    assert (await position(ledger, outbox)).outbox == {}


HOUR_MS = 3_600_000
NOON = Charge("global", "global", "2026-11-18", "{m0}b:day", NOW_MS + HOUR_MS)
MINE = Charge("user", "user:iss u", "2026-11", "{m0}b:mine", NOW_MS + 9 * HOUR_MS)
OVER = Charge("global", "global", "2026-11-17", "{m0}b:over", NOW_MS)


async def test_a_rebuild_gets_every_living_counter_once(ledger: Database) -> None:
    """What the ledger has and what is on its way, a correction by its difference; a period that has ended not."""
    old = an_arrival(a_record("old", cost_nanousd=100, charges=(NOON, MINE, OVER)))
    await write(ledger, [old], NOW_MS)
    fresh = Charge("tenant", "tenant:acme", "2026-11", "{m0}b:new", NOW_MS + HOUR_MS)
    outbox = [
        old,
        an_arrival(a_record("old", rev=2, cost_nanousd=40, charges=(NOON, MINE, OVER))),
        an_arrival(a_record("new", cost_nanousd=7, charges=(NOON, fresh, OVER))),
    ]
    assert await counters(ledger, Waiting(outbox), NOW_MS) == {
        b"{m0}b:day": (47, NOW_MS + HOUR_MS),
        b"{m0}b:mine": (40, NOW_MS + 9 * HOUR_MS),
        b"{m0}b:new": (7, NOW_MS + HOUR_MS),
    }
    assert await counters(ledger, Waiting(), NOW_MS + HOUR_MS) == {b"{m0}b:mine": (100, NOW_MS + 9 * HOUR_MS)}


async def test_what_was_taken_back_is_a_counter_of_nothing(ledger: Database) -> None:
    """A store that came back older still has the amount: it must hear of the zero."""
    for rev, cost in ((1, 50), (2, 0)):
        await write(ledger, [an_arrival(a_record(rev=rev, cost_nanousd=cost, charges=(NOON,)))], NOW_MS)
    assert await counters(ledger, Waiting(), NOW_MS) == {b"{m0}b:day": (0, NOW_MS + HOUR_MS)}


async def test_two_names_of_one_counter_add_up(ledger: Database) -> None:
    """A policy that spells a scope anew charges the same counter under another name."""
    other = Charge("global", "everybody", "2026-11-18", NOON.counter, NOON.ends_ms)
    await write(ledger, [an_arrival(a_record("a", cost_nanousd=3, charges=(NOON,)))], NOW_MS)
    outbox = [an_arrival(a_record("b", cost_nanousd=4, charges=(other,)))]
    assert await counters(ledger, Waiting(outbox), NOW_MS) == {b"{m0}b:day": (7, NOON.ends_ms)}


async def test_a_charge_that_never_said_its_counter_learns_it(ledger: Database) -> None:
    """And one that says nothing later takes nothing away."""
    silent = Charge(NOON.budget, NOON.scope, NOON.period)
    for name, charge in (("a", silent), ("b", NOON), ("c", silent)):
        await write(ledger, [an_arrival(a_record(name, cost_nanousd=5, charges=(charge,)))], NOW_MS)
    assert await counters(ledger, Waiting(), NOW_MS) == {b"{m0}b:day": (15, NOON.ends_ms)}


async def test_living_sums_know_who_spent_last(ledger: Database) -> None:
    notify = (("email", "u@acme.example"),)
    first = a_record("a", cost_nanousd=1, charges=(NOON, OVER), user_id="first", notify=notify)
    last = a_record("b", cost_nanousd=2, charges=(NOON,), settled_ms=first.settled_ms + 1, notify=notify)
    credit = a_record("c", cost_nanousd=-1, charges=(NOON,), kind=RecordKind.ADJUSTMENT, subscription_tier="")
    await write(ledger, [an_arrival(last), an_arrival(first)], NOW_MS)
    await write(ledger, [an_arrival(credit)], NOW_MS)
    assert await living(ledger, NOW_MS) == [Spent(NOON, 2, Spender("enterprise", "acme", "u-1", notify))]
    assert (await living(ledger, NOW_MS))[0].charge.counter == NOON.counter
