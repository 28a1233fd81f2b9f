"""Retention: conversations that are older than their chatbot keeps them are erased, in batches."""

import structlog

from domain.erasure import Counts, added
from storage.postgres.database import Database, system_tx, tenant_tx
from storage.postgres.erased_rows import erase_older, limited_chatbots
from storage.postgres.traces import delete_expired_traces

log = structlog.get_logger()

BATCH = 500
"""Conversations of one erasure, and of one transaction."""
TRACES = 5_000
"""Of one transaction."""


async def expire(db: Database, batch: int = BATCH) -> Counts:
    """Go once over every chatbot that has `retention_days`; the rows that went. Documents are not touched.

    What is beyond the rows is erased by the jobs that this requests. May run twice at once: each takes what the other
    has not.
    """
    async with system_tx(db) as tx:
        chatbots = await limited_chatbots(tx)
    total: Counts = {}
    for tenant_id, chatbot_id, days in chatbots:
        while True:
            async with tenant_tx(db, tenant_id) as tx:
                went = await erase_older(tx, tenant_id, chatbot_id, days, batch)
            if not went:
                break
            total = added(total, went)
            log.info("retention.erased", tenant_id=str(tenant_id), chatbot_id=str(chatbot_id), **went)
    await _expire_traces(db)
    return total


async def _expire_traces(db: Database) -> None:
    """Of how answers came about, what is older than their bots keep it."""
    went = TRACES
    while went == TRACES:
        async with system_tx(db) as tx:
            went = await delete_expired_traces(tx, TRACES)
        if went:
            log.info("retention.traces_erased", traces=went)
