"""Invitations: sent by mail, accepted once by whoever reads the address's mail."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response

from deployments.gateway.attempts import count_attempt
from deployments.gateway.device import CurrentDevice
from deployments.gateway.grants import begin_sign_in
from deployments.gateway.models import Limit, TenantModel
from deployments.gateway.origin import AnonymousOrigin, Client, CurrentOrigin, of_user
from deployments.gateway.password_rules import require_good_password
from deployments.gateway.people_models import (
    AcceptBody,
    AcceptedModel,
    InvitationBody,
    InvitationModel,
    InvitationPage,
)
from deployments.gateway.principal import PUBLIC, Credentials, current_caller, current_principal, require
from deployments.gateway.rate_limits import Kind
from deployments.gateway.services import GatewayServices, Services
from domain.audit import Action, Target
from domain.errors import AlreadyExists, Conflict, Forbidden, InvalidInput, NotAuthenticated
from domain.mail import MailKind
from domain.one_time import hash_of_secret
from domain.permissions import Permission, check
from domain.tenancy import Principal, Role, SignInMethod
from storage.postgres.accounts import Accounts
from storage.postgres.audit import Audit
from storage.postgres.database import Transaction, system_tx
from storage.postgres.invitations import Invitation, InvitationLinks, Invitations
from storage.postgres.mail_queue import MailQueue
from storage.postgres.members import MemberChanges, Members
from storage.postgres.people import People, Person

router = APIRouter(tags=["members"])

Reader = Annotated[Principal, require(Permission.MEMBERS_READ)]
Keeper = Annotated[Principal, require(Permission.MEMBERS_MANAGE)]

_FLOOD = "Too many invitations were sent; try again later."


class EmailNotVerified(Forbidden):
    code, default = "email_not_verified", "Confirm your own e-mail address before you invite others."


class LinkExpired(InvalidInput):
    code, default = "link_expired", "This link is used, withdrawn or expired; ask for another one."


@router.post("/invitations", status_code=201)
async def invite(body: InvitationBody, services: Services, keeper: Keeper, origin: CurrentOrigin) -> InvitationModel:
    """Mail a link that works once, within seven days. The answer is the same whether the address has an account."""
    await _count_mail(services, keeper, body.email)
    async with system_tx(services.db) as tx:
        await _require_inviter(services, tx, keeper, body.role)
        if await MemberChanges(tx, keeper.tenant_id).has_email(body.email):
            raise AlreadyExists("This person is a member already.")
        invitation = await Invitations(tx, keeper.tenant_id).insert(body.email, body.role, keeper.user_id)
        await MailQueue(tx).insert(MailKind.INVITATION, invitation.email, invitation.id)
        target, details = Target("invitation", str(invitation.id)), {"role": body.role.value}
        await Audit(tx).append(keeper.tenant_id, origin, Action.INVITATION_CREATE, target, details)
    return InvitationModel.of(invitation)


@router.get("/invitations")
async def list_invitations(
    services: Services, reader: Reader, limit: Limit = 50, cursor: UUID | None = None
) -> InvitationPage:
    """Newest first, expired ones too."""
    async with system_tx(services.db) as tx:
        found = await Invitations(tx, reader.tenant_id).list_page(limit + 1, cursor)
    more = str(found[limit - 1].id) if len(found) > limit else None
    return InvitationPage(items=[InvitationModel.of(invitation) for invitation in found[:limit]], next_cursor=more)


@router.post("/invitations/{invitation_id}/resend")
async def resend(invitation_id: UUID, services: Services, keeper: Keeper, origin: CurrentOrigin) -> InvitationModel:
    """Mail a new link for seven more days; the earlier link ends when this one goes out."""
    async with system_tx(services.db) as tx:
        known = await Invitations(tx, keeper.tenant_id).get(invitation_id)
    await _count_mail(services, keeper, known.email)
    async with system_tx(services.db) as tx:
        invitations = Invitations(tx, keeper.tenant_id)
        await _require_inviter(services, tx, keeper, known.role)
        invitation = await invitations.renew(invitation_id)
        await MailQueue(tx).insert(MailKind.INVITATION, invitation.email, invitation.id)
        target = Target("invitation", str(invitation.id))
        await Audit(tx).append(keeper.tenant_id, origin, Action.INVITATION_RESEND, target)
    return InvitationModel.of(invitation)


@router.delete("/invitations/{invitation_id}", status_code=204)
async def withdraw(invitation_id: UUID, services: Services, keeper: Keeper, origin: CurrentOrigin) -> Response:
    """Its link works no more, also where it was mailed already."""
    async with system_tx(services.db) as tx:
        await Invitations(tx, keeper.tenant_id).delete(invitation_id)
        target = Target("invitation", str(invitation_id))
        await Audit(tx).append(keeper.tenant_id, origin, Action.INVITATION_DELETE, target)
    return Response(status_code=204)


@router.post("/invitations/accept", openapi_extra=PUBLIC)
async def accept(
    body: AcceptBody,
    services: Services,
    client: Client,
    origin: AnonymousOrigin,
    credentials: Credentials,
    device: CurrentDevice,
) -> AcceptedModel:
    """Join with the link of the mail: signed in as its address, with the account's password, or with a new one.

    Who proves an account that existed by its password signs in as always afterwards: further factors are asked there.
    """
    token_hash = hash_of_secret(body.token)
    async with system_tx(services.db) as tx:
        known = await InvitationLinks(tx).find(token_hash)
        person = await People(tx).find_by_email(known.email) if known else None
    if known is None:
        raise LinkExpired
    signed_in = await current_principal(await current_caller(services, credentials)) if credentials else None
    theirs = signed_in is not None and person is not None and signed_in.user_id == person.user.id
    new_hash = None
    if not theirs:
        new_hash = await _proven(services, client, known, person, body.password)
    async with system_tx(services.db) as tx:
        invitation = await InvitationLinks(tx).take(token_hash)
        if invitation is None:
            raise LinkExpired
        people = People(tx)
        if new_hash is not None:
            person = await people.insert(invitation.email, new_hash)
        if person is None:
            # They registered a moment ago, or their account is gone.
            raise Conflict("The account has changed meanwhile; try again.")
        await people.mark_verified(person.user.id)
        if not await MemberChanges(tx, invitation.tenant_id).insert(person.user.id, invitation.role):
            raise AlreadyExists("You belong to this company already.")
        account = await Accounts(tx).find(person.user.id, invitation.tenant_id)
        assert account is not None
        await Members(tx).require_active(invitation.tenant_id)
        grant = None
        if theirs or new_hash is not None:
            grant = await begin_sign_in(services, tx, account, device, SignInMethod.INVITATION)
        by, target = of_user(origin, person.user.id), Target("invitation", str(invitation.id))
        details = {"role": invitation.role.value}
        await Audit(tx).append(invitation.tenant_id, by, Action.INVITATION_ACCEPT, target, details)
    tenant = account.tenant
    return AcceptedModel(
        tenant=TenantModel(id=tenant.id, name=tenant.name, plan=tenant.plan), role=account.role, grant=grant
    )


async def _proven(
    services: GatewayServices, client: str, invitation: Invitation, person: Person | None, password: str | None
) -> str | None:
    """The hash of a new person's password; None for who has an account and knows its password.

    Raises InvalidInput, WeakPassword, NotAuthenticated, RateLimited.
    """
    await count_attempt(services, client, invitation.email)
    if password is None:
        raise InvalidInput("Send a password, or sign in as the address that was invited.")
    if person is None:
        require_good_password(password, invitation.email)
        return await services.passwords.hash(password)
    if not await services.passwords.verify(person.password_hash, password):
        raise NotAuthenticated("The password is wrong.")
    return None


async def _require_inviter(services: GatewayServices, tx: Transaction, keeper: Principal, role: Role) -> None:
    """Asked in the transaction: who is removed at the same time invites nobody. Raises Forbidden, EmailNotVerified."""
    await MemberChanges(tx, keeper.tenant_id).lock()
    present = await Members(tx).role(keeper.tenant_id, keeper.user_id)
    if present is None:
        raise NotAuthenticated("This account does not belong to the company any more.")
    check(present, Permission.MEMBERS_MANAGE)
    if role is Role.OWNER and present is not Role.OWNER:
        raise Forbidden("Only owners make owners.")
    if services.settings.smtp_url is not None:
        person = await People(tx).find(keeper.user_id)
        if person is None or person.user.email_verified_at is None:
            raise EmailNotVerified


async def _count_mail(services: GatewayServices, keeper: Principal, email: str) -> None:
    """Raises RateLimited."""
    subjects = {"recipient": email.lower(), "tenant": str(keeper.tenant_id)}
    await services.limits.require(Kind.MAIL, subjects, _FLOOD)
