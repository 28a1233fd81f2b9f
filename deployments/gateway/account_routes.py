"""Registration, log-in, refresh tokens that rotate, and who one is."""

from typing import Annotated
from uuid import UUID, uuid4

import structlog
from fastapi import APIRouter, Depends, Request, Response

from configs.settings import DEMO_EMAIL
from deployments.gateway.client_address import client_of
from deployments.gateway.models import GrantModel, LoginBody, MeModel, RefreshBody, RegisterBody, account_parts
from deployments.gateway.principal import CurrentPrincipal
from deployments.gateway.rate_limits import Kind
from deployments.gateway.services import GatewayServices, Services
from deployments.gateway.tokens import hash_refresh_token, new_refresh_token
from domain.errors import NotAuthenticated, NotFound
from domain.tenancy import Principal
from storage.postgres.accounts import Account, Accounts
from storage.postgres.database import Transaction, system_tx

log = structlog.get_logger()
router = APIRouter(tags=["accounts"])

_WRONG = "The e-mail address or the password is wrong."
_STALE = "The session has ended; sign in again."


def address_of(request: Request) -> str:
    return client_of(request.scope).address


Client = Annotated[str, Depends(address_of)]


@router.post("/auth/register", status_code=201)
async def register(body: RegisterBody, services: Services, client: Client) -> GrantModel:
    """A new tenant with its owner, signed in."""
    await _count_attempt(services, client, body.email)
    password_hash = await services.passwords.hash(body.password)
    async with system_tx(services.db) as tx:
        account = await Accounts(tx).create(body.email, password_hash, body.company)
        grant = await _grant(services, tx, account, uuid4())
    log.info("account.registered", tenant_id=str(account.tenant.id))
    return grant


@router.post("/auth/login")
async def log_in(body: LoginBody, services: Services, client: Client) -> GrantModel:
    await _count_attempt(services, client, body.email)
    async with system_tx(services.db) as tx:
        account = await Accounts(tx).find_by_email(body.email)
    # Without an account the check takes as long: the answer's time does not tell who has one.
    if not await services.passwords.verify(account.password_hash if account else None, body.password) or not account:
        log.info("login.refused")
        raise NotAuthenticated(_WRONG)
    renewed = await _renewed_hash(services, account, body.password)
    async with system_tx(services.db) as tx:
        if renewed is not None:
            await Accounts(tx).set_password_hash(account.user.id, renewed)
        return await _grant(services, tx, account, uuid4())


@router.post("/auth/demo")
async def log_in_to_demo(services: Services) -> GrantModel:
    """Sign in to the demo tenant; only where it is seeded, never on Kubernetes."""
    if services.settings.profile == "kubernetes":
        raise NotFound
    async with system_tx(services.db) as tx:
        account = await Accounts(tx).find_by_email(DEMO_EMAIL)
        if account is None:
            raise NotFound("There is no demo here.")
        return await _grant(services, tx, account, uuid4())


@router.post("/auth/refresh")
async def refresh(body: RefreshBody, services: Services) -> GrantModel:
    """A new pair of tokens; the refresh token works once. Using it again ends every session descended from it."""
    async with system_tx(services.db) as tx:
        accounts = Accounts(tx)
        token = await accounts.lock_refresh_token(hash_refresh_token(body.refresh_token))
        grant = None
        if token is not None and not token.dead and not token.used:
            account = await accounts.find(token.user_id, token.tenant_id)
            if account is not None:
                await accounts.mark_refresh_token_used(token.id)
                grant = await _grant(services, tx, account, token.family)
        elif token is not None and token.used and await accounts.revoke_family(token.family):
            # Either the person or a thief holds an old copy: nobody can tell, so both must sign in again.
            log.warning("refresh_token.reused", tenant_id=str(token.tenant_id))
    if grant is None:
        raise NotAuthenticated(_STALE)
    return grant


@router.post("/auth/logout", status_code=204)
async def log_out(body: RefreshBody, services: Services) -> Response:
    """End the session of this refresh token; an unknown one is fine."""
    async with system_tx(services.db) as tx:
        accounts = Accounts(tx)
        token = await accounts.lock_refresh_token(hash_refresh_token(body.refresh_token))
        if token is not None:
            await accounts.revoke_family(token.family)
    return Response(status_code=204)


@router.get("/me")
async def me(services: Services, principal: CurrentPrincipal) -> MeModel:
    async with system_tx(services.db) as tx:
        account = await Accounts(tx).find(principal.user_id, principal.tenant_id)
    if account is None:
        raise NotAuthenticated("This account no longer exists.")
    return MeModel.of(account)


async def _count_attempt(services: GatewayServices, client: str, email: str) -> None:
    """Slows down guessing from one address, without shutting out the owner at another. Raises RateLimited."""
    subject = {"address+account": f"{client}|{email.lower()}"}
    await services.limits.require(Kind.ACCOUNT, subject, "Too many attempts to sign in; try again in a minute.")


async def _renewed_hash(services: GatewayServices, account: Account, password: str) -> str | None:
    """The hash with today's parameters, when the stored one has others."""
    if services.passwords.is_outdated(account.password_hash):
        return await services.passwords.hash(password)
    return None


async def _grant(services: GatewayServices, tx: Transaction, account: Account, family: UUID) -> GrantModel:
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
