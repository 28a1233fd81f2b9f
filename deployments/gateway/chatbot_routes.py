"""Chatbots and their versioned configuration."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from billing.entitlements import locked_plan_of
from configs.tables import load_models
from deployments.gateway.document_chunking import check_chunking
from deployments.gateway.erasure_models import gone, requester_of
from deployments.gateway.models import ChatbotBody, ChatbotList, ChatbotModel, VersionList, VersionModel
from deployments.gateway.origin import CurrentOrigin
from deployments.gateway.principal import require
from deployments.gateway.services import GatewayServices, Services
from domain.audit import Action, Details, Target
from domain.chatbot import ChatbotConfig
from domain.erasure import ErasureKind
from domain.events import EventKind
from domain.ids import ChatbotId
from domain.permissions import Permission
from domain.publishing import GateInTheWay, same_answers
from domain.tenancy import Principal
from storage.postgres.audit import Audit
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import tenant_tx
from storage.postgres.drafts import Drafts
from storage.postgres.erased_rows import erase
from storage.postgres.outbox import Outbox

router = APIRouter(tags=["chatbots"])

Reader = Annotated[Principal, require(Permission.CHATBOTS_READ)]
Writer = Annotated[Principal, require(Permission.CHATBOTS_WRITE)]


def merged_config(services: GatewayServices, present: ChatbotConfig, change: dict[str, Any]) -> ChatbotConfig:
    """`present` with the fields of `change`, also of its parts. Raises RequestValidationError."""
    fields = _merged(present.model_dump(mode="json"), change)
    try:
        config = ChatbotConfig.model_validate(fields)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
    table = load_models(services.settings.models_file)
    if config.model != "default" and config.model not in table.models and config.model not in table.routes:
        message = f"there is no model named {config.model!r}"
        raise RequestValidationError([{"loc": ("model",), "msg": message, "type": "value_error"}])
    if config.chunking != present.chunking:
        check_chunking(services.settings, config.chunking)
    return config


def _merged(present: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """As deep as `present` is: what a client nests deeper replaces, and is refused afterwards."""
    fields = dict(present)
    for key, value in change.items():
        nested = fields.get(key)
        fields[key] = _merged(nested, value) if isinstance(nested, dict) and isinstance(value, dict) else value
    return fields


@router.get("/chatbots")
async def list_chatbots(services: Services, principal: Reader) -> ChatbotList:
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        chatbots = await Chatbots(tx).list_all(principal.tenant_id)
    return ChatbotList(items=[ChatbotModel.of(chatbot) for chatbot in chatbots])


@router.post("/chatbots", status_code=201)
async def create_chatbot(
    body: ChatbotBody, services: Services, principal: Writer, origin: CurrentOrigin
) -> ChatbotModel:
    config = merged_config(services, ChatbotConfig(), body.config)
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        # The lock makes two requests at once count one after the other.
        plan = await locked_plan_of(tx, principal.tenant_id)
        chatbots = Chatbots(tx)
        plan.allow_chatbot(await chatbots.count(principal.tenant_id))
        bot = await chatbots.insert(principal.tenant_id, body.name, config)
        target = Target("chatbot", str(bot.id))
        await Audit(tx).append(principal.tenant_id, origin, Action.CHATBOT_CREATE, target)
    return ChatbotModel.of(bot)


@router.get("/chatbots/{chatbot_id}")
async def get_chatbot(chatbot_id: UUID, services: Services, principal: Reader) -> ChatbotModel:
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        return ChatbotModel.of(await Chatbots(tx).get(principal.tenant_id, ChatbotId(chatbot_id)))


@router.delete("/chatbots/{chatbot_id}", status_code=204)
async def delete_chatbot(chatbot_id: UUID, services: Services, principal: Writer, origin: CurrentOrigin) -> Response:
    """The bot goes with its documents and conversations; files and vectors follow. `Location` names the erasure."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        erasure = await erase(tx, tenant_id, ErasureKind.CHATBOT, bot, requester_of(origin))
        documents = erasure.related["documents"]
        payload = {"chatbot_id": str(bot), "document_ids": documents}
        await Outbox(tx).append(tenant_id, EventKind.CHATBOT_DELETED, f"chatbot:{bot}", payload)
        details = {"documents": len(documents)}
        await Audit(tx).append(tenant_id, origin, Action.CHATBOT_DELETE, Target("chatbot", str(bot)), details)
    return gone(erasure)


@router.put("/chatbots/{chatbot_id}/config")
async def put_config(
    chatbot_id: UUID, body: dict[str, Any], services: Services, principal: Writer, origin: CurrentOrigin
) -> ChatbotModel:
    """Change the fields that are given; every call makes a new version. With a publish gate, what changes answers is
    refused: it goes by a draft."""
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        chatbots = Chatbots(tx)
        await chatbots.lock(principal.tenant_id, ChatbotId(chatbot_id))
        present = await chatbots.get(principal.tenant_id, ChatbotId(chatbot_id))
        config = merged_config(services, present.config, body)
        if not same_answers(present.config, config) and await Drafts(tx, principal.tenant_id, present.id).gate():
            raise GateInTheWay
        bot = await chatbots.add_version(present, config)
        # Which fields, not what they say: a prompt may hold anything.
        details: Details = {"version": bot.version, "fields": sorted(body)}
        target = Target("chatbot", str(bot.id))
        await Audit(tx).append(principal.tenant_id, origin, Action.CHATBOT_UPDATE, target, details)
    return ChatbotModel.of(bot)


@router.get("/chatbots/{chatbot_id}/config/versions")
async def list_versions(chatbot_id: UUID, services: Services, principal: Reader) -> VersionList:
    """The newest hundred, newest first."""
    async with tenant_tx(services.db, principal.tenant_id) as tx:
        chatbots = Chatbots(tx)
        await chatbots.get(principal.tenant_id, ChatbotId(chatbot_id))
        versions = await chatbots.list_versions(principal.tenant_id, ChatbotId(chatbot_id))
    return VersionList(items=[VersionModel.of(version) for version in versions])
