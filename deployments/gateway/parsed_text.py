"""The parsed text of a stored document, read for the gateway's routes."""

import asyncio

from deployments.gateway.services import GatewayServices
from domain.documents import Document, ParsedDocument
from pipelines.parsed_json import load_parsed
from storage.blobs import PARSED, parsed_key
from storage.postgres.tenant_keys import keys_of


async def parsed_text(services: GatewayServices, document: Document) -> ParsedDocument:
    """Raises NotFound for a document that was not parsed yet, Unreadable."""
    keys = (await keys_of(services.db, document.tenant_id)).for_document(document.id)
    data = await services.blobs.get(parsed_key(document.tenant_id, document.id))
    clear_too = document.sealed_version is None
    return await asyncio.to_thread(lambda: load_parsed(keys.open(PARSED, data, clear_too=clear_too)))
