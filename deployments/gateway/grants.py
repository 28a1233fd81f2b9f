"""What signing in gives: a pair of tokens for one person in one tenant."""

from uuid import uuid4

from deployments.gateway.models import GrantModel, account_parts
from deployments.gateway.services import GatewayServices
from deployments.gateway.tokens import new_refresh_token
from domain.errors import TenantSuspended
from domain.ids import SignInId
from domain.tenancy import Device, Principal, SignInMethod
from storage.postgres.accounts import Account, Accounts
from storage.postgres.database import Transaction
from storage.postgres.sign_ins import SignIns


async def begin_sign_in(
    services: GatewayServices, tx: Transaction, account: Account, device: Device, method: SignInMethod
) -> GrantModel:
    """The first tokens of a new sign-in; needs the system's transaction. The caller has checked who it is.

    Raises TenantSuspended.
    """
    sign_in_id = SignInId(uuid4())
    seconds = services.settings.sign_in_days * 86_400.0
    await SignIns(tx).insert(account.tenant.id, sign_in_id, account.user.id, method, device, seconds)
    return await grant_of(services, tx, account, sign_in_id, seconds)


async def grant_of(
    services: GatewayServices, tx: Transaction, account: Account, sign_in_id: SignInId, seconds_left: float
) -> GrantModel:
    """The next tokens of a sign-in that lives for `seconds_left`; needs the system's transaction.

    Raises TenantSuspended.
    """
    if account.tenant.suspended_at is not None:
        raise TenantSuspended
    refresh_token, token_hash = new_refresh_token()
    lifetime = min(services.settings.refresh_token_days * 86_400, seconds_left)
    await Accounts(tx).insert_refresh_token(sign_in_id, account.user.id, account.tenant.id, token_hash, lifetime)
    access_token = services.tokens.sign(Principal(account.tenant.id, account.user.id, account.role, sign_in_id))
    return GrantModel(
        access_token=access_token,
        refresh_token=refresh_token,
        expires_in=services.tokens.lifetime_seconds,
        **account_parts(account),
    )
