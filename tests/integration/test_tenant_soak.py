"""Many tenants on few connections, with callers that leave at any moment: no transaction ever has another's tenant."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import psycopg
import pytest
from psycopg.errors import DivisionByZero

from domain.errors import TurnRunning
from domain.ids import TenantId, new_uuid
from storage.postgres.database import Database, Transaction, execute, fetch_all, fetch_one, queue, tenant_tx
from storage.postgres.migrator import migrate, role_urls

SECRET = "soak-secret-of-a-test-that-is-long-enough"
TENANTS, WORKERS, CONNECTIONS = 12, 24, 6
STATEMENTS = 100_000
SECONDS = 300.0
"""The test fails when it takes longer."""
WHO = "select current_setting('app.tenant') as tenant, %(mark)s::text as mark"
SLEEP = "select pg_sleep(%(seconds)s)"


class Soak:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._tenants = [TenantId(new_uuid()) for _ in range(TENANTS)]
        self.statements = 0
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def work(self, seed: int) -> None:
        """Transactions one after another, half of whose callers leave, some more than once."""
        chance = random.Random(seed)
        while self.statements < STATEMENTS:
            task = asyncio.create_task(self._transaction(chance))
            if chance.random() < 0.5:
                await asyncio.sleep(chance.random() / 100)
                for _ in range(chance.randrange(1, 4)):
                    task.cancel()
                    await asyncio.sleep(chance.random() / 1000)
            [end] = await asyncio.gather(task, return_exceptions=True)
            self.ends[type(end).__name__] += 1

    async def _transaction(self, chance: random.Random) -> None:
        """As the platform's: statements that wait and that do not, pipelines within, errors, and leaving."""
        tenant = chance.choice(self._tenants)
        async with tenant_tx(self._db, tenant) as tx:
            for _ in range(chance.randrange(1, 4)):
                if chance.random() < 0.3:
                    await queue(tx, SLEEP, seconds=chance.random() / 500)
                mark = str(chance.random())
                self._expect(tenant, mark, await fetch_one(tx, WHO, mark=mark))
                rows = await fetch_all(tx, "select id from tenants")
                if rows:
                    self.wrong.append(f"{tenant} sees {rows}")
                if chance.random() < 0.3:
                    await execute(tx, SLEEP, seconds=chance.random() / 500)
                if chance.random() < 0.1:
                    await self._fail(tx)
                async with tx.pipeline():
                    cursor = await tx.execute(WHO, {"mark": mark})
                    await tx.execute("select 1")
                self._expect(tenant, mark, await cursor.fetchone())
                self.statements += 4

    async def _fail(self, tx: Transaction) -> None:
        try:
            async with tx.pipeline():
                await tx.execute("select 1/0")
        except DivisionByZero as error:
            raise TurnRunning from error

    def _expect(self, tenant: TenantId, mark: str, row: dict[str, str] | None) -> None:
        if row != {"tenant": str(tenant), "mark": mark}:
            self.wrong.append(f"{tenant} got {row}")


@pytest.mark.filterwarnings(
    # psycopg's own generators, when a caller leaves twice; it closes the connection then.
    "ignore::pytest.PytestUnraisableExceptionWarning"
)
async def test_no_transaction_has_another_tenant(
    make_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a busy event loop: whatever is awaited may be where the caller leaves.
    monkeypatch.setattr(psycopg.waiting, "MAX_BUSY_TIME", 0.0)
    url = make_database()
    await migrate(url, SECRET)
    db = await Database.open(*role_urls(url, SECRET), max_size=CONNECTIONS)
    soak = Soak(db)
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*(soak.work(seed) for seed in range(WORKERS)))
    await db.close()
    assert not soak.wrong
    assert set(soak.ends) <= {"NoneType", "CancelledError", "TurnRunning"}
    assert min(soak.ends.values()) > 100
