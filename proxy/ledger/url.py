"""A ledger's address as ops write it, and what the drivers need of it. Pure but for a certificate that is read.

``sqlite:////var/lib/sluicegate/ledger.db`` or ``postgresql://user:password@host:5432/database``. Parameters of the
second: ``sslmode`` and ``sslrootcert`` as libpq has them, ``host`` (a folder with a unix socket), ``schema`` (where our
tables are, ``sluicegate`` unless said), and ``application_name``. Statements are never prepared by name and
nothing is kept in a session, so that a transaction pooler (Supabase's port 6543, PgBouncer) may stand between.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from proxy.ledger.errors import LedgerUrlError

SCHEMA: Final = "sluicegate"  # never public: Supabase serves that one to the world, and it may have its own ai_usage
_FORMS: Final = "write sqlite:////absolute/path or postgresql://user:password@host:5432/database"
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_PARAMETERS: Final = ("application_name", "host", "schema", "sslmode", "sslrootcert")


class Dialect(StrEnum):
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


@dataclass(frozen=True, slots=True)
class LedgerUrl:
    """``schema`` is None on SQLite, which has none. ``str()`` shows no password."""

    dialect: Dialect
    address: URL = field(repr=False)
    schema: str | None
    arguments: Mapping[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return self.address.render_as_string(hide_password=True)


def parse(text: str) -> LedgerUrl:
    """Raises: LedgerUrlError."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise LedgerUrlError(f"not a ledger's URL: {_FORMS}") from None
    match url.drivername.partition("+")[0]:
        case "sqlite":
            return _sqlite(url)
        case "postgresql" | "postgres":
            return _postgresql(url)
    raise LedgerUrlError(f"a ledger cannot be at {url.drivername}://: {_FORMS}")


def _sqlite(url: URL) -> LedgerUrl:
    if url.query:
        raise LedgerUrlError("a SQLite ledger's URL takes no parameters")
    if not url.database or not url.database.startswith("/"):
        raise LedgerUrlError("a SQLite ledger is a file by its absolute path, with four slashes: sqlite:////path")
    return LedgerUrl(Dialect.SQLITE, URL.create("sqlite+aiosqlite", database=url.database), None, {})


def _postgresql(url: URL) -> LedgerUrl:
    query = {name: value if isinstance(value, str) else value[-1] for name, value in url.query.items()}
    unknown = sorted(set(query) - set(_PARAMETERS))
    if unknown:
        raise LedgerUrlError(f"unknown parameter {unknown[0]!r}: known are {', '.join(_PARAMETERS)}")
    if not url.database:
        raise LedgerUrlError("name the database: postgresql://user:password@host:5432/database")
    if not url.host and "host" not in query:
        raise LedgerUrlError("name the server: postgresql://user:password@host:5432/database")
    schema = query.get("schema", SCHEMA)
    if not schema.isidentifier() or not schema.isascii() or len(schema) > 63 or schema.startswith("pg_"):
        raise LedgerUrlError("a schema's name is made of ASCII letters, digits and underscores, at most 63")
    arguments: dict[str, Any] = {
        # asyncpg's cache, SQLAlchemy's, and the name that would outlive a transaction: each may bring statements back.
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": str,
        "server_settings": {"application_name": query.get("application_name", "sluicegate")},
    }
    if (encryption := _ssl(query.get("sslmode"), query.get("sslrootcert"))) is not None:
        arguments["ssl"] = encryption
    host = query.get("host", url.host)
    if host is not None and host.startswith("/"):  # a folder is no host of a URL
        arguments["host"], host = host, None
    address = URL.create("postgresql+asyncpg", url.username, url.password, host, url.port, url.database)
    return LedgerUrl(Dialect.POSTGRESQL, address, schema, arguments)


def _ssl(mode: str | None, root: str | None) -> ssl.SSLContext | str | None:
    if mode is not None and mode not in _SSL_MODES:
        raise LedgerUrlError(f"unknown sslmode: one of {', '.join(_SSL_MODES)}")
    if root is None:
        return mode
    if mode not in ("verify-ca", "verify-full"):
        raise LedgerUrlError("sslrootcert needs sslmode=verify-ca or verify-full")
    try:
        context = ssl.create_default_context(cafile=str(Path(root)))
    except (OSError, ssl.SSLError):
        raise LedgerUrlError(f"sslrootcert: {root} is no readable certificate") from None
    context.check_hostname = mode == "verify-full"
    return context
