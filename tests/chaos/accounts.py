"""Whether a ledger is the invoice: rows beside what a provider has billed. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from proxy.ledger.reconcile import Difference
from tests.chaos.promises import Finding

SHOWN: Final = 3


class Row(NamedTuple):
    """One of ``ai_usage``."""

    id: str
    provider_request_id: str | None
    cost_nanousd: int
    estimated: bool
    orphaned: bool
    state: str

    @property
    def exact(self) -> bool:
        return not self.estimated and not self.orphaned and self.state in ("settled", "corrected")


def judged(
    billed: Mapping[str, int], calls: int, rows: Sequence[Row], differences: Sequence[Difference]
) -> list[Finding]:
    """``billed``: by the provider's request id, nano-dollars; ``calls``: all that reached it, failed ones too."""
    exact = [row for row in rows if row.exact and row.provider_request_id is not None]
    wrong = [row for row in exact if billed.get(row.provider_request_id or "") != row.cost_nanousd]
    named = [row.provider_request_id for row in rows if row.provider_request_id is not None]
    seen = {row.provider_request_id for row in exact}
    rest = sum(nanousd for name, nanousd in billed.items() if name not in seen)
    covering = sum(row.cost_nanousd for row in rows if not row.exact)
    off = ", ".join(f"{one.charge.budget} {one.settled_off:+d} held {one.held_off:+d}" for one in differences[:SHOWN])
    orphans = sum(row.orphaned for row in rows)
    return [
        Finding(
            "each row that is neither estimated nor orphaned is what was billed, to the nano-dollar",
            f"{len(exact)} rows, {len(wrong)} wrong",
            bool(exact) and not wrong,
        ),
        Finding("no call is in the ledger twice", f"{len(named) - len(set(named))} are", len(named) == len(set(named))),
        Finding(
            "every call that reached the provider has a row",
            f"{calls} calls, {len(rows)} rows, of them {orphans} orphaned",
            len(rows) >= calls,
        ),
        Finding(
            "elsewhere the ledger is at least what was billed",
            f"{covering / 1e9:.6f} $ for {rest / 1e9:.6f} $ billed",
            covering >= rest,
        ),
        Finding("counters, holds, outbox and ledger agree", off or "to the nano-dollar", not differences),
    ]
