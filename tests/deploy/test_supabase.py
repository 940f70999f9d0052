"""deploy/supabase: what it says of an app's tables, and does to them, in a real PostgreSQL."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.identity.claims import read
from proxy.policy.compiler import compile_text
from tests.ledger.postgres import BINARIES, Postgres, account, postgres

pytestmark = pytest.mark.full  # some seconds: a PostgreSQL of its own

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "supabase"
TABLES = 25  # keyed by company, as the first user's
NAMES = [f"thing_{number:02}" for number in range(TABLES)]
USER, OTHER, NOBODY = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
ACME, ZORG = (f"00000000-0000-4000-9000-00000000000{n}" for n in (1, 2))


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as started:
        yield started


class Database:
    """One of the server's, asked as an operator would: by psql."""

    def __init__(self, server: Postgres, name: str) -> None:
        self._command = [BINARIES / "psql", "-X", "-q", "-h", server.folder, "-U", "postgres"]
        self.psql("postgres", f"CREATE DATABASE {name}")
        self._name = name

    def psql(self, database: str, *statements: str, file: Path | None = None, **variables: str) -> str:
        more = [word for name, value in variables.items() for word in ("-v", f"{name}={value}")]
        # psql runs as PostgreSQL's own account, which may not read the checkout.
        text = file.read_text() if file is not None else ";\n".join(statements) + ";"
        command = [*map(str, self._command), "-d", database, "-v", "ON_ERROR_STOP=1", *more, "-f", "-"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, **account())
        assert done.returncode == 0, done.stderr
        out: str = done.stdout
        return out

    def run(self, *statements: str) -> str:
        return self.psql(
            self._name, "\\pset format unaligned\n\\pset tuples_only on\n" + statements[0], *statements[1:]
        )

    def file(self, name: str, **variables: str) -> list[str]:
        return self.psql(self._name, file=FOLDER / name, **variables).splitlines()


@pytest.fixture
def app(server: Postgres, request: pytest.FixtureRequest) -> Database:
    """25 tables keyed by company, with nothing but their primary keys."""
    database = Database(server, request.node.name.lower()[:40])
    database.run(
        "CREATE TABLE companies (id uuid PRIMARY KEY, subscription_tier text)",
        *(
            f"CREATE TABLE {name} (id bigint PRIMARY KEY, company_id uuid NOT NULL REFERENCES companies, "
            "parent bigint REFERENCES thing_00, created_at timestamptz NOT NULL DEFAULT now())"
            for name in NAMES
        ),
    )
    return database


def test_every_table_gets_what_it_lacks_and_no_more(app: Database) -> None:
    """Each company's rows and each foreign key; what an index serves already is left alone, a partial one does not."""
    app.run(
        "CREATE INDEX ON thing_01 (company_id, id)",
        "CREATE INDEX ON thing_02 (company_id) WHERE parent IS NULL",
        "CREATE INDEX ON thing_03 USING hash (company_id)",
        "CREATE INDEX ON thing_04 (parent)",
        "CREATE TABLE settings (name text PRIMARY KEY)",
        "ALTER TABLE thing_05 DROP COLUMN created_at",
    )
    told = app.file("indexes.sql")
    assert len(told) == TABLES - 1 + TABLES - 1
    assert all(line.startswith("CREATE INDEX CONCURRENTLY IF NOT EXISTS ") and ";  -- rows" in line for line in told)
    of = {name: [line for line in told if f" public.{name} (" in line] for name in ("thing_01", "thing_04", "thing_05")}
    assert ["(parent)" in line for line in of["thing_01"]] == [True]
    assert ["(company_id, created_at DESC)" in line for line in of["thing_04"]] == [True]
    assert {line.split(" (")[1].split(")")[0] for line in of["thing_05"]} == {"company_id", "parent"}

    app.file("indexes.sql", apply="1")
    assert app.file("indexes.sql") == []
    assert app.run("SELECT count(*) FROM pg_indexes WHERE indexname LIKE '%\\_gwidx'").split() == [str(len(told))]


def test_a_company_s_page_is_then_read_by_index(app: Database) -> None:
    page = f"EXPLAIN SELECT * FROM thing_07 WHERE company_id = '{ACME}' ORDER BY created_at DESC LIMIT 20"
    fill = (
        "INSERT INTO companies SELECT gen_random_uuid() FROM generate_series(1, 200)",
        "INSERT INTO thing_07 (id, company_id) SELECT row_number() OVER (), id FROM companies, generate_series(1, 100)",
        "ANALYZE thing_07",
    )
    app.run(*fill)
    assert "Seq Scan" in app.run(page)
    app.file("indexes.sql", apply="1")
    plan = app.run(page)
    assert "Index Scan" in plan
    assert "Sort" not in plan


def test_what_an_interrupted_run_left_is_made_anew(app: Database) -> None:
    app.file("indexes.sql", apply="1")
    before = app.run("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'thing_03\\_company%\\_gwidx'")
    app.run(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{before.strip()}'::regclass")
    drop, create = app.file("indexes.sql")
    assert drop.startswith(f"DROP INDEX CONCURRENTLY {before.strip()};")
    assert f" {before.strip()} ON public.thing_03 (company_id, created_at DESC)" in create
    app.file("indexes.sql", apply="1")
    assert app.file("indexes.sql") == []


def test_names_are_put_in_as_they_are(app: Database) -> None:
    """Other columns and schemas, with capitals, quotes and a length that no index name has."""
    long = "a" * 60
    app.run(
        'CREATE SCHEMA "App\'s"',
        f'CREATE TABLE "App\'s"."{long}1" (id bigint PRIMARY KEY, "Org Id" uuid)',
        f'CREATE TABLE "App\'s"."{long}2" (id bigint PRIMARY KEY, "Org Id" uuid)',
    )
    named = {"schema": "App's", "tenant": "Org Id"}
    assert len(app.file("indexes.sql", **named)) == 2
    app.file("indexes.sql", apply="1", **named)
    assert app.file("indexes.sql", **named) == []


def test_row_level_security_is_looked_through(app: Database) -> None:
    """Each finding once, with its table; a table that is in order is not named."""
    own = "company_id = ((SELECT auth.jwt()) -> 'app_metadata' ->> 'company_id')::uuid"
    app.run(
        "CREATE SCHEMA auth",
        "CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS 'SELECT NULL::uuid'",
        "CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$ SELECT '{}'::jsonb $$",
        "DO $$ BEGIN CREATE ROLE authenticated; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        *(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY" for name in NAMES if name != "thing_00"),
        *(f"CREATE POLICY own ON {name} TO authenticated USING ({own})" for name in NAMES[4:]),
        "CREATE POLICY each_row ON thing_02 TO authenticated USING (id = 1 OR company_id = auth.uid()) "
        "WITH CHECK ((SELECT auth.uid()) = company_id)",
        "CREATE POLICY theirs ON thing_03 "
        "USING (company_id::text = (SELECT auth.jwt()) -> 'user_metadata' ->> 'company_id')",
    )
    assert app.file("row_security.sql") == [
        "thing_00: row level security is off: whoever has the public key reads every company_id",
        "thing_01: row level security is on, and no policy lets anybody in",
        "thing_03: the policy theirs trusts user_metadata, which users edit themselves",
        "thing_02: the policy each_row calls auth.uid() for each row: write (select auth.uid())",
        "thing_03: the policy theirs is for everybody: name its roles (TO authenticated)",
    ]


def test_the_token_says_what_the_example_policy_reads(server: Postgres) -> None:
    """The preferred company first; none for whoever belongs to none, whatever the token said before."""
    app = Database(server, "hook")
    app.run(
        "DO $$ BEGIN CREATE ROLE supabase_auth_admin; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        "CREATE TABLE companies (id uuid PRIMARY KEY, subscription_tier text)",
        "CREATE TABLE company_members (user_id uuid, company_id uuid REFERENCES companies, is_default boolean, "
        "created_at timestamptz DEFAULT now())",
        f"INSERT INTO companies VALUES ('{ACME}', 'enterprise'), ('{ZORG}', 'trial')",
        f"INSERT INTO company_members VALUES ('{USER}', '{ZORG}', false), ('{USER}', '{ACME}', true), "
        f"('{OTHER}', '{ZORG}', false)",
    )
    lines = (FOLDER / "access_token_hook.sql").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if "CREATE SCHEMA" in line)
    view = [line.removeprefix("--") for line in lines[start : start + 4]]
    app.psql("hook", "\n".join(view).strip().rstrip(";"))  # as the file's head says
    for _ in range(2):  # as after a change
        app.file("access_token_hook.sql")

    policy = compile_text((ROOT / "config.example.yaml").read_text(), "p.yaml", {}, allow_missing_secrets=True).policy
    identity = policy.identity
    assert identity is not None

    def claims(user: str) -> dict[str, object]:
        event = {
            "user_id": user,
            "authentication_method": "password",
            "claims": {"sub": user, "app_metadata": {"provider": "email", "company_id": "forged"}},
        }
        told = app.run(
            "SET ROLE supabase_auth_admin", f"SELECT sluicegate.access_token_hook('{json.dumps(event)}'::jsonb)"
        )
        out = json.loads(told)
        assert {key: out[key] for key in ("user_id", "authentication_method")} == {
            key: event[key] for key in ("user_id", "authentication_method")
        }
        assert out["claims"]["app_metadata"]["provider"] == "email"
        metadata: dict[str, object] = out["claims"]["app_metadata"]
        return metadata

    told = claims(USER)
    assert told == {
        "provider": "email",
        "company_id": ACME,
        "company_ids": [ACME, ZORG],
        "subscription_tier": {ACME: "enterprise", ZORG: "trial"},
    }
    issuer = identity.issuers[0]

    def facts(told: dict[str, object], chosen: str | None = None) -> tuple[str | None, str]:
        found = read({"sub": USER, "app_metadata": told}, issuer, identity, policy.tiers, chosen)
        return found.tenant, found.tier

    assert facts(told) == (ACME, "enterprise")
    assert facts(told, ZORG) == (ZORG, "trial")
    assert facts(claims(OTHER)) == (ZORG, "trial")
    assert claims(NOBODY) == {"provider": "email"}
    assert facts(claims(NOBODY)) == (None, "trial")
