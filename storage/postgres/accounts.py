"""Tenants, their people and refresh tokens; all of it needs the system transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import DictRow

from domain.errors import AlreadyExists
from domain.ids import SignInId, TenantId, UserId, new_uuid
from domain.tenancy import Role, Tenant, User
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load

_SQL = load("accounts")


@dataclass(frozen=True, slots=True)
class Account:
    """A person in one tenant, with what log-in needs."""

    user: User
    tenant: Tenant
    role: Role
    password_hash: str


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A stored refresh token, locked until the transaction ends."""

    id: UUID
    family: SignInId
    user_id: UserId
    tenant_id: TenantId
    used: bool
    dead: bool
    """Revoked or expired, or its sign-in is."""


class Accounts:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def create(self, email: str, password_hash: str, company: str) -> Account:
        """A new tenant with its owner. Raises AlreadyExists when the e-mail address is taken."""
        user = await fetch_one(self._tx, _SQL["insert_user"], id=new_uuid(), email=email, password_hash=password_hash)
        if user is None:
            raise AlreadyExists("There is an account with this e-mail address already.")
        tenant = await fetch_one(self._tx, _SQL["insert_tenant"], id=new_uuid(), name=company)
        assert tenant is not None
        await execute(self._tx, _SQL["insert_membership"], tenant_id=tenant["id"], user_id=user["id"], role=Role.OWNER)
        return Account(User(**user), Tenant(**tenant), Role.OWNER, password_hash)

    async def found(self, user_id: UserId, company: str) -> Account | None:
        """Another tenant, owned by somebody who has an account; None when that is gone."""
        tenant = await fetch_one(self._tx, _SQL["insert_tenant"], id=new_uuid(), name=company)
        assert tenant is not None
        await execute(self._tx, _SQL["insert_membership"], tenant_id=tenant["id"], user_id=user_id, role=Role.OWNER)
        return await self.find(user_id, TenantId(tenant["id"]))

    async def find_by_email(self, email: str) -> Account | None:
        return _account(await fetch_one(self._tx, _SQL["account_by_email"], email=email))

    async def find(self, user_id: UserId, tenant_id: TenantId) -> Account | None:
        return _account(await fetch_one(self._tx, _SQL["account_by_ids"], user_id=user_id, tenant_id=tenant_id))

    async def on_plans(self, plans: Sequence[str], limit: int) -> list[TenantId]:
        """The tenants that have one of these plans, the oldest first."""
        rows = await fetch_all(self._tx, _SQL["tenants_on_plans"], plans=list(plans), limit=limit)
        return [TenantId(row["id"]) for row in rows]

    async def set_password_hash(self, user_id: UserId, password_hash: str) -> None:
        await execute(self._tx, _SQL["set_password_hash"], user_id=user_id, password_hash=password_hash)

    async def insert_refresh_token(
        self, family: SignInId, user_id: UserId, tenant_id: TenantId, token_hash: bytes, lifetime_seconds: float
    ) -> None:
        await execute(self._tx, _SQL["delete_expired_refresh_tokens"], user_id=user_id)
        await execute(
            self._tx,
            _SQL["insert_refresh_token"],
            id=new_uuid(),
            family=family,
            user_id=user_id,
            tenant_id=tenant_id,
            token_hash=token_hash,
            lifetime=lifetime_seconds,
        )

    async def lock_refresh_token(self, token_hash: bytes) -> RefreshToken | None:
        row = await fetch_one(self._tx, _SQL["lock_refresh_token"], token_hash=token_hash)
        return RefreshToken(**row) if row else None

    async def mark_refresh_token_used(self, token_id: UUID) -> None:
        await execute(self._tx, _SQL["mark_refresh_token_used"], id=token_id)

    async def revoke_family(self, tenant_id: TenantId, family: SignInId) -> bool:
        """End the sign-in that these tokens descend from, and with it every one of them; False when it had ended."""
        return await execute(self._tx, _SQL["revoke_family"], tenant_id=tenant_id, family=family) > 0


def _account(row: DictRow | None) -> Account | None:
    if row is None:
        return None
    return Account(
        user=User(UserId(row["user_id"]), row["email"], row["user_created_at"], row["email_verified_at"]),
        tenant=Tenant(
            TenantId(row["tenant_id"]), row["tenant_name"], row["plan"], row["tenant_created_at"], row["suspended_at"]
        ),
        role=Role(row["role"]),
        password_hash=row["password_hash"],
    )
