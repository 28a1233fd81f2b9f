"""Refresh tokens from before sign-ins: each family becomes one, also where the owner of the tables is no superuser."""

import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from storage.postgres import migrator
from storage.postgres.migrator import migrate
from tests.fixtures.database import DATABASE_SECRET

MIGRATIONS = migrator.MIGRATIONS
BEFORE = ("0001_schema.sql", "0002_conversations.sql", "0003_roles.sql", "0004_audit.sql")


@pytest.fixture
async def url(make_database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database before sign-ins, of an owner to whom row-level security applies."""
    parts = urlsplit(make_database())
    name, owner = parts.path.removeprefix("/"), f"owner_{uuid4().hex[:8]}"
    with psycopg.connect(urlunsplit(parts), autocommit=True) as connection:
        connection.execute(SQL("create role {} login createrole password 'x'").format(Identifier(owner)))
        connection.execute(SQL("grant loquent_app, loquent_system to {} with admin option").format(Identifier(owner)))
        connection.execute(SQL("alter database {} owner to {}").format(Identifier(name), Identifier(owner)))
        connection.execute(SQL("grant all on schema public to {}").format(Identifier(owner)))
    host = parts.netloc.rpartition("@")[2]
    url = urlunsplit(parts._replace(netloc=f"{owner}:x@{host}"))
    for file in BEFORE:
        shutil.copy(MIGRATIONS / file, tmp_path)
    monkeypatch.setattr(migrator, "MIGRATIONS", tmp_path)
    await migrate(url, DATABASE_SECRET)
    monkeypatch.undo()
    return url


async def test_families_become_sign_ins_and_those_of_former_members_go(url: str) -> None:
    tenant, member, former, family = uuid4(), uuid4(), uuid4(), uuid4()
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("tenants", "users", "memberships", "refresh_tokens"):
            connection.execute(SQL("alter table {} no force row level security").format(Identifier(table)))
        connection.execute("insert into tenants (id, name) values (%s, 'A')", (tenant,))
        for user in (member, former):
            connection.execute(
                "insert into users (id, email, password_hash) values (%s, %s, 'x')", (user, f"{user}@a.com")
            )
        connection.execute(
            "insert into memberships (tenant_id, user_id, role) values (%s, %s, 'owner')", (tenant, member)
        )
        for user, of in ((member, family), (member, family), (former, uuid4())):
            connection.execute(
                "insert into refresh_tokens (id, family, user_id, tenant_id, token_hash, expires_at)"
                " values (%s, %s, %s, %s, %s, now() + interval '1 day')",
                (uuid4(), of, user, tenant, uuid4().bytes),
            )
        for table in ("tenants", "users", "memberships", "refresh_tokens"):
            connection.execute(SQL("alter table {} force row level security").format(Identifier(table)))
        await migrate(url, DATABASE_SECRET)
        loose = connection.execute(
            "select relname from pg_class where relkind = 'r' and relrowsecurity and not relforcerowsecurity"
        ).fetchall()
        for table in ("sign_ins", "refresh_tokens"):
            connection.execute(SQL("alter table {} no force row level security").format(Identifier(table)))
        sign_ins = connection.execute("select id, user_id, ended_at from sign_ins").fetchall()
        tokens = connection.execute("select distinct family, user_id from refresh_tokens").fetchall()
    assert loose == []
    assert sign_ins == [(family, member, None)]
    assert tokens == [(family, member)]
