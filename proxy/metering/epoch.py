"""Whether the store still knows all that it has acknowledged: its epoch and its sequence, as replies tell them. Pure.

Every call that writes holds moves a sequence, and each rebuild begins a greater epoch. A caller says the last that it
has seen; a store that has less has been rolled back (it came back older, or empty) and closes itself: it admits no hold
until budgets are rebuilt. A store that has a greater epoch has been rebuilt, and the caller is behind: what it has
journaled may be in the ledger by now, so it looks there before it posts that again, and then adopts the epoch.

The state key: B closed, d epoch, d sequence, d last reaping, d quiet until (epoch ms). A store without it is closed.
"""

from enum import Enum

from proxy.metering.takes import ReplyFlag

Trailer = tuple[float, float, float]  # epoch, sequence, records in the outbox


class Budgets(Enum):
    """What holds may expect of the store."""

    UNKNOWN = "unknown"  # nothing has been heard yet
    OPEN = "open"
    CLOSED = "closed"  # they have to be rebuilt
    BEHIND = "behind"  # they were rebuilt: this gateway has to post again what it has journaled


class Standing:
    """What one worker knows; ``epoch`` and ``sequence`` are what it tells the store in every call."""

    __slots__ = ("backlog", "budgets", "epoch", "offered", "rolled_back", "sequence")

    def __init__(self, epoch: int = 0, sequence: int = 0) -> None:
        """What a journal remembers, if there is one."""
        self.epoch = epoch
        self.sequence = sequence
        self.offered = 0  # the epoch that a rebuild has begun and that is not adopted yet
        self.backlog = 0  # records in the outbox
        self.budgets = Budgets.UNKNOWN
        self.rolled_back = 0  # how often this worker was the first to see it

    def learn(self, flags: int, trailer: Trailer) -> None:
        """Takes in a reply. Replies may come in any order, and twice."""
        epoch, sequence, backlog = int(trailer[0]), int(trailer[1]), int(trailer[2])
        self.backlog = backlog
        if flags & ReplyFlag.ROLLED_BACK and self.budgets is not Budgets.CLOSED:
            self.rolled_back += 1
        if flags & ReplyFlag.CLOSED:
            self.budgets = Budgets.CLOSED
        elif flags & ReplyFlag.BEHIND:
            self.budgets, self.offered = Budgets.BEHIND, max(self.offered, epoch)
        elif self.epoch in (0, epoch):
            self.budgets = Budgets.OPEN
            self.sequence = max(self.sequence, sequence) if self.epoch else sequence
            self.epoch = epoch

    def adopt(self) -> None:
        """All that was journaled has been posted again: from here on this worker is no longer behind."""
        if self.offered > self.epoch:
            self.epoch, self.sequence, self.budgets = self.offered, 0, Budgets.OPEN
