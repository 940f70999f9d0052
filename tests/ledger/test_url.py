"""What ops write as a ledger's address, what becomes of it, and what is refused in words that help."""

import ssl

import pytest

from proxy.ledger.errors import LedgerUrlError
from proxy.ledger.url import Dialect, parse


def test_a_file() -> None:
    url = parse("sqlite:////var/lib/sluicegate/ledger.db")
    assert (url.dialect, url.schema) == (Dialect.SQLITE, None)
    assert str(url) == "sqlite+aiosqlite:////var/lib/sluicegate/ledger.db"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_a_server(scheme: str) -> None:
    url = parse(f"{scheme}://gate:p%40ss@db.example:6543/app?sslmode=require")
    assert (url.dialect, url.schema) == (Dialect.POSTGRESQL, "sluicegate")
    assert url.address.render_as_string(hide_password=False) == "postgresql+asyncpg://gate:p%40ss@db.example:6543/app"
    assert url.arguments["ssl"] == "require"


def test_nothing_is_prepared_under_a_name() -> None:
    """A transaction pooler gives the next transaction another session."""
    arguments = parse("postgresql://gate@db/app").arguments
    assert arguments["statement_cache_size"] == arguments["prepared_statement_cache_size"] == 0
    assert arguments["prepared_statement_name_func"]() == ""


def test_a_unix_socket_and_a_schema() -> None:
    url = parse("postgresql://gate@/app?host=/run/postgresql&schema=money")
    assert (url.arguments["host"], url.address.host, url.schema) == ("/run/postgresql", None, "money")


def test_a_certificate(tmp_path: object) -> None:
    with pytest.raises(LedgerUrlError, match="no readable certificate"):
        parse(f"postgresql://gate@db/app?sslmode=verify-full&sslrootcert={tmp_path}/none.pem")
    roots = ssl.get_default_verify_paths().cafile or ssl.get_default_verify_paths().openssl_cafile
    context = parse(f"postgresql://gate@db/app?sslmode=verify-ca&sslrootcert={roots}").arguments["ssl"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ledger.db", "not a ledger's URL: write sqlite:////"),
        ("mysql://db/app", "a ledger cannot be at mysql://"),
        ("sqlite://", "absolute path, with four slashes"),
        ("sqlite:///ledger.db", "absolute path, with four slashes"),
        ("sqlite:///:memory:", "absolute path, with four slashes"),
        ("sqlite:////a/b?mode=ro", "takes no parameters"),
        ("postgresql://db", "name the database"),
        ("postgresql:///app", "name the server"),
        ("postgresql://db/app?sslmod=require", "unknown parameter 'sslmod'"),
        ("postgresql://db/app?sslmode=maybe", "unknown sslmode"),
        ("postgresql://db/app?sslrootcert=/x", "sslrootcert needs sslmode"),
        ("postgresql://db/app?schema=a.b", "a schema's name"),
        ("postgresql://db/app?schema=pg_x", "a schema's name"),
    ],
)
def test_what_cannot_be_one_is_refused(text: str, said: str) -> None:
    with pytest.raises(LedgerUrlError, match=said):
        parse(text)


@pytest.mark.parametrize(
    "url", ["postgresql://u:hunter2@db/app", "postgresql://u:hunter2@db/app?x=1", "x://u:hunter2@:x"]
)
def test_no_password_is_shown(url: str) -> None:
    try:
        shown = f"{parse(url)} {parse(url)!r}"
    except LedgerUrlError as error:
        shown = str(error)
    assert "hunter2" not in shown
