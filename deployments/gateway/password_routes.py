"""A forgotten, stolen or old password, and the proof that an e-mail address is one's own."""

from fastapi import APIRouter, Response

from deployments.gateway.access_end import Ended, announce, end_access
from deployments.gateway.attempts import count_attempt
from deployments.gateway.device import CurrentDevice
from deployments.gateway.grants import begin_sign_in
from deployments.gateway.invitation_routes import LinkExpired
from deployments.gateway.models import GrantModel
from deployments.gateway.origin import AnonymousOrigin, Client, CurrentOrigin, of_user
from deployments.gateway.password_rules import require_good_password
from deployments.gateway.people_models import ForgotBody, LinkBody, PasswordChange, ResetBody
from deployments.gateway.principal import PUBLIC, CurrentPrincipal
from deployments.gateway.rate_limits import Kind
from deployments.gateway.services import GatewayServices, Services
from domain.audit import Action, Origin, Target
from domain.errors import InvalidInput, NotAuthenticated
from domain.ids import TenantId, UserId
from domain.mail import MailKind
from domain.one_time import hash_of_secret
from domain.tenancy import SignInMethod
from storage.postgres.accounts import Accounts
from storage.postgres.audit import Audit
from storage.postgres.database import Transaction, system_tx
from storage.postgres.mail_queue import MailQueue
from storage.postgres.people import AccountLinks, LinkPurpose, People, Person

router = APIRouter(tags=["accounts"])


class WrongPassword(InvalidInput):
    """Not 401: the request's token is good, and clients would fetch another one and try again."""

    code, default = "wrong_password", "The old password is wrong."


@router.post("/auth/password/forgot", status_code=202, openapi_extra=PUBLIC)
async def forgot(body: ForgotBody, services: Services, client: Client) -> Response:
    """Mail a link for a new password, if there is such an account; whoever asks does not learn whether.

    Who has the address is looked up when the mail is sent: until the answer, the same is done for every address.
    """
    await count_attempt(services, client, body.email)
    if await _may_mail(services, body.email):
        async with system_tx(services.db) as tx:
            await MailQueue(tx).insert(MailKind.PASSWORD_RESET, body.email)
    return Response(status_code=202)


@router.post("/auth/password/reset", status_code=204, openapi_extra=PUBLIC)
async def reset(body: ResetBody, services: Services, origin: AnonymousOrigin) -> Response:
    """A new password by the mailed link; every session of the person ends, in every company."""
    token_hash = hash_of_secret(body.token)
    async with system_tx(services.db) as tx:
        known = await AccountLinks(tx).find(LinkPurpose.PASSWORD_RESET, token_hash)
        person = await People(tx).find(known) if known else None
        names = [found.tenant.name for found in await People(tx).tenants(known)] if known else []
    if person is None:
        raise LinkExpired
    require_good_password(body.password, person.user.email, *names)
    password_hash = await services.passwords.hash(body.password)
    async with system_tx(services.db) as tx:
        links = AccountLinks(tx)
        user_id = await links.take(LinkPurpose.PASSWORD_RESET, token_hash)
        if user_id is None:
            raise LinkExpired
        await links.delete_all(user_id, LinkPurpose.PASSWORD_RESET)
        # Who has the link reads the address's mail.
        await People(tx).mark_verified(user_id)
        ended = await _set_password(tx, person, password_hash)
        await _record_everywhere(tx, user_id, of_user(origin, user_id), Action.PASSWORD_RESET)
    await announce(services, ended)
    return Response(status_code=204)


@router.post("/auth/password/change")
async def change(
    body: PasswordChange,
    services: Services,
    principal: CurrentPrincipal,
    client: Client,
    origin: CurrentOrigin,
    device: CurrentDevice,
) -> GrantModel:
    """Another password, for who knows the old one. Every session ends; the answer's tokens begin a new one."""
    async with system_tx(services.db) as tx:
        person = await People(tx).find(principal.user_id)
        names = [found.tenant.name for found in await People(tx).tenants(principal.user_id)]
    if person is None:
        raise NotAuthenticated("This account no longer exists.")
    await count_attempt(services, client, person.user.email)
    if not await services.passwords.verify(person.password_hash, body.old_password):
        raise WrongPassword
    require_good_password(body.password, person.user.email, *names)
    password_hash = await services.passwords.hash(body.password)
    async with system_tx(services.db) as tx:
        ended = await _set_password(tx, person, password_hash)
        await AccountLinks(tx).delete_all(principal.user_id, LinkPurpose.PASSWORD_RESET)
        account = await Accounts(tx).find(principal.user_id, principal.tenant_id)
        if account is None:
            raise NotAuthenticated("This account does not belong to the company any more.")
        grant = await begin_sign_in(services, tx, account, device, SignInMethod.PASSWORD)
        await _record_everywhere(tx, principal.user_id, origin, Action.PASSWORD_CHANGE)
    await announce(services, ended)
    return grant


@router.post("/auth/email/verify", status_code=204, openapi_extra=PUBLIC)
async def verify(body: LinkBody, services: Services, origin: AnonymousOrigin) -> Response:
    """Prove the address with the mailed link."""
    async with system_tx(services.db) as tx:
        links = AccountLinks(tx)
        user_id = await links.take(LinkPurpose.EMAIL_VERIFICATION, hash_of_secret(body.token))
        if user_id is None:
            raise LinkExpired
        await links.delete_all(user_id, LinkPurpose.EMAIL_VERIFICATION)
        if await People(tx).mark_verified(user_id):
            await _record_everywhere(tx, user_id, of_user(origin, user_id), Action.EMAIL_VERIFY)
    return Response(status_code=204)


@router.post("/auth/email/resend", status_code=202)
async def resend(services: Services, principal: CurrentPrincipal) -> Response:
    """Mail the link once more; nothing where the address is proven."""
    async with system_tx(services.db) as tx:
        person = await People(tx).find(principal.user_id)
    if person is None:
        raise NotAuthenticated("This account no longer exists.")
    subject = {"recipient": person.user.email.lower()}
    await services.limits.require(Kind.MAIL, subject, "Too many mails to this address; try again later.")
    if person.user.email_verified_at is None:
        async with system_tx(services.db) as tx:
            await MailQueue(tx).insert(MailKind.EMAIL_VERIFICATION, person.user.email, person.user.id)
    return Response(status_code=202)


async def _set_password(tx: Transaction, person: Person, password_hash: str) -> Ended:
    """And end every session, and tell the person."""
    await Accounts(tx).set_password_hash(person.user.id, password_hash)
    await MailQueue(tx).insert(MailKind.PASSWORD_CHANGED, person.user.email, person.user.id)
    return await end_access(tx, person.user.id)


async def _record_everywhere(tx: Transaction, user_id: UserId, origin: Origin, action: Action) -> None:
    """In the log of every company of the person. In one order, so that no two wait for each other."""
    tenants: list[TenantId] = sorted(found.tenant.id for found in await People(tx).tenants(user_id))
    for tenant_id in tenants:
        await Audit(tx).append(tenant_id, origin, action, Target("user", str(user_id)))


async def _may_mail(services: GatewayServices, email: str) -> bool:
    """False, and silently: the owner of the address must not be told off for what others ask."""
    standing = await services.limits.take(Kind.MAIL, {"recipient": email.lower()})
    return standing is None or not standing.refused
