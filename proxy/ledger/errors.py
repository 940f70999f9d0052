"""What a database can answer instead of a result. Drivers' exceptions end in ``faults.py`` and become these."""

from enum import StrEnum


class Fault(StrEnum):
    """Why the database did not do it: the word in the log line and the metric's label."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    BUSY = "busy"  # locked, out of connections or of room, shutting down: it says itself that it may pass
    CONFLICT = "conflict"  # lost against another transaction
    NOT_PERMITTED = "not-permitted"  # credentials, rights, a read-only server
    NOT_MIGRATED = "not-migrated"  # a table or column is missing
    UNEXPECTED = "unexpected"  # said of no row: somebody should look at the SQLSTATE


class LedgerAway(Exception):
    """Nothing was written, or it is not known; asking again later may help. ``detail`` never holds a value or a URL."""

    def __init__(self, fault: Fault, detail: str = "") -> None:
        super().__init__(f"{fault.value}: {detail}" if detail else fault.value)
        self.fault = fault


class LedgerRefused(Exception):
    """The database will never take what it was given. ``reason`` names the kind of error, never a value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LedgerUrlError(ValueError):
    """The URL cannot be a ledger; the message says what would be right and never repeats the URL's password."""
