"""Who calls with an API key."""

import structlog

from deployments.gateway.services import GatewayServices
from deployments.gateway.unattended import unattended
from domain.api_key import MARK, parse_api_key
from domain.errors import AppError, NotAuthenticated
from domain.ids import ApiKeyId, TenantId
from storage.postgres.api_keys import ApiKeys, FoundKey
from storage.postgres.database import system_tx

log = structlog.get_logger()


def is_api_key(token: str) -> bool:
    """Whether it claims to be one; only a key begins so."""
    return token.startswith(MARK)


async def found_key(services: GatewayServices, text: str) -> FoundKey:
    """The key as it is now, in one statement. Raises NotAuthenticated; never says why."""
    key = parse_api_key(text)
    found = None
    if key is not None:
        async with system_tx(services.db) as tx:
            found = await ApiKeys(tx).find(key)
    if found is None:
        raise NotAuthenticated("The API key is not valid, or not any more.")
    principal = found.principal
    if found.use_is_old and principal.api_key_id is not None:
        unattended(_note_use(services, principal.tenant_id, principal.api_key_id))
    return found


async def _note_use(services: GatewayServices, tenant_id: TenantId, key_id: ApiKeyId) -> None:
    try:
        async with system_tx(services.db) as tx:
            await ApiKeys(tx).note_use(tenant_id, key_id)
    except AppError as error:
        log.warning("api_key.use_not_noted", error=type(error).__name__)
