"""Drafts of configurations, which nobody's answers come from, and the gates that they have to pass."""

from psycopg.types.json import Jsonb

from domain.chatbot import ChatbotConfig
from domain.errors import NotFound
from domain.ids import ChatbotId, TenantId
from domain.publishing import Draft, GateSpec
from storage.postgres.database import Transaction, execute, fetch_one
from storage.postgres.queries import load

_SQL = load("drafts")


class Drafts:
    """Of a bot whose row the caller has locked before it writes."""

    def __init__(self, tx: Transaction, tenant_id: TenantId, chatbot_id: ChatbotId) -> None:
        self._tx = tx
        self._of = {"tenant_id": tenant_id, "chatbot_id": chatbot_id}

    async def find(self) -> Draft | None:
        row = await fetch_one(self._tx, _SQL["get"], **self._of)
        if row is None:
            return None
        return Draft(ChatbotConfig.model_validate(row["config"]), row["base_version"], row["updated_at"])

    async def get(self) -> Draft:
        """Raises NotFound."""
        found = await self.find()
        if found is None:
            raise NotFound("The chatbot has no draft.")
        return found

    async def put(self, base_version: int, config: ChatbotConfig) -> Draft:
        """In place of an earlier one."""
        values = {"base_version": base_version, "config": Jsonb(config.model_dump(mode="json"))}
        row = await fetch_one(self._tx, _SQL["put"], **self._of, **values)
        assert row is not None
        return Draft(config, row["base_version"], row["updated_at"])

    async def delete(self) -> bool:
        """False when there was none."""
        return bool(await execute(self._tx, _SQL["delete"], **self._of))

    async def gate(self) -> GateSpec | None:
        row = await fetch_one(self._tx, _SQL["gate"], **self._of)
        return None if row is None else GateSpec.model_validate(dict(row))

    async def put_gate(self, gate: GateSpec) -> None:
        """Of a question set of the bot."""
        rules = Jsonb([rule.model_dump(mode="json") for rule in gate.rules])
        values = {"question_set_id": gate.question_set_id, "mode": gate.mode.value, "rules": rules}
        await execute(self._tx, _SQL["put_gate"], **self._of, **values)

    async def delete_gate(self) -> bool:
        """False when there was none."""
        return bool(await execute(self._tx, _SQL["delete_gate"], **self._of))
