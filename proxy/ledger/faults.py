"""Which errors of a database pass and which never will: the second kind makes a poison row, the first only a wait.

A wrong answer in one direction sends good rows to the dead letters while a table is missing or a pooler misbehaves; in
the other it holds up the outbox, which is seen and mended, and loses nothing. So the row is at fault only where the
class of the SQLSTATE speaks of values, constraints or sizes (PostgreSQL, appendix A), or a driver, which has none, of a
value.
"""

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from proxy.ledger.errors import Fault, LedgerAway, LedgerRefused

# Cardinality, data, constraints, views' checks, limits (a key of more than a third of a page), a trigger's own.
ROWS_FAULT: Final = frozenset({"21", "22", "23", "44", "54", "P0"})
# The longest prefix of an SQLSTATE decides; what is not here is UNEXPECTED.
PASSING: Final = {
    "08": Fault.UNREACHABLE,
    "25": Fault.NOT_PERMITTED,  # 25006: a replica, or read-only for want of room
    "28": Fault.NOT_PERMITTED,
    "3D": Fault.UNREACHABLE,  # no such database
    "3F": Fault.NOT_MIGRATED,  # no such schema
    "40": Fault.CONFLICT,
    "42": Fault.NOT_MIGRATED,
    "42501": Fault.NOT_PERMITTED,
    "53": Fault.BUSY,
    "55": Fault.BUSY,
    "57": Fault.BUSY,
    "57014": Fault.TIMEOUT,
    "58": Fault.BUSY,
}
_ABOUT_A_VALUE: Final = (ArithmeticError, TypeError, ValueError, sqlite3.DataError, sqlite3.IntegrityError)


def judge(error: BaseException) -> LedgerAway | LedgerRefused | None:
    """What an exception of SQLAlchemy or a driver means; None for one that is none of theirs, a bug of ours."""
    cause = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    driver = cause.__cause__ or cause  # SQLAlchemy wraps asyncpg's in its own DBAPI classes
    code = getattr(driver, "sqlstate", None) or getattr(cause, "sqlstate", None)
    if isinstance(code, str):
        if code[:2] in ROWS_FAULT:
            return LedgerRefused(f"{type(driver).__name__} {code}")
        return LedgerAway(PASSING.get(code) or PASSING.get(code[:2], Fault.UNEXPECTED), code)
    if isinstance(driver, (TimeoutError, PoolTimeout)):
        return LedgerAway(Fault.TIMEOUT)
    if isinstance(driver, OSError):
        return LedgerAway(Fault.UNREACHABLE, type(driver).__name__)
    if isinstance(error, (StatementError, sqlite3.Error)) and isinstance(driver, _ABOUT_A_VALUE):
        return LedgerRefused(type(driver).__name__)
    if isinstance(driver, OverflowError):  # sqlite3 lets it through unwrapped
        return LedgerRefused(type(driver).__name__)
    if isinstance(driver, sqlite3.Error):
        missing = str(driver).startswith(("no such table", "no such column"))
        return LedgerAway(Fault.NOT_MIGRATED if missing else Fault.BUSY, getattr(driver, "sqlite_errorname", ""))
    if isinstance(error, (DBAPIError, SQLAlchemyError)):
        return LedgerAway(Fault.UNREACHABLE, type(driver).__name__)
    return None
