"""Tenants, chatbots and sessions written straight into an installation's database, and their tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from configs.settings import Settings
from deployments.gateway.tokens import AccessTokens
from domain.chatbot import ChatbotConfig
from domain.ids import ChatbotId, SignInId, TenantId, UserId, new_uuid
from domain.retrieval.configuration import Grounding, RetrievalConfig
from domain.tenancy import Principal, Role
from tests.fixtures.platform import Platform

PLAN = "pro"
"""Of the tenants: room for every stream of a measurement, on hosts that tenants share."""

OPEN = ChatbotConfig(retrieval=RetrievalConfig(grounding=Grounding.OPEN))
"""Answers without documents, from the model alone."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A place to chat: the socket's URL of one session, and a token of its tenant."""

    tenant_id: TenantId
    url: str
    token: str


@dataclass(frozen=True, slots=True)
class BotSeat:
    """A bot, and a token of its tenant."""

    tenant_id: TenantId
    chatbot_id: ChatbotId
    token: str


class Population:
    """Writes as the system role, which sees all tenants."""

    def __init__(self, platform: Platform) -> None:
        self._base = platform.url.replace("http", "ws", 1)
        secret = (platform.folder / "secret_key").read_text("ascii").strip()
        self.owner_url, self._system_url = platform.owner_url, platform.system_url
        self._tokens = AccessTokens(Settings(secret_key=SecretStr(secret), _env_file=None))

    def tenants(self, count: int, plan: str = PLAN) -> list[TenantId]:
        """New tenants without people."""
        ids = [new_uuid() for _ in range(count)]
        self._write("insert into tenants (id, name, plan) select unnest(%s::uuid[]), 'bench', %s", ids, plan)
        return [TenantId(id_) for id_ in ids]

    def seats(
        self, tenants: Sequence[TenantId], each: int, model: str, max_tokens: int = 4096, config: ChatbotConfig = OPEN
    ) -> list[Seat]:
        """A new bot for every tenant and `each` sessions of it; the tenants alternate.

        The bots have no documents and answer from the model alone.
        """
        fields = config.model_copy(update={"model": model, "max_tokens": max_tokens}).model_dump(mode="json")
        bots = self._new_bots(tenants, fields)
        rows = [(tenant, bot, new_uuid()) for _ in range(each) for tenant, bot in zip(tenants, bots, strict=True)]
        self._write(
            "insert into sessions (tenant_id, chatbot_id, id)"
            " select unnest(%s::uuid[]), unnest(%s::uuid[]), unnest(%s::uuid[])",
            *(list(column) for column in zip(*rows, strict=True)),
        )
        tokens = self._tokens_of(tenants)
        return [
            Seat(tenant, f"{self._base}/chatbots/{bot}/sessions/{session}/ws", tokens[tenant])
            for tenant, bot, session in rows
        ]

    def bots(self, count: int, config: ChatbotConfig | None = None) -> list[BotSeat]:
        """New tenants with a bot each, which has the default configuration unless there is another."""
        tenants = self.tenants(count)
        fields = (config or ChatbotConfig()).model_dump(mode="json")
        bots, tokens = self._new_bots(tenants, fields), self._tokens_of(tenants)
        return [BotSeat(tenant, bot, tokens[tenant]) for tenant, bot in zip(tenants, bots, strict=True)]

    def _new_bots(self, tenants: Sequence[TenantId], config: dict[str, Any]) -> list[ChatbotId]:
        """One of each tenant."""
        bots = [ChatbotId(new_uuid()) for _ in tenants]
        self._write(
            "insert into chatbots (tenant_id, id, name) select unnest(%s::uuid[]), unnest(%s::uuid[]), 'bench'",
            list(tenants),
            bots,
        )
        self._write(
            "insert into chatbot_configs (tenant_id, chatbot_id, version, config)"
            " select unnest(%s::uuid[]), unnest(%s::uuid[]), 1, %s",
            list(tenants),
            bots,
            Jsonb(config),
        )
        return bots

    def _tokens_of(self, tenants: Sequence[TenantId]) -> dict[TenantId, str]:
        """Of a new owner of each."""
        people = [UserId(new_uuid()) for _ in tenants]
        self._write(
            "insert into users (id, email, password_hash)"
            " select id, id::text || '@bench.example', 'none' from unnest(%s::uuid[]) id",
            people,
        )
        self._write(
            "insert into memberships (tenant_id, user_id, role) select unnest(%s::uuid[]), unnest(%s::uuid[]), 'owner'",
            list(tenants),
            people,
        )
        sign_ins = [SignInId(new_uuid()) for _ in tenants]
        self._write(
            "insert into sign_ins (tenant_id, id, user_id, method, user_agent, expires_at)"
            " select unnest(%s::uuid[]), unnest(%s::uuid[]), unnest(%s::uuid[]), 'password', 'bench',"
            " now() + interval '1 day'",
            list(tenants),
            sign_ins,
            people,
        )
        return {
            tenant: self._tokens.sign(Principal(tenant, person, Role.OWNER, sign_in))
            for tenant, person, sign_in in zip(tenants, people, sign_ins, strict=True)
        }

    def count(self, query: str, *values: Any) -> int:
        """The number that a query finds, across tenants."""
        with psycopg.connect(self._system_url) as connection:
            row = connection.execute(query.encode(), values).fetchone()
        assert row is not None
        return int(row[0])

    def analyze(self) -> None:
        """What autovacuum does by itself within a minute after many rows came."""
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            connection.execute("analyze")

    def _write(self, statement: str, *values: Any) -> None:
        with psycopg.connect(self._system_url) as connection:
            connection.execute(statement.encode(), values)
