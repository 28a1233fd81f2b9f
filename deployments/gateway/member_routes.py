"""The tenant's people: listed, given another role, removed."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response

from deployments.gateway.access_end import Ended, announce, end_access
from deployments.gateway.models import Limit
from deployments.gateway.origin import CurrentOrigin
from deployments.gateway.people_models import MemberChange, MemberModel, MemberPage
from deployments.gateway.principal import require
from deployments.gateway.services import Services
from domain.audit import Action, Target
from domain.errors import Forbidden, NotAuthenticated
from domain.ids import UserId
from domain.permissions import PERMISSIONS, Permission, check
from domain.tenancy import Principal, Role
from storage.postgres.audit import Audit
from storage.postgres.database import Transaction, system_tx
from storage.postgres.invitations import Invitations
from storage.postgres.members import Member, MemberChanges, Members

router = APIRouter(tags=["members"])

Reader = Annotated[Principal, require(Permission.MEMBERS_READ)]
Keeper = Annotated[Principal, require(Permission.MEMBERS_MANAGE)]


@router.get("/members")
async def list_members(services: Services, reader: Reader, limit: Limit = 50, cursor: UUID | None = None) -> MemberPage:
    """In the order of their accounts' age."""
    async with system_tx(services.db) as tx:
        members = MemberChanges(tx, reader.tenant_id)
        found = await members.list_page(limit + 1, UserId(cursor) if cursor else None)
    more = str(found[limit - 1].user_id) if len(found) > limit else None
    return MemberPage(items=[MemberModel.of(member) for member in found[:limit]], next_cursor=more)


@router.patch("/members/{user_id}")
async def change_member(
    user_id: UUID, body: MemberChange, services: Services, keeper: Keeper, origin: CurrentOrigin
) -> MemberModel:
    """Give another role; only owners make, change or lower owners. It holds from the next request on."""
    ended: Ended = []
    async with system_tx(services.db) as tx:
        members, member = await _found(tx, keeper, UserId(user_id), body.role)
        if body.role is not member.role:
            await members.set_role(member, body.role)
            if not PERMISSIONS[body.role] >= PERMISSIONS[member.role]:
                ended = await end_access(tx, member.user_id, keeper.tenant_id)
            if Permission.MEMBERS_MANAGE not in PERMISSIONS[body.role] or member.role is Role.OWNER:
                await Invitations(tx, keeper.tenant_id).delete_of(member.user_id)
            details = {"from": member.role.value, "to": body.role.value}
            target = Target("user", str(user_id))
            await Audit(tx).append(keeper.tenant_id, origin, Action.MEMBER_UPDATE, target, details)
        member = await members.get(member.user_id)
    await announce(services, ended)
    return MemberModel.of(member)


@router.delete("/members/{user_id}", status_code=204)
async def remove_member(user_id: UUID, services: Services, keeper: Keeper, origin: CurrentOrigin) -> Response:
    """Remove somebody, or leave. The account stays, with whatever other companies it belongs to."""
    async with system_tx(services.db) as tx:
        members, member = await _found(tx, keeper, UserId(user_id))
        ended = await end_access(tx, member.user_id, keeper.tenant_id)
        await members.delete(member)
        # A way back in for who was just shown out.
        await Invitations(tx, keeper.tenant_id).delete_of(member.user_id)
        details = {"role": member.role.value}
        await Audit(tx).append(keeper.tenant_id, origin, Action.MEMBER_REMOVE, Target("user", str(user_id)), details)
    await announce(services, ended)
    return Response(status_code=204)


async def _found(
    tx: Transaction, keeper: Principal, user_id: UserId, role: Role | None = None
) -> tuple[MemberChanges, Member]:
    """Who is to be changed, while nobody else changes the tenant's people.

    What the keeper may do is asked again: two who remove each other at the same time do not both succeed.
    Raises NotAuthenticated, Forbidden, NotFound.
    """
    members = MemberChanges(tx, keeper.tenant_id)
    await members.lock()
    present = await Members(tx).role(keeper.tenant_id, keeper.user_id)
    if present is None:
        raise NotAuthenticated("This account does not belong to the company any more.")
    check(present, Permission.MEMBERS_MANAGE)
    member = await members.get(user_id)
    if present is not Role.OWNER and Role.OWNER in (member.role, role):
        raise Forbidden("Only owners make, change or remove owners.")
    return members, member
