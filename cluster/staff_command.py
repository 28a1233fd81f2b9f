"""`loquent staff grant | revoke | list`: the only way to become staff, or to be it no more."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rich.console import Console
from rich.markup import escape

from cluster.embedded.process import SetupError
from cluster.installed_database import database_of
from configs.settings import Settings
from domain.errors import AppError
from domain.staff import StaffRole
from storage.postgres.database import Database, system_tx
from storage.postgres.migrator import role_urls
from storage.postgres.staff import Staff, StaffEntry

T = TypeVar("T")


def grant_staff(settings: Settings, email: str, role: StaffRole, console: Console) -> None:
    """Raises SetupError when nobody has this address."""

    async def work(staff: Staff) -> None:
        if not await staff.grant(email, role):
            raise SetupError("Nobody has an account with this address; register it first.")

    asyncio.run(_with_staff(settings, work))
    console.print(f"{escape(email)} is {role.value}.", highlight=False)


def revoke_staff(settings: Settings, email: str, console: Console) -> None:
    """Raises SetupError for who is no staff."""

    async def work(staff: Staff) -> None:
        if not await staff.revoke(email):
            raise SetupError("This address is no staff's.")

    asyncio.run(_with_staff(settings, work))
    console.print(f"{escape(email)} is staff no more.", highlight=False)


def list_staff(settings: Settings, console: Console) -> None:
    async def work(staff: Staff) -> list[StaffEntry]:
        return await staff.list_all()

    found = asyncio.run(_with_staff(settings, work))
    for entry in found:
        console.print(f"{escape(entry.email)} {entry.role.value} since {entry.granted_at:%Y-%m-%d}", highlight=False)
    console.print(f"{len(found)} people are staff.", highlight=False)


async def _with_staff(settings: Settings, work: Callable[[Staff], Awaitable[T]]) -> T:
    """Raises SetupError without the database."""
    db = await Database.open(*role_urls(*database_of(settings)), min_size=0, max_size=2)
    try:
        async with system_tx(db) as tx:
            return await work(Staff(tx))
    except AppError as error:
        raise SetupError(error.message) from error
    finally:
        await db.close()
