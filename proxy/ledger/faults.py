"""Which errors of a database pass and which never will: the second kind makes a poison row, the first only a wait.

A wrong answer in one direction blocks the outbox for ever, in the other it sends rows to the dead letters while a table
is missing. So an SQLSTATE that speaks of the server, the connection, rights or the schema means: wait; every other one
speaks of the row (PostgreSQL, appendix A). Drivers' own errors about a value, which have no SQLSTATE, speak of the row.
"""

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from proxy.ledger.errors import Fault, LedgerAway, LedgerRefused

# The longest prefix of an SQLSTATE decides.
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
    "XX": Fault.BUSY,
}
_ABOUT_A_VALUE: Final = (ArithmeticError, TypeError, ValueError, sqlite3.DataError, sqlite3.IntegrityError)


def judge(error: BaseException) -> LedgerAway | LedgerRefused | None:
    """What an exception of SQLAlchemy or a driver means; None for one that is none of theirs, a bug of ours."""
    cause = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    driver = cause.__cause__ or cause  # SQLAlchemy wraps asyncpg's in its own DBAPI classes
    code = getattr(driver, "sqlstate", None) or getattr(cause, "sqlstate", None)
    if isinstance(code, str):
        fault = PASSING.get(code) or PASSING.get(code[:2])
        return LedgerRefused(f"{type(driver).__name__} {code}") if fault is None else LedgerAway(fault, code)
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
