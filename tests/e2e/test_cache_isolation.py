"""Never a byte of another's: whatever names callers have, however they come, and whatever happens meanwhile.

``python -m tests.chaos.cache_isolation`` does the first of these for minutes, and with ``--prove`` shows that it
notices keys that are broken on purpose.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.chaos.cache_isolation import COUNTED, WORKERS, Stand, mingle, standing
from tests.chaos.strangers import (
    NAMES,
    OTHER_ISSUER,
    Caller,
    by_key,
    by_membership,
    by_token,
    flaw,
    signed,
)
from tests.e2e.crowds import agreed, answers, ask, crowd, hears_purges, one_of_each
from tests.e2e.gateway import ISSUER, Answer, Client, eventually, get, once, reached, token

pytestmark = pytest.mark.full  # many seconds

CURRENT_S = 1.0  # within which a purge holds everywhere


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    """Its origin says that everything may be kept for ten seconds at least once in two times."""
    with standing(random.Random(3)) as stand:
        yield stand


@pytest.fixture
def calm(stand: Stand) -> Iterator[Stand]:
    """As long as a test lasts its origin's answers are all fresh, and come at once."""
    stand.knows.calm = True
    eventually(lambda: len(stand.gateway.worker_pids()) == WORKERS and hears_purges(stand.gateway))
    yield stand
    stand.knows.calm = False


async def ask_as(stand: Stand, caller: Caller, path: str, *lines: str) -> Answer:
    """Asserts that what comes is this caller's own."""
    answer = await once(stand.gateway, get(path, *caller.headers, *lines))
    assert answer.status == 200, (caller, answer)
    assert not flaw(answer, caller, path.split("/")[1], path, ""), (caller, path)
    return answer


async def fetches(stand: Stand, caller: Caller, path: str) -> int:
    """How many times the origin is asked for one request."""
    before = stand.knows.asked[path]
    await ask_as(stand, caller, path)
    return stand.knows.asked[path] - before


async def test_hundreds_of_rounds_of_strangers_at_the_same_urls(stand: Stand) -> None:
    """With writes, purges, memories too small for half of it, and workers that are killed."""
    tally = await mingle(stand, random.Random(3), 4.0, kills=True)
    assert tally.flaws == []
    assert tally.rounds > 200
    assert tally.statuses[200] > 10 * tally.statuses[500]
    assert set(tally.statuses) <= {200, 206, 400, 416}, tally.statuses  # 400: NUL and its like in a path
    for pattern in COUNTED.values():
        await reached(partial(_counts, stand, pattern))
    await reached(lambda: len(stand.gateway.worker_pids()) == WORKERS)


def _counts(stand: Stand, pattern: str) -> bool:
    return stand.gateway.metric(pattern) > 0


@pytest.mark.parametrize("scope", ["tenant", "user"])
async def test_every_name_has_answers_of_its_own(calm: Stand, scope: str) -> None:
    """All at once on one URL: each fetches once, and again gets its own, stored, as tenant and as user."""
    path = f"/{scope}/every-name"
    known = [by_token(name, "u") for name in NAMES]
    if scope == "user":
        known += [by_token("a", name) for name in NAMES if name != "u"]
    async with crowd(len(known), calm.gateway) as clients:
        for _ in range(2):
            for client, caller in zip(clients, known, strict=True):
                await client.send(get(path, *caller.headers))
            for answer, caller in zip(await answers(clients), known, strict=True):
                assert answer.status == 200
                assert not flaw(answer, caller, scope, path, "")
    assert calm.knows.asked[path] == len(known)


@pytest.mark.parametrize("name", ["a\0b", "\0", "a\nb", "a\r\nX-Tenant-ID: b", " a", "a ", "x" * 257])
async def test_what_cannot_be_a_name_gets_nothing(calm: Stand, name: str) -> None:
    """Neither as a tenant nor as a user: not even the origin's answer."""
    for tenant, user in ((name, "u"), ("a", name)):
        who = signed(iss=ISSUER, sub=user, app_metadata={"company_id": tenant})
        answer = await once(calm.gateway, get("/user/nameless", f"Authorization: Bearer {who}"))
        assert answer.status == 403
    assert not calm.knows.asked["/user/nameless"]


async def test_a_member_who_switches_gets_what_belongs_to_the_tenant_that_is_chosen(calm: Stand) -> None:
    """And shares it with the others of that tenant; as a user it is another one in each tenant."""
    first, second = by_membership("ada", ["switch-1", "switch-2"])
    colleague = by_token("switch-2", "grace")
    assert [await fetches(calm, each, "/tenant/switch") for each in (first, second, colleague, first, second)] == [
        *(1, 1, 0),
        *(0, 0),
    ]
    assert [await fetches(calm, each, "/user/switch") for each in (first, second, first, second)] == [1, 1, 0, 0]
    refused = await once(calm.gateway, get("/tenant/switch", first.headers[0], "X-Tenant-ID: a"))
    assert refused.status == 403


async def test_a_key_that_acts_for_tenants_gets_what_belongs_to_them(calm: Stand) -> None:
    """A user that a key names is none that an issuer has named so."""
    ours, theirs, by_issuer = by_key("A", "ada"), by_key("ab", "ada"), by_token("A", "ada")
    told = [await fetches(calm, each, "/tenant/key") for each in (ours, theirs, by_issuer, ours, theirs)]
    assert told == [1, 1, 0, 0, 0]
    assert [await fetches(calm, each, "/user/key") for each in (ours, theirs, by_issuer, ours)] == [1, 1, 1, 0]
    refused = await once(calm.gateway, get("/tenant/key", ours.headers[0], "Sluicegate-Tenant: nobody"))
    assert refused.status == 403


async def test_another_issuers_user_of_the_same_name_and_tenant_is_another(calm: Stand) -> None:
    ours, theirs = by_token("issuers", "ada"), by_token("issuers", "ada", OTHER_ISSUER)
    assert [await fetches(calm, each, "/user/issuers") for each in (ours, theirs, ours, theirs)] == [1, 1, 0, 0]
    assert [await fetches(calm, each, "/tenant/issuers") for each in (ours, theirs)] == [1, 0]


async def test_no_hit_without_a_credential_that_holds_now(calm: Stand) -> None:
    """Expired, altered, or none: 401, however often the answer was given to whom it belongs."""
    good = by_token("acme", "u1")
    for _ in range(4):
        await ask_as(calm, good, "/tenant/expired")
    bearer = good.headers[0]
    for bad in (
        f"Authorization: Bearer {token(tenant='acme', exp=int(time.time()) - 600)}",
        bearer[:-2] + ("AA" if not bearer.endswith("AA") else "BB"),
        "Authorization: Bearer ",
        "X-Tenant-ID: acme",
    ):
        answer = await once(calm.gateway, get("/tenant/expired", bad))
        assert answer.status == 401
        assert answer.get("Age") is None


async def test_a_token_that_expires_as_it_is_used_gets_no_more_hits(calm: Stand) -> None:
    """Also where its request is known by its bytes: on one connection, again and again."""
    skew_s = 30  # that the gateway allows an issuer's clock
    who = f"Authorization: Bearer {token(tenant='expiring', exp=int(time.time()) - skew_s + 2)}"
    seen: list[int] = []
    async with await Client.connect(calm.gateway) as client, asyncio.timeout(10):
        while not seen or seen[-1] == 200:
            await client.send(get("/tenant/expiring", who))
            seen.append((await client.answer()).status)
    assert seen[-1] == 401
    assert len(seen) > 10


async def test_who_is_nobody_gets_nothing_stored_and_nobodys_is_stored(calm: Stand) -> None:
    """Where a credential may be missing: the tenant's answers stay the tenant's."""
    nobody, somebody = Caller(None, None, "", ()), by_token("somebody", "u")
    told = [await fetches(calm, each, "/optional/x") for each in (nobody, somebody, nobody, somebody, nobody, nobody)]
    assert told == [1, 1, 1, 0, 1, 1]


async def test_a_purge_of_one_tenant_takes_nothing_of_another(calm: Stand) -> None:
    """Also where one's name is a part of the other's."""
    known = [by_token(name, "u") for name in ("purged", "purge", "purged2", "PURGED")]
    for caller in known:
        await ask_as(calm, caller, "/tenant/purged")
    written = await once(calm.gateway, get("/tenant/purged", *known[0].headers, method="POST", body=b"x"))
    assert written.status == 204
    async with asyncio.timeout(CURRENT_S):  # other workers hear of it
        while not await fetches(calm, known[0], "/tenant/purged"):
            pass
    assert [await fetches(calm, caller, "/tenant/purged") for caller in known[1:]] == [0, 0, 0]


async def test_what_one_worker_stored_others_give_to_its_tenant_alone(calm: Stand) -> None:
    """Each of the workers, and one that has just been started."""
    ours, theirs = by_token("a", "shared"), by_token("ab", "shared")
    request, other = get("/tenant/far", *ours.headers), get("/tenant/far", *theirs.headers)

    async def by_all(turn: str) -> int:
        async with crowd(40, calm.gateway) as clients:
            by_pid = await one_of_each(calm.gateway, clients)
            assert len(by_pid) == WORKERS
            await agreed(list(by_pid.values()), lambda number: get(f"/tenant/{turn}/{number}", *ours.headers))
            for asks, caller in ((request, ours), (other, theirs)):
                for client in by_pid.values():
                    await ask([client], asks)
                    (answer,) = await answers([client])
                    assert not flaw(answer, caller, "tenant", "/tenant/far", "")
        return calm.knows.asked["/tenant/far"]

    assert await by_all("first") == 2
    pid = calm.gateway.worker_pids()[0]
    os.kill(pid, signal.SIGKILL)
    await reached(lambda: len(calm.gateway.worker_pids()) == WORKERS and pid not in calm.gateway.worker_pids())
    assert await by_all("second") == 2


async def test_the_same_bytes_get_the_same_answer_and_others_do_not(calm: Stand) -> None:
    """Known by its bytes from any connection of an address, and from another address; a request that differs in its
    token alone is another's."""
    ours, theirs = by_token("recall", "ada"), by_token("recalled", "ada")
    for caller in (ours, theirs):
        await ask_as(calm, caller, "/user/recall")
    for address in ("127.0.0.1", "127.0.0.2", "127.0.0.1"):
        streams = await asyncio.open_connection("127.0.0.1", calm.gateway.port, local_addr=(address, 0))
        async with Client(*streams) as client:
            for number in range(20):
                caller = (ours, theirs)[number % 2]
                await client.send(get("/user/recall", *caller.headers))
                answer = await client.answer()
                assert not flaw(answer, caller, "user", "/user/recall", "")
    assert calm.knows.asked["/user/recall"] == 2
