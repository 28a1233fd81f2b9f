"""Chat sessions over HTTP, their branches, and the socket's address."""

from uuid import UUID

from fastapi import APIRouter, Response

from deployments.gateway.conversation_models import (
    BranchList,
    BranchModel,
    SessionBody,
    SessionChange,
    SessionModel,
    SessionPage,
)
from deployments.gateway.erasure_models import gone, requester_of
from deployments.gateway.models import Limit
from deployments.gateway.origin import ChatterOrigin
from deployments.gateway.principal import DeletingChatter, ReadingChatter, ReplyingChatter
from deployments.gateway.services import Services
from domain.audit import Action, Details, Target
from domain.erasure import ErasureKind
from domain.errors import Forbidden
from domain.ids import ChatbotId, SessionId, TurnId
from storage.postgres.audit import Audit
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import tenant_tx
from storage.postgres.erased_rows import erase
from storage.postgres.messages import Messages
from storage.postgres.sessions import Sessions

router = APIRouter(tags=["chat"])


@router.post("/chatbots/{chatbot_id}/sessions", status_code=201)
async def create_session(
    chatbot_id: UUID, services: Services, chatter: ReplyingChatter, body: SessionBody | None = None
) -> SessionModel:
    """A visitor's session is theirs alone; the tenant's people see it too."""
    title = body.title if body else ""
    async with tenant_tx(services.db, chatter.tenant_id) as tx:
        bot = await Chatbots(tx).get(chatter.tenant_id, ChatbotId(chatbot_id))
        return SessionModel.of(await Sessions(tx).insert(chatter.tenant_id, bot.id, title, chatter.visitor_id))


@router.get("/chatbots/{chatbot_id}/sessions")
async def list_sessions(
    chatbot_id: UUID, services: Services, chatter: ReadingChatter, limit: Limit = 50, cursor: UUID | None = None
) -> SessionPage:
    """Newest first; a visitor's own only."""
    async with tenant_tx(services.db, chatter.tenant_id) as tx:
        bot = await Chatbots(tx).get(chatter.tenant_id, ChatbotId(chatbot_id))
        found = await Sessions(tx).list_page(chatter.tenant_id, bot.id, limit + 1, cursor, chatter.visitor_id)
    more = str(found[limit - 1].id) if len(found) > limit else None
    return SessionPage(items=[SessionModel.of(session) for session in found[:limit]], next_cursor=more)


@router.patch("/chatbots/{chatbot_id}/sessions/{session_id}")
async def change_session(
    chatbot_id: UUID,
    session_id: UUID,
    body: SessionChange,
    services: Services,
    chatter: ReplyingChatter,
    origin: ChatterOrigin,
) -> SessionModel:
    """Rename, close or open again; the tenant's people also choose the active branch."""
    if body.head_turn_id is not None and chatter.visitor_id is not None:
        raise Forbidden("Visitors do not choose the branch.")
    async with tenant_tx(services.db, chatter.tenant_id) as tx:
        sessions = Sessions(tx)
        session = await sessions.get_for(chatter, SessionId(session_id), ChatbotId(chatbot_id))
        head = None
        if body.head_turn_id is not None:
            head = await Messages(tx).newest_leaf(chatter.tenant_id, session.id, TurnId(body.head_turn_id))
        changed = await sessions.update(
            chatter.tenant_id, session.id, title=body.title, closed=body.closed, head_turn_id=head
        )
        target = Target("session", str(session.id))
        details: Details = {"chatbot_id": str(chatbot_id), "fields": sorted(body.model_dump(exclude_none=True))}
        await Audit(tx).append(chatter.tenant_id, origin, Action.SESSION_UPDATE, target, details)
    return SessionModel.of(changed)


@router.delete("/chatbots/{chatbot_id}/sessions/{session_id}", status_code=204)
async def delete_session(
    chatbot_id: UUID, session_id: UUID, services: Services, chatter: DeletingChatter, origin: ChatterOrigin
) -> Response:
    """The session goes with its messages; what was billed stays. `Location` names the erasure of all else."""
    async with tenant_tx(services.db, chatter.tenant_id) as tx:
        session = await Sessions(tx).get_for(chatter, SessionId(session_id), ChatbotId(chatbot_id))
        erasure = await erase(tx, chatter.tenant_id, ErasureKind.SESSION, session.id, requester_of(origin))
        target, details = Target("session", str(session.id)), {"chatbot_id": str(chatbot_id)}
        await Audit(tx).append(chatter.tenant_id, origin, Action.SESSION_DELETE, target, details)
    return gone(erasure)


@router.get("/chatbots/{chatbot_id}/sessions/{session_id}/branches")
async def list_branches(chatbot_id: UUID, session_id: UUID, services: Services, chatter: ReadingChatter) -> BranchList:
    """The newest two hundred, newest first."""
    async with tenant_tx(services.db, chatter.tenant_id) as tx:
        session = await Sessions(tx).get_for(chatter, SessionId(session_id), ChatbotId(chatbot_id))
        found = await Messages(tx).branches(chatter.tenant_id, session.id)
    return BranchList(items=[BranchModel.of(branch, session.head_turn_id) for branch in found])
