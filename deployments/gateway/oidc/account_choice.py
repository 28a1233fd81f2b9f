"""Whose account it is when somebody comes from an identity provider: theirs, one to link, or a new one."""

import secrets

import structlog
from pydantic import EmailStr, TypeAdapter, ValidationError

from configs.identity import IdentityProvider
from deployments.gateway.access_end import announce, end_access
from deployments.gateway.oidc.id_token import Identity
from deployments.gateway.oidc.refusals import AccountNotLinked, EmailNotAllowed, EmailNotVerified, IdentityTaken
from deployments.gateway.origin import of_user
from deployments.gateway.services import GatewayServices
from domain.audit import Action, Details, Origin, Target
from domain.errors import NotAuthenticated
from domain.ids import TenantId, UserId
from storage.postgres.accounts import Account, Accounts
from storage.postgres.audit import Audit
from storage.postgres.database import Transaction
from storage.postgres.identities import Identities
from storage.postgres.people import People

log = structlog.get_logger()
_EMAIL: TypeAdapter[str] = TypeAdapter(EmailStr)
_MAX_EMAIL = 254


async def account_for(
    services: GatewayServices, tx: Transaction, provider: IdentityProvider, identity: Identity, origin: Origin
) -> Account:
    """Needs the system's transaction, and is the last in it. Raises AppError for whom it does not let in."""
    found = await Identities(tx).find(identity.issuer, identity.subject)
    if found is not None:
        account = await Accounts(tx).find(*found)
        if account is not None:
            return account
    if await Identities(tx).owner(identity.issuer, identity.subject) is not None:
        raise NotAuthenticated("This account does not belong to a company any more.")
    email = _verified_email(identity)
    trusted = email.rpartition("@")[2].lower() in provider.domains
    if provider.domains and not trusted:
        raise EmailNotAllowed
    account = await Accounts(tx).find_by_email(email)
    if account is None:
        return await _register(services, tx, provider, identity, email, origin)
    if not trusted:
        # Whoever may name any address at the provider must not get at the account of its owner here.
        raise AccountNotLinked
    # The address was never checked here: whoever registered it first may be somebody else, and keeps no way in.
    await Accounts(tx).set_password_hash(account.user.id, await _nobodys_password(services))
    # Before the commit: a gateway that looks too early looks again by itself.
    await announce(services, await end_access(tx, account.user.id))
    await link(tx, account.tenant.id, account.user.id, provider, identity, origin, {"password_replaced": True})
    return account


async def link(
    tx: Transaction,
    tenant_id: TenantId,
    user_id: UserId,
    provider: IdentityProvider,
    identity: Identity,
    origin: Origin,
    details: Details | None = None,
) -> None:
    """Needs the system's transaction, and is the last in it. Raises IdentityTaken."""
    if not await Identities(tx).link(identity.issuer, identity.subject, user_id):
        if await Identities(tx).owner(identity.issuer, identity.subject) != user_id:
            raise IdentityTaken
        return
    target = Target("user", str(user_id))
    details = {"provider": provider.name, **(details or {})}
    await Audit(tx).append(tenant_id, of_user(origin, user_id), Action.IDENTITY_LINK, target, details)


async def _register(
    services: GatewayServices,
    tx: Transaction,
    provider: IdentityProvider,
    identity: Identity,
    email: str,
    origin: Origin,
) -> Account:
    """A new tenant with its owner, as registering makes one. Raises AlreadyExists for somebody of no tenant."""
    company = email.rpartition("@")[2][:200]
    account = await Accounts(tx).create(email, await _nobodys_password(services), company)
    if not await Identities(tx).link(identity.issuer, identity.subject, account.user.id):
        raise IdentityTaken
    await People(tx).mark_verified(account.user.id)
    by, target = of_user(origin, account.user.id), Target("tenant", str(account.tenant.id))
    await Audit(tx).append(account.tenant.id, by, Action.TENANT_REGISTER, target, {"provider": provider.name})
    log.info("account.registered", tenant_id=str(account.tenant.id))
    return account


def _verified_email(identity: Identity) -> str:
    """Raises EmailNotVerified."""
    try:
        if not identity.email_verified or identity.email is None or len(identity.email) > _MAX_EMAIL:
            raise EmailNotVerified
        return _EMAIL.validate_python(identity.email)
    except ValidationError as error:
        raise EmailNotVerified from error


async def _nobodys_password(services: GatewayServices) -> str:
    """A hash like any other, of what nobody knows: the time of a log-in does not tell who has no password."""
    return await services.passwords.hash(secrets.token_urlsafe(32))
