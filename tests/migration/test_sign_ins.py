"""Refresh tokens from before sign-ins: whoever is signed in stays so, and nobody else."""

import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from storage.postgres import migrator
from storage.postgres.migrator import migrate
from tests.fixtures.database import DATABASE_SECRET

MIGRATIONS = migrator.MIGRATIONS
INSERT = """
insert into refresh_tokens (id, family, user_id, tenant_id, token_hash, expires_at, used_at, revoked_at)
values (gen_random_uuid(), %s, %s, %s, gen_random_uuid()::text::bytea, now() + interval '1 day', %s, %s)
"""


async def test_families_become_sign_ins(
    make_database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_database()
    for path in sorted(MIGRATIONS.glob("*.sql")):
        if path.name < "0005":
            shutil.copy(path, tmp_path)
    monkeypatch.setattr(migrator, "MIGRATIONS", tmp_path)
    await migrate(url, DATABASE_SECRET)
    monkeypatch.undo()
    tenant, person, stranger = uuid4(), uuid4(), uuid4()
    living, ended, foreign = uuid4(), uuid4(), uuid4()
    with psycopg.connect(url) as connection:
        connection.execute("insert into tenants (id, name) values (%s, 'Example')", [tenant])
        for user in (person, stranger):
            connection.execute(
                "insert into users (id, email, password_hash) values (%s, %s, 'x')", [user, f"{user}@example.com"]
            )
        connection.execute(
            "insert into memberships (tenant_id, user_id, role) values (%s, %s, 'owner')", [tenant, person]
        )
        for family, user, used, revoked in (
            (living, person, "2026-01-01", None),
            (living, person, None, None),
            (ended, person, None, "2026-01-01"),
            (foreign, stranger, None, None),
        ):
            connection.execute(INSERT, [family, user, tenant, used, revoked])
    await migrate(url, DATABASE_SECRET)
    with psycopg.connect(url) as connection:
        found: dict[UUID, bool] = dict(
            connection.execute("select id, ended_at is null and expires_at > now() from sign_ins").fetchall()
        )
        assert found == {living: True, ended: False}
        kept = connection.execute("select family from refresh_tokens").fetchall()
        assert sorted(kept) == sorted([(living,), (living,), (ended,)])
