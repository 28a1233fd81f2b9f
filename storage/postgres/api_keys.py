"""API keys of a tenant: made, listed, rotated, revoked, and found by their prefix."""

import hmac
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import DictRow

from domain.api_key import ApiKey
from domain.errors import Conflict, NotFound, TenantSuspended
from domain.ids import ApiKeyId, TenantId, UserId, new_uuid
from domain.tenancy import Principal, Role
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load

_SQL = load("api_keys")
MAX_KEYS = 100
"""Of one tenant that are not revoked."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is shown: nothing of its secret."""

    id: ApiKeyId
    created_by: UserId
    name: str
    scopes: list[str]
    prefix: str
    created_at: datetime
    rotated_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None
    previous_until: datetime | None
    """Until when the secret before the last rotation is still good."""


@dataclass(frozen=True, slots=True)
class FoundKey:
    principal: Principal
    """Acts for who made the key, as far as its scopes go."""
    expires_at: float | None
    """Unix seconds."""
    use_is_old: bool
    """Whether the last use that was noted is older than a minute."""


class ApiKeys:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def insert(
        self, tenant_id: TenantId, created_by: UserId, name: str, scopes: list[str], key: ApiKey, days: int | None
    ) -> StoredKey:
        """A new key that lives for `days`, or until it is revoked. Raises Conflict when there are too many."""
        await fetch_one(self._tx, _SQL["lock_tenant"], tenant_id=tenant_id)
        row = await fetch_one(self._tx, _SQL["count"], tenant_id=tenant_id)
        assert row is not None
        if row["n"] >= MAX_KEYS:
            raise Conflict(f"There are {MAX_KEYS} keys already; revoke one first.")
        found = await fetch_one(
            self._tx,
            _SQL["insert"],
            tenant_id=tenant_id,
            id=new_uuid(),
            created_by=created_by,
            name=name,
            scopes=scopes,
            prefix=key.prefix,
            secret_hash=key.secret_hash,
            days=days,
        )
        return _stored(found)

    async def list_all(self, tenant_id: TenantId) -> list[StoredKey]:
        """Newest first, expired ones too, without the revoked."""
        return [StoredKey(**row) for row in await fetch_all(self._tx, _SQL["list"], tenant_id=tenant_id)]

    async def lock(self, tenant_id: TenantId, key_id: ApiKeyId) -> StoredKey:
        """A key that is still good, nobody else's until the transaction ends. Raises NotFound."""
        return _stored(await fetch_one(self._tx, _SQL["lock"], tenant_id=tenant_id, id=key_id))

    async def rotate(self, tenant_id: TenantId, key_id: ApiKeyId, key: ApiKey, grace_hours: int) -> StoredKey:
        """Another secret; the present one is good for `grace_hours`, the one before it no longer. Raises NotFound."""
        row = await fetch_one(
            self._tx,
            _SQL["rotate"],
            tenant_id=tenant_id,
            id=key_id,
            prefix=key.prefix,
            secret_hash=key.secret_hash,
            grace_hours=grace_hours,
        )
        return _stored(row)

    async def revoke(self, tenant_id: TenantId, key_id: ApiKeyId) -> str:
        """The key's name. Raises NotFound, also for one that is revoked already."""
        row = await fetch_one(self._tx, _SQL["revoke"], tenant_id=tenant_id, id=key_id)
        if row is None:
            raise NotFound(_MISSING)
        return str(row["name"])

    async def find(self, key: ApiKey) -> FoundKey | None:
        """Whose key this is; needs the system transaction. None unless it is good now. Raises TenantSuspended."""
        for row in await fetch_all(self._tx, _SQL["candidates"], prefix=key.prefix):
            if hmac.compare_digest(bytes(row["secret_hash"]), key.secret_hash):
                if row["suspended"]:
                    raise TenantSuspended
                principal = Principal(
                    TenantId(row["tenant_id"]),
                    UserId(row["created_by"]),
                    Role(row["role"]),
                    api_key_id=ApiKeyId(row["id"]),
                    scopes=frozenset(row["scopes"]),
                )
                return FoundKey(principal, row["expires_at"], row["use_is_old"])
        return None

    async def note_use(self, tenant_id: TenantId, key_id: ApiKeyId) -> None:
        """Writes at most once a minute."""
        await execute(self._tx, _SQL["note_use"], tenant_id=tenant_id, id=key_id)


_MISSING = "There is no such key."


def _stored(row: DictRow | None) -> StoredKey:
    if row is None:
        raise NotFound(_MISSING)
    return StoredKey(**row)
