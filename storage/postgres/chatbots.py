"""Chatbots and the versions of their configuration."""

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from domain.chatbot import Chatbot, ChatbotConfig, ConfigVersion
from domain.errors import NotFound
from domain.ids import ChatbotId, TenantId, new_uuid
from domain.knowledge import Knowledge
from storage.postgres.database import Transaction, execute, fetch_all, fetch_one, queue
from storage.postgres.queries import load

_SQL = load("chatbots")
_MISSING = "There is no such chatbot."


class Chatbots:
    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def count(self, tenant_id: TenantId) -> int:
        row = await fetch_one(self._tx, _SQL["count"], tenant_id=tenant_id)
        return int(row["total"]) if row else 0

    async def insert(self, tenant_id: TenantId, name: str, config: ChatbotConfig) -> Chatbot:
        """A new bot; its configuration is version 1."""
        chatbot_id = ChatbotId(new_uuid())
        await execute(self._tx, _SQL["insert"], tenant_id=tenant_id, id=chatbot_id, name=name)
        await self._insert_config(tenant_id, chatbot_id, 1, config)
        return await self.get(tenant_id, chatbot_id)

    async def get(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> Chatbot:
        """Raises NotFound."""
        row = await fetch_one(self._tx, _SQL["get"], tenant_id=tenant_id, id=chatbot_id)
        if row is None:
            raise NotFound(_MISSING)
        return _chatbot(row)

    async def lock(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> None:
        """Hold the bot's row until the transaction ends. Raises NotFound."""
        if await fetch_one(self._tx, _SQL["lock"], tenant_id=tenant_id, id=chatbot_id) is None:
            raise NotFound(_MISSING)

    async def knowledge_changed(self, tenant_id: TenantId, chatbot_id: ChatbotId) -> None:
        """What a search of the bot's documents finds is another thing from here on; holds its row until the end.

        Before the rows of documents are touched, so that nobody waits for each other.
        """
        await queue(self._tx, _SQL["knowledge_changed"], tenant_id=tenant_id, id=chatbot_id)

    async def list_all(self, tenant_id: TenantId) -> list[Chatbot]:
        """Every bot of the tenant, oldest first; the plan's limit bounds their number."""
        return [_chatbot(row) for row in await fetch_all(self._tx, _SQL["list"], tenant_id=tenant_id)]

    async def add_version(self, present: Chatbot, config: ChatbotConfig) -> Chatbot:
        """Store `config` as the version after `present`, which must be locked."""
        version = present.version + 1
        await self._insert_config(present.tenant_id, present.id, version, config)
        await execute(self._tx, _SQL["set_version"], tenant_id=present.tenant_id, id=present.id, version=version)
        return await self.get(present.tenant_id, present.id)

    async def list_versions(self, tenant_id: TenantId, chatbot_id: ChatbotId, limit: int = 100) -> list[ConfigVersion]:
        """The newest versions first."""
        rows = await fetch_all(self._tx, _SQL["list_versions"], tenant_id=tenant_id, chatbot_id=chatbot_id, limit=limit)
        return [
            ConfigVersion(row["version"], ChatbotConfig.model_validate(row["config"]), row["created_at"])
            for row in rows
        ]

    async def version(self, tenant_id: TenantId, chatbot_id: ChatbotId, version: int) -> ConfigVersion:
        """Raises NotFound."""
        values = {"tenant_id": tenant_id, "chatbot_id": chatbot_id, "version": version}
        row = await fetch_one(self._tx, _SQL["version"], **values)
        if row is None:
            raise NotFound("The chatbot has no such version.")
        return ConfigVersion(row["version"], ChatbotConfig.model_validate(row["config"]), row["created_at"])

    async def _insert_config(
        self, tenant_id: TenantId, chatbot_id: ChatbotId, version: int, config: ChatbotConfig
    ) -> None:
        await execute(
            self._tx,
            _SQL["insert_config"],
            tenant_id=tenant_id,
            chatbot_id=chatbot_id,
            version=version,
            config=Jsonb(config.model_dump(mode="json")),
        )


def _chatbot(row: DictRow) -> Chatbot:
    knowledge = Knowledge(row.pop("knowledge_generation"), row.pop("knowledge_model") or "")
    return Chatbot(**{**row, "config": ChatbotConfig.model_validate(row["config"])}, knowledge=knowledge)
