"""What signing in gives: a pair of tokens for one person in one tenant."""

from uuid import UUID

from deployments.gateway.models import GrantModel, account_parts
from deployments.gateway.services import GatewayServices
from deployments.gateway.tokens import new_refresh_token
from domain.errors import TenantSuspended
from domain.tenancy import Principal
from storage.postgres.accounts import Account, Accounts
from storage.postgres.database import Transaction


async def grant_of(services: GatewayServices, tx: Transaction, account: Account, family: UUID) -> GrantModel:
    """Of a family of refresh tokens; needs the system's transaction. The caller has checked who it is.

    Raises TenantSuspended.
    """
    if account.tenant.suspended_at is not None:
        raise TenantSuspended
    refresh_token, token_hash = new_refresh_token()
    lifetime = services.settings.refresh_token_days * 86_400
    await Accounts(tx).insert_refresh_token(family, account.user.id, account.tenant.id, token_hash, lifetime)
    access_token = services.tokens.sign(Principal(account.tenant.id, account.user.id, account.role))
    return GrantModel(
        access_token=access_token,
        refresh_token=refresh_token,
        expires_in=services.tokens.lifetime_seconds,
        **account_parts(account),
    )
