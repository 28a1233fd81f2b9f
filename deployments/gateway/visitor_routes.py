"""Visitors: people who chat without an account, anonymous or vouched for by the tenant's server."""

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import APIRouter, Request

from deployments.gateway.conversation_models import (
    IdentitySecretModel,
    VisitorBody,
    VisitorGrantModel,
    VisitorModel,
    VisitorPage,
)
from deployments.gateway.incoming import origin_allowed
from deployments.gateway.models import Limit
from deployments.gateway.origin import Client, CurrentOrigin
from deployments.gateway.page_origin import MAX_ORIGIN, PageOrigin
from deployments.gateway.principal import PUBLIC, require
from deployments.gateway.rate_limits import Kind
from deployments.gateway.services import GatewayServices, Services
from deployments.gateway.visitor_identity import identity_secret, signed
from domain.audit import Action, Target
from domain.chatbot import Chatbot
from domain.errors import Forbidden, InvalidInput, NotAuthenticated, NotFound
from domain.ids import ChatbotId, VisitorId
from domain.permissions import Permission
from domain.prompting.audience import attributes_of
from domain.tenancy import Principal
from domain.wire import ConsentModel
from storage.postgres.audit import Audit
from storage.postgres.chatbots import Chatbots
from storage.postgres.consents import Consents
from storage.postgres.database import Transaction, system_tx, tenant_tx
from storage.postgres.members import Members
from storage.postgres.visitors import Visitors

router = APIRouter(tags=["visitors"])


@router.post("/chatbots/{chatbot_id}/visitors", status_code=201, openapi_extra=PUBLIC)
async def welcome(
    chatbot_id: UUID, services: Services, client: Client, request: Request, body: VisitorBody | None = None
) -> VisitorGrantModel:
    """A token for somebody new, for somebody who comes back, or for a person whom the tenant's server vouches for.

    Public: needs no token. The chatbot's `visitors` setting says who is welcome. The token works from pages of the
    `Origin` that asks for it, or without one from programs.
    """
    page = PageOrigin.of(request.headers, request.method)
    if not origin_allowed(request.headers, services.settings.allowed_origins) or len(page.origin or "") > MAX_ORIGIN:
        raise Forbidden("Pages of this origin may not ask.")
    subject = {"address+chatbot": f"{client}|{chatbot_id}"}
    await services.limits.require(Kind.VISITOR, subject, "Too many visitors from this address; try again in a minute.")
    async with system_tx(services.db) as tx:
        tenant_id = await Visitors(tx).tenant_of_chatbot(ChatbotId(chatbot_id))
    if tenant_id is None:
        raise NotFound("There is no such chatbot.")
    structlog.contextvars.bind_contextvars(tenant_id=str(tenant_id))
    async with tenant_tx(services.db, tenant_id) as tx:
        await Members(tx).require_active(tenant_id)
        bot = await Chatbots(tx).get(tenant_id, ChatbotId(chatbot_id))
        visitor_id = await _visitor(tx, services, bot, body or VisitorBody(), page)
        needed = await Consents(tx).needed(tenant_id, visitor_id, bot.config)
    token = services.tokens.sign_visitor(tenant_id, bot.id, visitor_id, page.origin)
    consent = ConsentModel(**asdict(needed)) if needed else None
    return VisitorGrantModel(
        visitor_id=visitor_id, token=token, expires_in=services.tokens.visitor_seconds, consent=consent
    )


@router.get("/chatbots/{chatbot_id}/visitors")
async def list_visitors(
    chatbot_id: UUID,
    services: Services,
    principal: Annotated[Principal, require(Permission.CONVERSATIONS_READ)],
    limit: Limit = 50,
    cursor: UUID | None = None,
) -> VisitorPage:
    """Newest first."""
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        bot = await Chatbots(tx).get(principal.tenant_id, ChatbotId(chatbot_id))
        found = await Visitors(tx).list_page(principal.tenant_id, bot.id, limit + 1, cursor)
    more = str(found[limit - 1].id) if len(found) > limit else None
    return VisitorPage(items=[VisitorModel.of(visitor) for visitor in found[:limit]], next_cursor=more)


@router.get("/chatbots/{chatbot_id}/identity-secret")
async def get_identity_secret(
    chatbot_id: UUID,
    services: Services,
    owner: Annotated[Principal, require(Permission.CHATBOTS_SECRETS)],
    origin: CurrentOrigin,
) -> IdentitySecretModel:
    """What the tenant's server signs the names of its people with."""
    async with tenant_tx(services.db, owner.tenant_id) as tx:
        bot = await Chatbots(tx).get(owner.tenant_id, ChatbotId(chatbot_id))
        target = Target("chatbot", str(bot.id))
        await Audit(tx).append(owner.tenant_id, origin, Action.IDENTITY_SECRET_READ, target)
    return IdentitySecretModel(secret=identity_secret(services.settings, owner.tenant_id, bot.id))


async def _visitor(
    tx: Transaction, services: GatewayServices, bot: Chatbot, body: VisitorBody, page: PageOrigin
) -> VisitorId:
    """Raises NotFound where nobody is welcome, NotAuthenticated for a claim that does not hold."""
    visitors, mode = Visitors(tx), bot.config.visitors
    if mode == "off":
        raise NotFound("This chatbot takes no visitors.")
    if body.user_id is not None:
        if body.token is not None:
            raise InvalidInput("Send a name with its signature, or a token.")
        secret = identity_secret(services.settings, bot.tenant_id, bot.id)
        if not signed(secret, body.user_id, body.signature or "", body.attributes):
            raise NotAuthenticated("The signature does not belong to this name and its attributes.")
        attributes = None if body.attributes is None else attributes_of(body.attributes)
        return await visitors.identify(bot.tenant_id, bot.id, body.user_id, attributes)
    if body.attributes is not None:
        raise InvalidInput("Attributes go with a name and its signature.")
    if mode == "identified":
        raise NotAuthenticated("This chatbot asks who you are.")
    if body.token is None:
        return await visitors.insert(bot.tenant_id, bot.id)
    returning = services.tokens.verify_returning(body.token)
    if not page.is_where(returning.origin):
        raise NotAuthenticated("This token was given to another page.")
    known = returning.chatter
    if (known.tenant_id, known.chatbot_id) != (bot.tenant_id, bot.id) or known.visitor_id is None:
        raise NotAuthenticated("This token is another chatbot's.")
    if not await visitors.welcome_back(bot.tenant_id, bot.id, known.visitor_id):
        raise NotAuthenticated("This visitor is not known here any more.")
    return known.visitor_id
