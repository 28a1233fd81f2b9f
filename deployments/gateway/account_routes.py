"""Registration, log-in, refresh tokens that rotate, and who one is."""

import structlog
from fastapi import APIRouter, Request, Response

from configs.settings import DEMO_EMAIL
from deployments.gateway.attempts import count_attempt
from deployments.gateway.device import CurrentDevice
from deployments.gateway.grants import begin_sign_in, grant_of
from deployments.gateway.mfa_models import MfaChallengeModel
from deployments.gateway.models import GrantModel, LoginBody, MeModel, RefreshBody, RegisterBody
from deployments.gateway.origin import AnonymousOrigin, Client, of_user
from deployments.gateway.password_rules import require_good_password
from deployments.gateway.principal import PUBLIC, CurrentPrincipal
from deployments.gateway.rate_limits import Kind
from deployments.gateway.second_factor import after_first_factor, signed_in
from deployments.gateway.services import GatewayServices, Services
from deployments.gateway.tokens import hash_refresh_token
from deployments.gateway.unattended import unattended
from domain.audit import Action, Origin, Target
from domain.errors import AppError, NotAuthenticated, NotFound
from domain.mail import MailKind
from domain.tenancy import SignInMethod
from storage.postgres.accounts import Account, Accounts
from storage.postgres.audit import Audit
from storage.postgres.database import system_tx
from storage.postgres.mail_queue import MailQueue
from storage.postgres.sign_ins import SignIns
from storage.redis.access import announce_end

log = structlog.get_logger()
router = APIRouter(tags=["accounts"])

_WRONG = "The e-mail address or the password is wrong."
_STALE = "The session has ended; sign in again."


@router.post("/auth/register", status_code=201, openapi_extra=PUBLIC)
async def register(
    body: RegisterBody, services: Services, client: Client, origin: AnonymousOrigin, device: CurrentDevice
) -> GrantModel:
    """A new tenant with its owner, signed in."""
    await count_attempt(services, client, body.email)
    require_good_password(body.password, body.email, body.company)
    password_hash = await services.passwords.hash(body.password)
    async with system_tx(services.db) as tx:
        account = await Accounts(tx).create(body.email, password_hash, body.company)
        await MailQueue(tx).insert(MailKind.EMAIL_VERIFICATION, account.user.email, account.user.id)
        grant = await begin_sign_in(services, tx, account, device, SignInMethod.REGISTRATION)
        by, target = of_user(origin, account.user.id), Target("tenant", str(account.tenant.id))
        await Audit(tx).append(account.tenant.id, by, Action.TENANT_REGISTER, target)
    log.info("account.registered", tenant_id=str(account.tenant.id))
    return grant


@router.post("/auth/login", openapi_extra=PUBLIC)
async def log_in(
    body: LoginBody,
    services: Services,
    client: Client,
    origin: AnonymousOrigin,
    device: CurrentDevice,
    request: Request,
    response: Response,
) -> GrantModel | MfaChallengeModel:
    """The tokens, or a challenge where the person has a second factor: `POST /auth/mfa/verify` answers it."""
    await count_attempt(services, client, body.email)
    async with system_tx(services.db) as tx:
        account = await Accounts(tx).find_by_email(body.email)
        known_address = await SignIns(tx).knows_address(body.email, origin.ip)
    known_device = services.devices.device_in(request, account.user.id) if account else None
    await _count_guess(services, body.email, known_device, known_address)
    # Without an account the check takes as long: the answer's time does not tell who has one.
    if not await services.passwords.verify(account.password_hash if account else None, body.password) or not account:
        log.info("login.refused")
        if account is not None:
            # Nobody waits for it, for the reason above.
            unattended(_record_refusal(services, account, origin))
        raise NotAuthenticated(_WRONG)
    renewed = await _renewed_hash(services, account, body.password)
    async with system_tx(services.db) as tx:
        if renewed is not None:
            await Accounts(tx).set_password_hash(account.user.id, renewed)
        grant = await after_first_factor(services, tx, account, origin, device, SignInMethod.PASSWORD)
    services.devices.remember(request, response, account.user.id)
    return grant


@router.post("/auth/demo", openapi_extra=PUBLIC)
async def log_in_to_demo(services: Services, origin: AnonymousOrigin, device: CurrentDevice) -> GrantModel:
    """Sign in to the demo tenant; only where it is seeded, never on Kubernetes."""
    if services.settings.profile == "kubernetes":
        raise NotFound
    async with system_tx(services.db) as tx:
        account = await Accounts(tx).find_by_email(DEMO_EMAIL)
        if account is None:
            raise NotFound("There is no demo here.")
        return await signed_in(services, tx, account, origin, device, SignInMethod.DEMO, {"demo": True})


@router.post("/auth/refresh", openapi_extra=PUBLIC)
async def refresh(body: RefreshBody, services: Services, origin: AnonymousOrigin) -> GrantModel:
    """A new pair of tokens; the refresh token works once. Using it again ends every session descended from it."""
    async with system_tx(services.db) as tx:
        accounts = Accounts(tx)
        token = await accounts.lock_refresh_token(hash_refresh_token(body.refresh_token))
        grant, stolen = None, False
        if token is not None and not token.dead and not token.used:
            account = await accounts.find(token.user_id, token.tenant_id)
            seconds_left = await SignIns(tx).use(token.tenant_id, token.family, origin.ip)
            if account is not None and seconds_left is not None:
                await accounts.mark_refresh_token_used(token.id)
                grant = await grant_of(services, tx, account, token.family, seconds_left)
        elif token is not None and token.used and await accounts.revoke_family(token.tenant_id, token.family):
            stolen = True
            # Either the person or a thief holds an old copy: nobody can tell, so both must sign in again.
            log.warning("refresh_token.reused", tenant_id=str(token.tenant_id))
            target = Target("user", str(token.user_id))
            await Audit(tx).append(token.tenant_id, origin, Action.REFRESH_TOKEN_REUSE, target)
    if token is not None and stolen:
        await announce_end(services.redis, token.tenant_id, session_id=token.family)
    if grant is None:
        raise NotAuthenticated(_STALE)
    return grant


@router.post("/auth/logout", status_code=204, openapi_extra=PUBLIC)
async def log_out(body: RefreshBody, services: Services, origin: AnonymousOrigin) -> Response:
    """End the session of this refresh token; an unknown one is fine."""
    async with system_tx(services.db) as tx:
        accounts = Accounts(tx)
        token = await accounts.lock_refresh_token(hash_refresh_token(body.refresh_token))
        ended = token is not None and await accounts.revoke_family(token.tenant_id, token.family)
        if token is not None and ended:
            by, target = of_user(origin, token.user_id), Target("user", str(token.user_id))
            await Audit(tx).append(token.tenant_id, by, Action.USER_LOGOUT, target)
    if token is not None and ended:
        await announce_end(services.redis, token.tenant_id, session_id=token.family)
    return Response(status_code=204)


@router.get("/me")
async def me(services: Services, principal: CurrentPrincipal) -> MeModel:
    async with system_tx(services.db) as tx:
        account = await Accounts(tx).find(principal.user_id, principal.tenant_id)
    if account is None:
        raise NotAuthenticated("This account no longer exists.")
    return MeModel.of(account)


async def _record_refusal(services: GatewayServices, account: Account, origin: Origin) -> None:
    target = Target("user", str(account.user.id))
    try:
        async with system_tx(services.db) as tx:
            await Audit(tx).append(account.tenant.id, origin, Action.USER_LOGIN_REFUSED, target)
    except AppError as error:
        log.error("audit.refused_login_lost", tenant_id=str(account.tenant.id), error=type(error).__name__)


async def _count_guess(services: GatewayServices, email: str, known_device: str | None, known_address: bool) -> None:
    """Slows down guesses that come from many addresses: they are counted together, per account, whether there is one
    or not. A device that has signed in before counts for itself, an address only as `count_attempt` does: guesses
    never shut the owner out there. Raises RateLimited."""
    if known_device is not None:
        subject = {"device": f"{known_device}|{email.lower()}"}
    elif known_address:
        return
    else:
        subject = {"account": email.lower()}
    await services.limits.require(Kind.GUESS, subject, "Too many attempts to sign in; try again later.")


async def _renewed_hash(services: GatewayServices, account: Account, password: str) -> str | None:
    """The hash with today's parameters, when the stored one has others."""
    if services.passwords.is_outdated(account.password_hash):
        return await services.passwords.hash(password)
    return None
