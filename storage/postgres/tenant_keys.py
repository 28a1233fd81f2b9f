"""Tenants' data keys: made with the first need, read once in a while, wrapped anew, replaced and shredded."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.errors import ForeignKeyViolation
from psycopg.rows import DictRow

from domain.errors import Conflict, Erased, NotFound
from domain.ids import TenantId
from domain.sealing import StoredKey, WrappedKey
from storage.keys import TenantCipher, Vault
from storage.keys.vault import ACTIVE_AFTER_SECONDS
from storage.postgres.database import Database, Transaction, execute, fetch_all, tenant_tx
from storage.postgres.queries import load

_SQL = load("tenant_keys")


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """One version of a tenant's data key, without the key."""

    tenant_id: TenantId
    version: int
    master_key_id: str
    created_at: datetime
    active_from: datetime
    active: bool
    """Whether it may seal; the newest of these does."""
    shredded_at: datetime | None


async def cipher_of(tx: Transaction, tenant_id: TenantId) -> TenantCipher:
    """The tenant's cipher: this transaction's, the process's, or read here; the first need makes the tenant's key.

    Only the first transaction in some minutes asks the database. Raises Erased, Unreadable, Unavailable, and
    RuntimeError where the database was opened without a vault.
    """
    if tx.cipher is not None and tx.cipher.tenant_id == tenant_id:
        return tx.cipher
    vault = _vault_of(tx)
    cipher = vault.remembered(tenant_id)
    if cipher is None:
        keys = TenantKeys(tx)
        found = await keys.stored(tenant_id)
        made = not found
        if made:
            await keys.make_first(tenant_id)
            found = await keys.stored(tenant_id)
        cipher = await vault.unwrap(tenant_id, found)
        if not made:
            vault.remember(cipher)
    # A key made here is this transaction's alone until it commits: the next one reads it.
    tx.cipher = cipher
    return cipher


async def keys_of(db: Database, tenant_id: TenantId) -> TenantCipher:
    """The same for callers without a transaction of the tenant."""
    cipher = db.vault.remembered(tenant_id) if db.vault else None
    if cipher is None:
        async with tenant_tx(db, tenant_id) as tx:
            cipher = await cipher_of(tx, tenant_id)
    return cipher


class TenantKeys:
    """`stored` and `make_first` work in the tenant's transaction, the others need a system transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def stored(self, tenant_id: TenantId) -> list[StoredKey]:
        """Every version, the oldest first."""
        return [_stored(row) for row in await fetch_all(self._tx, _SQL["list"], tenant_id=tenant_id)]

    async def make_first(self, tenant_id: TenantId) -> None:
        """Make version 1 unless somebody else has. Raises Erased for a tenant that is gone."""
        made = await _vault_of(self._tx).new_key(tenant_id, 1)
        try:
            await execute(
                self._tx,
                _SQL["insert_first"],
                tenant_id=tenant_id,
                master_key_id=made.master_key_id,
                wrapped=made.wrapped,
            )
        except ForeignKeyViolation as error:
            raise Erased from error

    async def rotate(self, tenant_id: TenantId, seconds: float = ACTIVE_AFTER_SECONDS) -> int:
        """Make the next version, which seals after `seconds`; its number. What is sealed opens as before.

        Raises NotFound without a key, Erased, and Conflict while the last version still waits.
        """
        present = await self._locked(tenant_id)
        if not present:
            raise NotFound("This tenant has no key yet.")
        if present[-1].wrapped is None:
            raise Erased
        if present[-1].active_in > 0:
            raise Conflict("The tenant's newest key is not in use yet; try again in some minutes.")
        version = present[-1].version + 1
        made = await _vault_of(self._tx).new_key(tenant_id, version)
        await execute(
            self._tx,
            _SQL["insert_next"],
            tenant_id=tenant_id,
            version=version,
            master_key_id=made.master_key_id,
            wrapped=made.wrapped,
            seconds=seconds,
        )
        return version

    async def rewrap(self, tenant_id: TenantId) -> int:
        """Wrap every version with the newest master key; how many were not. Raises Unavailable, Unreadable."""
        master = _vault_of(self._tx).master
        changed = 0
        for key in await self._locked(tenant_id):
            if key.wrapped is None or key.wrapped.master_key_id == master.newest:
                continue
            made = await master.wrap(tenant_id, key.version, await master.unwrap(tenant_id, key.version, key.wrapped))
            changed += await execute(
                self._tx,
                _SQL["rewrap"],
                tenant_id=tenant_id,
                version=key.version,
                master_key_id=made.master_key_id,
                wrapped=made.wrapped,
            )
        return changed

    async def shred(self, tenant_id: TenantId) -> int:
        """Destroy every version, so that nothing of the tenant's opens again; how many there were.

        This process forgets the key at once, the others within `REMEMBER_SECONDS`.
        """
        changed = await execute(self._tx, _SQL["shred"], tenant_id=tenant_id)
        if self._tx.vault is not None:
            self._tx.vault.forget(tenant_id)
        self._tx.cipher = None
        return changed

    async def delete_before(self, tenant_id: TenantId, version: int) -> int:
        """Remove the versions before `version`; the caller has seen that nothing is sealed with them."""
        return await execute(self._tx, _SQL["delete_before"], tenant_id=tenant_id, version=version)

    async def list_all(self, only: TenantId | None = None) -> list[KeyVersion]:
        """By tenant and version."""
        return [KeyVersion(**row) for row in await fetch_all(self._tx, _SQL["overview"], only=only)]

    async def to_rewrap(self) -> list[TenantId]:
        """Tenants with a key that is wrapped by another master key than the newest."""
        newest = _vault_of(self._tx).master.newest
        rows = await fetch_all(self._tx, _SQL["wrapped_by_others"], master_key_id=newest)
        return [TenantId(row["tenant_id"]) for row in rows]

    async def _locked(self, tenant_id: TenantId) -> list[StoredKey]:
        return [_stored(row) for row in await fetch_all(self._tx, _SQL["lock"], tenant_id=tenant_id)]


def _stored(row: DictRow) -> StoredKey:
    wrapped = None if row["wrapped"] is None else WrappedKey(row["master_key_id"], bytes(row["wrapped"]))
    return StoredKey(row["version"], wrapped, row["active_in"])


def _vault_of(tx: Transaction) -> Vault:
    if tx.vault is None:
        raise RuntimeError("this database was opened without a vault, so nothing can be sealed or opened")
    return tx.vault
