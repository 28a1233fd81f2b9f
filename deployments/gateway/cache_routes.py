"""The answers that a bot keeps for questions asked again: removed at its people's wish."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from redis.exceptions import RedisError

from deployments.gateway.origin import CurrentOrigin
from deployments.gateway.principal import require
from deployments.gateway.services import Services
from domain.audit import Action, Target
from domain.errors import Unavailable
from domain.ids import ChatbotId
from domain.permissions import Permission
from domain.tenancy import Principal
from storage.postgres.audit import Audit
from storage.postgres.chatbots import Chatbots
from storage.postgres.database import tenant_tx
from storage.redis.kept_answers import KeptAnswers

router = APIRouter(tags=["chatbots"])


@router.delete("/chatbots/{chatbot_id}/cache", status_code=204)
async def empty_cache(
    chatbot_id: UUID,
    services: Services,
    principal: Annotated[Principal, require(Permission.CHATBOTS_WRITE)],
    origin: CurrentOrigin,
) -> Response:
    """From here on no answer is given that was kept before; changes of the configuration or of documents see to it
    themselves."""
    tenant_id, bot = principal.tenant_id, ChatbotId(chatbot_id)
    async with tenant_tx(services.db, tenant_id) as tx:
        await Chatbots(tx).get(tenant_id, bot)
        try:
            removed = await KeptAnswers(services.redis).empty(tenant_id, bot)
        except RedisError as error:
            raise Unavailable from error
        target, details = Target("chatbot", str(bot)), {"answers": removed}
        await Audit(tx).append(tenant_id, origin, Action.CHATBOT_CACHE_EMPTY, target, details)
    return Response(status_code=204)
