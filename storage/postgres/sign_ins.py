"""Sign-ins: what a log-in began, from where, and whether it still lives. Its refresh tokens are a family of its id."""

from dataclasses import dataclass
from datetime import datetime

from domain.errors import TenantSuspended
from domain.ids import SignInId, TenantId, UserId
from domain.tenancy import Device, Role, SignInMethod
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load

_SQL = load("sign_ins")


@dataclass(frozen=True, slots=True)
class SignIn:
    id: SignInId
    tenant_id: TenantId
    tenant_name: str
    method: str
    user_agent: str
    ip: str | None
    created_at: datetime
    last_used_at: datetime
    """When tokens were last given: at log-in, or with a refresh."""
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """What a member who is signed in may do now."""

    role: Role
    lacks_second_factor: bool
    """The tenant asks for one that they do not have."""


class SignIns:
    """All but `standing` needs the system transaction: a person may belong to several tenants."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def insert(
        self,
        tenant_id: TenantId,
        sign_in_id: SignInId,
        user_id: UserId,
        method: SignInMethod,
        device: Device,
        lifetime_seconds: float,
    ) -> None:
        """`lifetime_seconds` counts from now, however often it is used."""
        await execute(self._tx, _SQL["forget_old"], user_id=user_id)
        await execute(
            self._tx,
            _SQL["insert"],
            tenant_id=tenant_id,
            id=sign_in_id,
            user_id=user_id,
            method=method.value,
            user_agent=device.user_agent,
            ip=device.ip,
            lifetime=lifetime_seconds,
        )

    async def use(self, tenant_id: TenantId, sign_in_id: SignInId, ip: str | None) -> float | None:
        """Note that tokens are given again; the seconds that it still has, None when it has ended."""
        row = await fetch_one(self._tx, _SQL["use"], tenant_id=tenant_id, id=sign_in_id, ip=ip)
        return float(row["seconds_left"]) if row else None

    async def standing(self, tenant_id: TenantId, user_id: UserId, sign_in_id: SignInId) -> Standing | None:
        """None for who is no member any more, and when the sign-in has ended. Raises TenantSuspended."""
        row = await fetch_one(self._tx, _SQL["standing"], tenant_id=tenant_id, user_id=user_id, id=sign_in_id)
        if row is None:
            return None
        if row["suspended"]:
            raise TenantSuspended
        return Standing(Role(row["role"]), bool(row["lacks_second_factor"]))

    async def list_of(self, user_id: UserId) -> list[SignIn]:
        """The living ones in all of the person's tenants, the last used first, at most 200."""
        rows = await fetch_all(self._tx, _SQL["list"], user_id=user_id)
        return [SignIn(**row) for row in rows]

    async def end(self, user_id: UserId, sign_in_id: SignInId) -> TenantId | None:
        """End one of the person's; in which tenant it was, None when there is no such one that lives."""
        row = await fetch_one(self._tx, _SQL["end"], user_id=user_id, id=sign_in_id)
        return TenantId(row["tenant_id"]) if row else None

    async def end_all(
        self, user_id: UserId, tenant_id: TenantId | None = None, but: SignInId | None = None
    ) -> list[tuple[TenantId, SignInId]]:
        """End the person's in one tenant or in every one, `but` one; what was ended, ordered by tenant."""
        rows = await fetch_all(self._tx, _SQL["end_all"], user_id=user_id, tenant_id=tenant_id, but=but)
        return sorted((TenantId(row["tenant_id"]), SignInId(row["id"])) for row in rows)

    async def knows_address(self, email: str, ip: str | None) -> bool:
        """Whether somebody with this e-mail address has signed in from this network address before."""
        row = await fetch_one(self._tx, _SQL["knows_address"], email=email, ip=ip)
        return bool(row and row["known"])
