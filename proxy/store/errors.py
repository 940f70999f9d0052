"""What a store can answer instead of a reply. redis-py's exceptions end in ``client.py`` and become these."""

from enum import StrEnum


class Away(StrEnum):
    """Why the store did not answer: the word in the log line and the metric's label."""

    TIMEOUT = "timeout"  # it may still run what was sent: only deadlines and sequences make that harmless
    UNREACHABLE = "unreachable"
    RESET = "reset"  # the connection was lost while a reply was awaited
    REFUSED = "refused"  # it answers, but will not do this: loading, read only, out of memory, not permitted
    BREAKER = "breaker"  # not even asked


class StoreAway(Exception):
    """The store cannot answer. ``detail`` never holds an address's credentials or an argument."""

    def __init__(self, reason: Away, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
