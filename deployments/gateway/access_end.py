"""Ends what somebody has open: the one place for who was removed, lowered, signed out, or has a new password."""

from deployments.gateway.services import GatewayServices
from domain.ids import SignInId, TenantId, UserId
from storage.postgres.database import Transaction
from storage.postgres.sign_ins import SignIns
from storage.redis.access import announce_end

Ended = list[tuple[TenantId, SignInId]]


async def end_access(
    tx: Transaction, user_id: UserId, tenant_id: TenantId | None = None, but: SignInId | None = None
) -> Ended:
    """Their sign-ins in one tenant, or in all, work no more, `but` one; needs the system's transaction.

    Ordered by tenant. `announce` what comes back after the commit.
    """
    return await SignIns(tx).end_all(user_id, tenant_id, but)


async def announce(services: GatewayServices, ended: Ended) -> None:
    """Let every gateway close their sockets."""
    for tenant_id, sign_in_id in ended:
        await announce_end(services.redis, tenant_id, session_id=sign_in_id)
