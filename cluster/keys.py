"""`loquent keys`: what an operator does with the master keys and the tenants' data keys."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar
from uuid import UUID

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from actors.resealing import reseal
from cluster.embedded.process import SetupError
from cluster.installed_database import database_of
from cluster.key_file import master_keys_of
from configs.settings import Settings
from domain.audit import Action, ActorKind, Origin, Target
from domain.errors import AppError
from domain.ids import TenantId
from storage.blobs import BlobStore
from storage.keys import Vault
from storage.postgres.audit import Audit
from storage.postgres.database import Database, system_tx
from storage.postgres.migrator import role_urls
from storage.postgres.tenant_keys import KeyVersion, TenantKeys

T = TypeVar("T")
OPERATOR = Origin(ActorKind.OPERATOR)


async def rotate(db: Database, tenants: list[TenantId]) -> dict[TenantId, int | AppError]:
    """Give each tenant a new version of its key; the version, or what stands against it."""
    made: dict[TenantId, int | AppError] = {}
    for tenant_id in tenants:
        try:
            async with system_tx(db) as tx:
                version = await TenantKeys(tx).rotate(tenant_id)
                target = Target("tenant_key", str(version))
                await Audit(tx).append(tenant_id, OPERATOR, Action.KEY_ROTATE, target, {"version": version})
            made[tenant_id] = version
        except AppError as error:
            made[tenant_id] = error
    return made


async def rewrap(db: Database) -> dict[TenantId, int | AppError]:
    """Wrap every tenant's keys with the newest master key; how many were wrapped anew, or what stands against it."""
    done: dict[TenantId, int | AppError] = {}
    async with system_tx(db) as tx:
        tenants = await TenantKeys(tx).to_rewrap()
    for tenant_id in tenants:
        try:
            async with system_tx(db) as tx:
                changed = await TenantKeys(tx).rewrap(tenant_id)
                master_key = db.vault.master.newest if db.vault else ""
                target, details = Target("master_key", master_key), {"versions": changed}
                await Audit(tx).append(tenant_id, OPERATOR, Action.KEY_REWRAP, target, details)
            done[tenant_id] = changed
        except AppError as error:
            done[tenant_id] = error
    return done


async def overview(db: Database, only: TenantId | None = None) -> list[KeyVersion]:
    async with system_tx(db) as tx:
        return await TenantKeys(tx).list_all(only)


def show_keys(settings: Settings, tenant: UUID | None, console: Console) -> bool:
    """Print every version of every tenant's key, or of one tenant's; whether there are any. Raises SetupError."""
    found = _run(settings, lambda db: overview(db, TenantId(tenant) if tenant else None))
    table = Table("tenant", "version", "master key", "made", "state", box=None)
    for key in found:
        active = [other.version for other in found if other.tenant_id == key.tenant_id and other.active]
        state = "shredded" if key.shredded_at else "older" if key.version < max(active, default=0) else "seals"
        table.add_row(
            str(key.tenant_id),
            str(key.version),
            key.master_key_id,
            f"{key.created_at:%Y-%m-%d %H:%M}",
            state if key.active else f"from {key.active_from:%H:%M:%S}",
        )
    console.print(table if found else "There are no keys yet.")
    return bool(found)


def rotate_keys(settings: Settings, tenant: UUID | None, console: Console) -> bool:
    """A new version for one tenant, or for all; whether all went well. Raises SetupError."""

    async def work(db: Database) -> dict[TenantId, int | AppError]:
        tenants = [TenantId(tenant)] if tenant else sorted({key.tenant_id for key in await overview(db)})
        return await rotate(db, tenants)

    return _tell(_run(settings, work), "version {} seals in a few minutes", console)


def rewrap_keys(settings: Settings, console: Console) -> bool:
    """Wrap everything with the newest master key; whether all went well. Raises SetupError."""
    done = _run(settings, rewrap)
    if not done:
        console.print("Every key is wrapped with the newest master key.")
    return _tell(done, "{} wrapped anew", console)


def reseal_now(settings: Settings, console: Console) -> bool:
    """What the platform does every hour; whether everything opened. Raises SetupError."""
    done = _run(settings, lambda db: reseal(db, BlobStore(settings.objects_url)))
    console.print(f"Sealed {done.rows} rows and {done.documents} documents; {done.keys} older keys are gone.")
    for tenant_id in done.failed:
        console.print(f"[bold red]✗[/bold red] tenant {tenant_id}: something does not open.", highlight=False)
    return not done.failed


def _tell(done: dict[TenantId, int | AppError], sentence: str, console: Console) -> bool:
    for tenant_id, result in done.items():
        well = isinstance(result, int)
        mark = "[green]✓[/green]" if well else "[bold red]✗[/bold red]"
        text = sentence.format(result) if isinstance(result, int) else result.message
        console.print(f"{mark} tenant {tenant_id}: {text}", highlight=False, soft_wrap=True)
    return all(isinstance(result, int) for result in done.values())


def _run(settings: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    async def run() -> T:
        async with _opened(settings) as db:
            return await work(db)

    return asyncio.run(run())


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Database]:
    url, secret = database_of(settings)
    chosen = settings.model_copy(update={"master_keys": SecretStr(master_keys_of(settings, make=False))})
    db = await Database.open(*role_urls(url, secret), vault=Vault.of(chosen), min_size=0, max_size=2)
    try:
        yield db
    except AppError as error:
        raise SetupError(error.message) from error
    finally:
        await db.close()
