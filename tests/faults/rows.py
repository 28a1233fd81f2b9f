"""What the database holds of a run's tenants and sessions, read in one snapshot past row-level security."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from domain.ids import MessageId, SessionId
from domain.sealing import StoredKey, WrappedKey, message_place
from storage.keys import LocalMasterKeys, TenantCipher, Vault, parse_master_keys

Row = dict[str, Any]
Drift = dict[tuple[str, str], int]
"""Tokens or turns by tenant and sum."""

_TURNS = """
select tenant_id::text, id::text, session_id::text, client_id, user_message_id::text, state, epoch
from turns where session_id = any(%(sessions)s::uuid[])"""
_MESSAGES = """
select tenant_id::text, id::text, session_id::text, turn_id::text, role, sealed
from messages where session_id = any(%(sessions)s::uuid[])"""
_LEDGER = """
select tenant_id::text, turn_id::text, kind, prompt_tokens, completion_tokens, cached_tokens
from usage_ledger where session_id = any(%(sessions)s::uuid[])"""
_OUTBOX = """
select o.id, o.tenant_id::text, o.kind, o.payload, o.published_at is not null as published,
       (select count(*) from handled_events h where h.event_id = o.id and h.consumer = 'usage') as counted
from outbox o
where o.tenant_id = any(%(tenants)s::uuid[]) and o.aggregate = any(%(aggregates)s)"""
_TOTALS = """
select t.id::text as tenant_id,
       (select coalesce(sum(prompt_tokens), 0)::bigint from usage_ledger where tenant_id = t.id) as ledger_prompt,
       (select coalesce(sum(completion_tokens), 0)::bigint from usage_ledger where tenant_id = t.id) as ledger_answer,
       (select count(*) from usage_ledger where tenant_id = t.id and kind = 'turn') as ledger_turns,
       (select coalesce(sum(prompt_tokens), 0)::bigint from usage_daily where tenant_id = t.id) as daily_prompt,
       (select coalesce(sum(completion_tokens), 0)::bigint from usage_daily where tenant_id = t.id) as daily_answer,
       (select coalesce(sum(turns), 0)::bigint from usage_daily where tenant_id = t.id) as daily_turns
from tenants t where t.id = any(%(tenants)s::uuid[])"""
_RECENT_MESSAGES = """
select 'message' as kind, tenant_id::text, id::text, session_id::text, sealed from messages
where tenant_id = any(%(tenants)s::uuid[]) and created_at >= %(since)s"""
_RECENT_EVENTS = """
select 'outbox' as kind, tenant_id::text, payload::text as text from outbox
where tenant_id = any(%(tenants)s::uuid[]) and created_at >= %(since)s"""
_KEYS = """
select tenant_id, version, master_key_id, wrapped from tenant_keys where tenant_id = any(%(tenants)s::uuid[])"""


@dataclass(slots=True)
class Rows:
    """Ids are text. `texts` are the messages and outbox payloads of the tenants since the run began."""

    turns: list[Row] = field(default_factory=list)
    messages: list[Row] = field(default_factory=list)
    ledger: list[Row] = field(default_factory=list)
    outbox: list[Row] = field(default_factory=list)
    totals: list[Row] = field(default_factory=list)
    texts: list[Row] = field(default_factory=list)

    def open_turns(self) -> list[Row]:
        return [turn for turn in self.turns if turn["state"] in ("accepted", "running")]

    def published(self) -> bool:
        return all(event["published"] for event in self.outbox)

    def drift(self) -> Drift:
        """How much the daily sums lack of the ledger; empty once everything is counted."""
        lacking = {
            (total["tenant_id"], name): int(total[f"ledger_{name}"]) - int(total[f"daily_{name}"])
            for total in self.totals
            for name in ("prompt", "answer", "turns")
        }
        return {key: amount for key, amount in lacking.items() if amount}


async def load_rows(
    system_url: str, tenants: list[str], sessions: list[str], since: datetime, master_keys: str
) -> Rows:
    """Messages come opened, as `content`. Raises psycopg.OperationalError while the database is away."""
    values = {
        "tenants": tenants,
        "sessions": sessions,
        "aggregates": [f"session:{session}" for session in sessions],
        "since": since,
    }
    connection = await psycopg.AsyncConnection.connect(system_url, row_factory=dict_row, connect_timeout=5)
    async with connection:
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        found = [
            await (await connection.execute(statement.encode(), values)).fetchall()
            for statement in (_TURNS, _MESSAGES, _LEDGER, _OUTBOX, _TOTALS, _RECENT_EVENTS, _RECENT_MESSAGES, _KEYS)
        ]
    *rows, events, recent, keys = found
    ciphers = await _ciphers(keys, master_keys)
    for message in rows[1]:
        message["content"] = _opened(ciphers, message)
    texts = [{"kind": row["kind"], "tenant_id": row["tenant_id"], "text": _opened(ciphers, row)} for row in recent]
    turns, messages, ledger, outbox, totals = rows
    return Rows(turns, messages, ledger, outbox, totals, [*texts, *events])


async def _ciphers(keys: list[Row], master_keys: str) -> dict[str, TenantCipher]:
    vault = Vault(LocalMasterKeys(parse_master_keys(master_keys)))
    return {
        str(tenant): await vault.unwrap(
            tenant,
            [
                StoredKey(key["version"], WrappedKey(key["master_key_id"], key["wrapped"]), 0.0)
                for key in keys
                if key["tenant_id"] == tenant
            ],
        )
        for tenant in {key["tenant_id"] for key in keys}
    }


def _opened(ciphers: dict[str, TenantCipher], row: Row) -> str:
    place = message_place(SessionId(UUID(row["session_id"])), MessageId(UUID(row["id"])))
    return ciphers[row["tenant_id"]].open_text(place, row["sealed"])
