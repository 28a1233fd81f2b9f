"""What is going on with the bots' knowledge, for `loquent status`: what is built, kept and waits for upkeep."""

import asyncio

from actors.knowledge_upkeep import AGAIN_SECONDS
from cluster.embedded.process import SetupError
from cluster.installed_database import database_of
from configs.settings import Settings
from domain.errors import AppError
from storage.postgres.database import Database, system_tx
from storage.postgres.generation_work import GenerationWork
from storage.postgres.migrator import role_urls


def knowledge_of(settings: Settings) -> dict[str, int]:
    """`{"building", "ready", "retired", "to_remove", "bots_to_tidy"}`; empty where the database does not answer."""
    try:
        return asyncio.run(_totals(settings))
    except (AppError, SetupError):
        return {}


async def _totals(settings: Settings) -> dict[str, int]:
    db = await Database.open(*role_urls(*database_of(settings)), min_size=0, max_size=1)
    try:
        async with system_tx(db) as tx:
            return await GenerationWork(tx).totals(AGAIN_SECONDS)
    finally:
        await db.close()
