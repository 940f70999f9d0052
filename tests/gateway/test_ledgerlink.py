"""What a worker asks of the ledger and tells of refusals."""

import asyncio
from collections.abc import Callable

import pytest

from proxy.core.usage import Charge, Spender
from proxy.gateway.control import AskLedger, BudgetRefused, IsolationViolated, LedgerHas, Message
from proxy.gateway.ledgerlink import AGAIN_MS, LedgerLink
from proxy.store.errors import StoreAway
from tests.e2e.gateway import reached

ID = bytes(16)


class Said:
    def __init__(self, answer: Callable[[AskLedger], None] = lambda _: None) -> None:
        self.messages: list[Message] = []
        self._answer = answer

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)
        if isinstance(message, AskLedger):
            self._answer(message)


async def test_an_answer_finds_its_question() -> None:
    link = LedgerLink(3)
    said = Said(lambda asked: link.heard(LedgerHas(asked.worker, asked.number, frozenset(asked.ids))))
    link.open(said)
    assert await asyncio.gather(link.ask([ID]), link.ask([])) == [{ID}, set()]
    assert [message.worker for message in said.messages if isinstance(message, AskLedger)] == [3, 3]


async def test_silence_is_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settling lane asks again then, as for any store."""
    monkeypatch.setattr("proxy.gateway.ledgerlink.ANSWER_S", 0.01)
    link = LedgerLink(0)
    with pytest.raises(StoreAway):
        await link.ask([ID])
    link.open(Said())
    with pytest.raises(StoreAway):
        await link.ask([ID])
    link.heard(LedgerHas(0, 0, frozenset()))  # too late: nobody waits


async def test_a_budget_that_refuses_is_told_once_in_a_while() -> None:
    said, link = Said(), LedgerLink(0)
    one, other = (BudgetRefused(Charge("b", "s", "p", counter=name), Spender()) for name in ("k1", "k2"))
    link.refused(one, 0)  # nobody listens yet
    link.open(said)
    for now_ms in (1, 2, AGAIN_MS, AGAIN_MS + 1):
        link.refused(one, now_ms)
    link.refused(other, 2)
    await reached(lambda: len(said.messages) == 3)
    assert sorted(message.charge.counter for message in said.messages if isinstance(message, BudgetRefused)) == [
        "k1",
        "k1",
        "k2",
    ]


async def test_a_violation_is_told_once_in_a_while_for_each_route_and_tenant() -> None:
    said, link = Said(), LedgerLink(0)
    link.open(said)
    for tenant, now_ms in (("a", 1), ("a", 2), ("b", 2), ("a", AGAIN_MS + 1)):
        link.violated(IsolationViolated("reports", tenant), now_ms)
    await reached(lambda: len(said.messages) == 3)
    assert said.messages == [IsolationViolated("reports", tenant) for tenant in "aba"]
