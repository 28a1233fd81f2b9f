"""Second factors of people and their recovery codes, and which tenants ask for one."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.ids import TenantId, UserId
from storage.postgres.database import Transaction, execute, fetch_one
from storage.postgres.queries import load

_SQL = load("second_factors")


@dataclass(frozen=True, slots=True)
class TotpFactor:
    secret: bytes
    """Sealed."""
    confirmed: bool


class SecondFactors:
    """What names a person alone needs the system transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def begin(self, user_id: UserId, secret: bytes) -> bool:
        """A pending factor in place of any other pending one; False when there is a confirmed one."""
        return await execute(self._tx, _SQL["begin"], user_id=user_id, secret=secret) == 1

    async def find(self, user_id: UserId) -> TotpFactor | None:
        row = await fetch_one(self._tx, _SQL["find"], user_id=user_id)
        return TotpFactor(bytes(row["secret"]), row["confirmed"]) if row else None

    async def confirm(self, user_id: UserId, secret: bytes, step: int) -> bool:
        """False when the pending factor has another secret by now, or is confirmed already."""
        return await execute(self._tx, _SQL["confirm"], user_id=user_id, secret=secret, step=step) == 1

    async def use_step(self, user_id: UserId, step: int) -> bool:
        """False when this step, or a later one, was used already."""
        return await execute(self._tx, _SQL["use_step"], user_id=user_id, step=step) == 1

    async def delete(self, user_id: UserId) -> None:
        """With the recovery codes."""
        await execute(self._tx, _SQL["delete_recovery_codes"], user_id=user_id)
        await execute(self._tx, _SQL["delete"], user_id=user_id)

    async def replace_recovery_codes(self, user_id: UserId, hashes: Sequence[bytes]) -> None:
        await execute(self._tx, _SQL["delete_recovery_codes"], user_id=user_id)
        await execute(self._tx, _SQL["insert_recovery_codes"], user_id=user_id, hashes=list(hashes))

    async def use_recovery_code(self, user_id: UserId, code_hash: bytes) -> bool:
        """False for one that is not there (any more)."""
        return await execute(self._tx, _SQL["use_recovery_code"], user_id=user_id, code_hash=code_hash) == 1

    async def recovery_codes_left(self, user_id: UserId) -> int:
        row = await fetch_one(self._tx, _SQL["count_recovery_codes"], user_id=user_id)
        return int(row["left"]) if row else 0

    async def is_lacking(self, tenant_id: TenantId, user_id: UserId) -> bool:
        """Whether the tenant asks for a second factor that this member of it does not have."""
        row = await fetch_one(self._tx, _SQL["is_lacking"], tenant_id=tenant_id, user_id=user_id)
        return row is None or bool(row["lacking"])

    async def tenant_requires(self, tenant_id: TenantId) -> bool:
        row = await fetch_one(self._tx, _SQL["tenant_requires"], tenant_id=tenant_id)
        return row is not None and bool(row["require_mfa"])

    async def require_of_tenant(self, tenant_id: TenantId, required: bool) -> bool:
        """False when nothing changed."""
        return await execute(self._tx, _SQL["require_of_tenant"], tenant_id=tenant_id, required=required) == 1
