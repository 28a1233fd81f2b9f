"""Migrations against a real server: applied once, never edited, and a schema that keeps tenants apart."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from storage.postgres import migrator
from storage.postgres.migrator import APP_ROLE, SYSTEM_ROLE, MigrationChanged, migrate, role_urls
from tests.fixtures.database import DATABASE_SECRET

SECRET = DATABASE_SECRET
NO_TENANT = {"users", "webhook_inbox", "audit_anchors", "totp_factors", "recovery_codes", "external_identities"}
SHOWN = "totp_factors"
"""Belongs to no tenant, and yet the app sees whether a member of the present tenant has one."""
"""Tables that belong to no tenant; only the system role reaches them."""
HISTORY = "schema_migrations"
FILES = sorted(path.name for path in migrator.MIGRATIONS.glob("*.sql"))
PGRLS = Path(sys.executable).with_name("pgrls")
ACCEPTED_RULES = {
    "SEC013",  # triggers whose bodies it cannot read: the audit log's only refuse, and run as their caller
    "SEC007",  # no restrictive policy: there is one permissive policy per role, so nothing can widen it
    "SEC016",  # the owner of the embedded server is its superuser; only migrations log in as it
    "SEC027",  # rows with a user in them belong to the tenant
}

Owner = AsyncConnection[DictRow]


@pytest.fixture
async def url(make_database: Callable[[], str]) -> str:
    url = make_database()
    await migrate(url, SECRET)
    return url


@pytest.fixture
async def owner(url: str) -> AsyncIterator[Owner]:
    connection: Owner = await AsyncConnection.connect(url, autocommit=True, row_factory=dict_row)
    async with connection:
        yield connection


async def rows(connection: Owner, query: str) -> list[dict[str, Any]]:
    return await (await connection.execute(query.encode())).fetchall()


async def test_each_migration_is_applied_once(make_database: Callable[[], str]) -> None:
    url = make_database()
    assert await migrate(url, SECRET) == FILES
    assert await migrate(url, SECRET) == []


async def test_two_migrators_at_the_same_time_do_it_once(make_database: Callable[[], str]) -> None:
    url = make_database()
    first, second = await asyncio.gather(migrate(url, SECRET), migrate(url, SECRET))
    assert sorted(first + second) == FILES


async def test_an_edited_migration_is_refused(
    make_database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_database()
    monkeypatch.setattr(migrator, "MIGRATIONS", tmp_path)
    (tmp_path / "0001_notes.sql").write_text("create table notes (id integer);")
    assert await migrate(url, SECRET) == ["0001_notes.sql"]
    (tmp_path / "0001_notes.sql").write_text("create table notes (id bigint);")
    (tmp_path / "0002_more.sql").write_text("create table more (id integer);")
    with pytest.raises(MigrationChanged, match="0001_notes"):
        await migrate(url, SECRET)
    with psycopg.connect(url) as connection:
        assert connection.execute("select to_regclass('more')").fetchone() == (None,)


async def test_a_failed_migration_leaves_the_schema_before_it(
    make_database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_database()
    monkeypatch.setattr(migrator, "MIGRATIONS", tmp_path)
    (tmp_path / "0001_first.sql").write_text("create table first (id integer);")
    (tmp_path / "0002_broken.sql").write_text("create table second (id integer); select 1 / 0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        await migrate(url, SECRET)
    with psycopg.connect(url) as connection:
        assert connection.execute("select to_regclass('first')::text, to_regclass('second')").fetchone() == (
            "first",
            None,
        )
    (tmp_path / "0002_broken.sql").write_text("create table second (id integer);")
    assert await migrate(url, SECRET) == ["0002_broken.sql"]


async def test_the_roles_log_in_and_a_new_secret_changes_their_passwords(url: str) -> None:
    for address, role in zip(role_urls(url, SECRET), (APP_ROLE, SYSTEM_ROLE), strict=True):
        with psycopg.connect(address) as connection:
            assert connection.execute("select current_user::text").fetchone() == (role,)
    await migrate(url, "another secret")
    for address in role_urls(url, "another secret"):
        psycopg.connect(address).close()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(role_urls(url, SECRET)[0])
    await migrate(url, SECRET)  # the roles are the whole server's: other tests log in with them


async def test_the_roles_have_no_power_beyond_their_grants(owner: Owner) -> None:
    found = await rows(
        owner,
        "select rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication from pg_roles"
        " where rolname like 'loquent_%'",
    )
    assert {row.pop("rolname") for row in found} == {APP_ROLE, SYSTEM_ROLE}
    assert not any(any(row.values()) for row in found)
    owned = await rows(
        owner,
        "select c.relname from pg_class c join pg_roles r on r.oid = c.relowner where r.rolname like 'loquent_%'"
        " union select p.proname from pg_proc p join pg_roles r on r.oid = p.proowner where r.rolname like 'loquent_%'",
    )
    assert owned == []
    memberships = await rows(
        owner,
        "select g.rolname from pg_auth_members m join pg_roles g on g.oid = m.roleid"
        " join pg_roles r on r.oid = m.member where r.rolname like 'loquent_%'",
    )
    assert memberships == []


async def test_the_roles_cannot_change_the_schema(url: str) -> None:
    for address in role_urls(url, SECRET):
        with psycopg.connect(address, autocommit=True) as connection:
            for statement in (
                "create table mine (id integer)",
                "alter table chatbots disable row level security",
                "drop policy tenant on chatbots",
                "truncate chatbots",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())


async def test_every_table_forces_row_level_security(owner: Owner) -> None:
    tables = await rows(
        owner,
        "select relname, relrowsecurity and relforcerowsecurity as forced from pg_class"
        " where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace",
    )
    assert [row["relname"] for row in tables if not row["forced"] and row["relname"] != HISTORY] == []
    assert len(tables) > 15


async def test_every_tenant_table_is_bound_to_its_tenant_for_the_app(owner: Owner) -> None:
    tables = {
        row["relname"]
        for row in await rows(
            owner,
            "select relname from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace",
        )
    }
    policies = await rows(owner, "select tablename, qual, with_check from pg_policies where 'loquent_app' = any(roles)")
    assert {row["tablename"] for row in policies} == tables - NO_TENANT - {HISTORY} | {SHOWN}
    for row in policies:
        if row["tablename"] == SHOWN:
            continue
        assert "app_tenant()" in row["qual"]
        assert row["qual"] == row["with_check"]
    columns = await rows(
        owner,
        "select table_name, is_nullable from information_schema.columns"
        " where table_schema = 'public' and column_name = 'tenant_id'",
    )
    assert {row["table_name"] for row in columns} == tables - NO_TENANT - {HISTORY, "tenants"}
    assert {row["is_nullable"] for row in columns} == {"NO"}


async def test_keys_between_tenant_tables_carry_the_tenant(owner: Owner) -> None:
    """A foreign key without it could point into another tenant's rows: such checks bypass row-level security."""
    loose = await rows(
        owner,
        "select c.conrelid::regclass::text as source, c.confrelid::regclass::text as target, c.conname"
        " from pg_constraint c where c.contype = 'f' and not exists ("
        "  select 1 from unnest(c.conkey, c.confkey) as k (own, other)"
        "  join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.own"
        "  where a.attname = 'tenant_id')",
    )
    assert [row for row in loose if row["target"] != "users"] == []


def test_the_linter_for_row_level_security_agrees(url: str) -> None:
    """`pgrls` over the live schema: no error and no warning about a policy that binds the app."""
    done = subprocess.run(
        [PGRLS, "lint", "--database-url", url, "--schemas", "public", "--format", "json"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    found = {(item["rule_id"], item["location"]) for item in json.loads(done.stdout)["violations"]}
    serious = {
        (rule, location)
        for rule, location in found
        if rule.startswith("SEC") and rule not in ACCEPTED_RULES and not location.endswith(".system")
    }
    assert serious <= {("SEC001", f"public.{HISTORY}")}
    # It looked: the policies of the system role, which must see across tenants, are what it warns about.
    assert ("SEC008", "public.chatbots.system") in found
