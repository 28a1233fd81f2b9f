"""Applies `migrations/*.sql` in order, once each, as the owner, and makes the two log-in roles."""

import hashlib
from pathlib import Path

from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier, Literal

from configs.settings import with_login
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load

MIGRATIONS = Path(__file__).parent / "migrations"
APP_ROLE = "loquent_app"
SYSTEM_ROLE = "loquent_system"
_SQL = load("migrations")


class MigrationChanged(Exception):
    """A migration that was applied differs from the file of the same name."""


def role_password(secret: str, role: str) -> str:
    """The role's password, derived from the platform's secret so that it needs no place of its own."""
    return hashlib.sha256(f"postgres-role:{role}:{secret}".encode()).hexdigest()


def role_urls(owner_url: str, secret: str) -> tuple[str, str]:
    """URLs of the app role and of the system role on the owner's database."""
    return (
        with_login(owner_url, APP_ROLE, role_password(secret, APP_ROLE)),
        with_login(owner_url, SYSTEM_ROLE, role_password(secret, SYSTEM_ROLE)),
    )


async def migrate(owner_url: str, secret: str) -> list[str]:
    """Bring the schema up to date; returns the names applied now, in order. Safe to run at the same time twice.

    Each file is one transaction, so that a failure leaves the schema at the file before. Raises MigrationChanged
    when an applied file was edited since.
    """
    applied_now = []
    connection = await Transaction.connect(owner_url, autocommit=True, row_factory=dict_row, connect_timeout=10)
    async with connection as tx:
        await tx.execute(_SQL["lock"])
        for role in (APP_ROLE, SYSTEM_ROLE):
            await _ensure_role(tx, role, role_password(secret, role))
        await tx.execute(_SQL["create_history"])
        history = {row["name"]: row["checksum"] for row in await fetch_all(tx, _SQL["history"])}
        for path in sorted(MIGRATIONS.glob("*.sql")):
            script = path.read_text("utf-8")
            checksum = hashlib.sha256(script.encode()).hexdigest()
            if path.name in history:
                if history[path.name] != checksum:
                    raise MigrationChanged(f"{path.name} was applied in another form; add a new migration instead.")
                continue
            async with tx.transaction():
                await tx.execute(script)
                await execute(tx, _SQL["record"], name=path.name, checksum=checksum)
            applied_now.append(path.name)
    return applied_now


async def _ensure_role(tx: Transaction, role: str, password: str) -> None:
    known = await fetch_one(tx, _SQL["role_exists"], role=role)
    template = _SQL["change_password" if known else "create_role"]
    await tx.execute(SQL(template).format(role=Identifier(role), password=Literal(password)))
