"""An alert fires for one, whoever asks and however often."""

import asyncio

from proxy.ledger.database import Database, connect
from proxy.ledger.markers import Markers
from tests.ledger.samples import NOW_MS


async def test_of_fifty_at_once_one_marks(ledger: Database) -> None:
    other = connect(ledger.url)
    both = Markers(ledger), Markers(other)
    asked = [both[n % 2].mark_once("tenant:acme", "2026-11", 200 * 10**9, 80, NOW_MS) for n in range(50)]
    assert sum(await asyncio.gather(*asked)) == 1
    await other.close()


async def test_every_part_of_a_marker_counts(ledger: Database) -> None:
    markers = Markers(ledger)
    kinds = [("a", "2026-11", 5, 80), ("b", "2026-11", 5, 80), ("a", "2026-12", 5, 80), ("a", "2026-11", 6, 80)]
    kinds.append(("a", "2026-11", 5, 95))
    assert [await markers.mark_once(*kind, NOW_MS) for kind in kinds] == [True] * 5
    assert [await markers.mark_once(*kind, NOW_MS + 1) for kind in kinds] == [False] * 5
    assert await markers.marked("2026-11") == {("a", 5, 80), ("b", 5, 80), ("a", 6, 80), ("a", 5, 95)}
