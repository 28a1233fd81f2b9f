"""Consent of visitors to the privacy policy of a chatbot."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from deployments.gateway.models import Body
from deployments.gateway.origin import ChatterOrigin
from deployments.gateway.principal import ReadingChatter, ReplyingChatter
from deployments.gateway.services import Services
from domain.audit import Action, Target
from domain.errors import Conflict, NotFound
from domain.ids import ChatbotId, VisitorId
from domain.tenancy import Chatter
from storage.postgres.audit import Audit
from storage.postgres.chatbots import Chatbots
from storage.postgres.consents import Consents
from storage.postgres.database import tenant_tx
from storage.postgres.visitors import Visitors

router = APIRouter(tags=["privacy"], prefix="/chatbots/{chatbot_id}/visitors/{visitor_id}")


class ConsentBody(Body):
    policy_version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,50}$")]


class GivenConsentModel(BaseModel):
    id: UUID
    policy_version: str
    ip: str | None = Field(description="The network that it came from, /24 or /48.")
    at: datetime


class ConsentList(BaseModel):
    items: list[GivenConsentModel]


class PolicyChanged(Conflict):
    code, default = "policy_changed", "The policy has another version now; show that one."


@router.post("/consent", status_code=201)
async def give_consent(
    chatbot_id: UUID,
    visitor_id: UUID,
    body: ConsentBody,
    services: Services,
    chatter: ReplyingChatter,
    origin: ChatterOrigin,
) -> GivenConsentModel:
    """The visitor agrees to the present version; nobody does it for them."""
    if chatter.visitor_id != visitor_id:
        raise NotFound("There is no such visitor.")
    tenant_id, bot_id, visitor = chatter.tenant_id, ChatbotId(chatbot_id), VisitorId(visitor_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        bot = await Chatbots(tx).get(tenant_id, bot_id)
        if body.policy_version != bot.config.privacy.policy_version:
            raise PolicyChanged
        consent = await Consents(tx).give(tenant_id, bot_id, visitor, body.policy_version, origin.ip)
        target, details = Target("visitor", str(visitor)), {"policy_version": body.policy_version}
        await Audit(tx).append(tenant_id, origin, Action.CONSENT_GIVE, target, details)
    return GivenConsentModel(**asdict(consent))


@router.get("/consents")
async def list_consents(chatbot_id: UUID, visitor_id: UUID, services: Services, chatter: ReadingChatter) -> ConsentList:
    """What the visitor agreed to, the newest hundred, newest first; visitors see their own."""
    await require_visitor(services, chatter, chatbot_id, visitor_id)
    async with tenant_tx(services.db, chatter.tenant_id) as tx:
        found = await Consents(tx).list_all(chatter.tenant_id, VisitorId(visitor_id))
    return ConsentList(items=[GivenConsentModel(**asdict(consent)) for consent in found])


async def require_visitor(services: Services, chatter: Chatter, chatbot_id: UUID, visitor_id: UUID) -> None:
    """Raises NotFound for a visitor that the bot does not have, and for another one than the visitor who asks."""
    async with tenant_tx(services.db, chatter.tenant_id) as tx:
        known = await Visitors(tx).exists(chatter.tenant_id, VisitorId(visitor_id), ChatbotId(chatbot_id))
    if not known or chatter.visitor_id not in (None, visitor_id):
        raise NotFound("There is no such visitor.")
