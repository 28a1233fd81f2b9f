"""People apart from any tenant: their accounts, the tenants they belong to, and the links mailed to them."""

from dataclasses import dataclass
from enum import StrEnum

from psycopg.rows import DictRow

from domain.ids import UserId, new_uuid
from domain.tenancy import Role, Tenant, User
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one
from storage.postgres.queries import load

_SQL = load("people")


class LinkPurpose(StrEnum):
    PASSWORD_RESET = "password_reset"  # noqa: S105 - a name
    EMAIL_VERIFICATION = "email_verification"


@dataclass(frozen=True, slots=True)
class Person:
    user: User
    password_hash: str


@dataclass(frozen=True, slots=True)
class Belonging:
    """One of a person's tenants, and what they are there."""

    tenant: Tenant
    role: Role


class People:
    """Needs the system transaction: people belong to no tenant."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def find_by_email(self, email: str) -> Person | None:
        """Whatever the case of the address."""
        return _person(await fetch_one(self._tx, _SQL["by_email"], email=email))

    async def find(self, user_id: UserId) -> Person | None:
        return _person(await fetch_one(self._tx, _SQL["by_id"], user_id=user_id))

    async def insert(self, email: str, password_hash: str) -> Person | None:
        """Somebody whose address is proven; None when it is taken."""
        values = {"id": new_uuid(), "email": email, "password_hash": password_hash}
        return _person(await fetch_one(self._tx, _SQL["insert"], **values))

    async def mark_verified(self, user_id: UserId) -> bool:
        """False when the address was proven before."""
        return await execute(self._tx, _SQL["mark_verified"], user_id=user_id) > 0

    async def tenants(self, user_id: UserId) -> list[Belonging]:
        """The oldest membership first."""
        rows = await fetch_all(self._tx, _SQL["tenants"], user_id=user_id)
        return [Belonging(Tenant(**{k: v for k, v in row.items() if k != "role"}), Role(row["role"])) for row in rows]


class AccountLinks:
    """Links that work once. Several of a purpose may be open: asking again does not spoil a mail on its way."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def insert(self, user_id: UserId, purpose: LinkPurpose, token_hash: bytes, seconds: float) -> None:
        await execute(self._tx, _SQL["delete_expired_links"], user_id=user_id)
        await execute(
            self._tx, _SQL["insert_link"], token_hash=token_hash, user_id=user_id, purpose=purpose, seconds=seconds
        )

    async def find(self, purpose: LinkPurpose, token_hash: bytes) -> UserId | None:
        """Whose open link it is."""
        row = await fetch_one(self._tx, _SQL["link"], purpose=purpose, token_hash=token_hash)
        return UserId(row["user_id"]) if row else None

    async def take(self, purpose: LinkPurpose, token_hash: bytes) -> UserId | None:
        """Whose link it was; it is used from here on, unless the transaction fails."""
        row = await fetch_one(self._tx, _SQL["take_link"], purpose=purpose, token_hash=token_hash)
        return UserId(row["user_id"]) if row else None

    async def delete_all(self, user_id: UserId, purpose: LinkPurpose) -> None:
        await execute(self._tx, _SQL["delete_links"], user_id=user_id, purpose=purpose)


def _person(row: DictRow | None) -> Person | None:
    if row is None:
        return None
    user = User(UserId(row["id"]), row["email"], row["created_at"], row["email_verified_at"])
    return Person(user, row["password_hash"])
