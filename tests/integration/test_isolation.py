"""Two tenants with rows in every tenant table: they never meet, and the check would notice if they did."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg.sql import SQL, Composed, Identifier

from domain.ids import TenantId, new_uuid
from storage.postgres.database import Database, Transaction, system_tx, tenant_tx
from storage.postgres.migrator import migrate, role_urls

SECRET = "isolation-tests"
NO_TENANT = {
    "account_links",
    "audit_anchors",
    "external_identities",
    "mail_queue",
    "recovery_codes",
    "schema_migrations",
    "staff",
    "totp_factors",
    "users",
    "webhook_inbox",
}

SEED = """
insert into tenants (id, name) values (%(tenant)s, 'Example');
insert into tenant_keys (tenant_id, version, master_key_id, wrapped) values (%(tenant)s, 1, 'test', 'x');
insert into users (id, email, password_hash) values (%(user)s, %(user)s::text || '@example.com', 'x');
insert into memberships (tenant_id, user_id, role) values (%(tenant)s, %(user)s, 'owner');
insert into sign_ins (tenant_id, id, user_id, method, user_agent, expires_at)
    values (%(tenant)s, %(id)s, %(user)s, 'password', 'x', now() + interval '1 day');
insert into api_keys (tenant_id, id, created_by, name, scopes, prefix, secret_hash)
    values (%(tenant)s, %(id)s, %(user)s, 'Key', '{chatbots.read}', 'abcdefgh', sha256('x'));
insert into refresh_tokens (id, family, user_id, tenant_id, token_hash, expires_at)
    values (gen_random_uuid(), %(id)s, %(user)s, %(tenant)s, %(user)s::text::bytea, now());
insert into invitations (tenant_id, id, email, role, expires_at)
    values (%(tenant)s, gen_random_uuid(), 'a@example.com', 'editor', now());
insert into chatbots (tenant_id, id, name) values (%(tenant)s, %(id)s, 'Bot');
insert into chatbot_configs (tenant_id, chatbot_id, version, config) values (%(tenant)s, %(id)s, 1, '{}');
insert into documents (tenant_id, id, chatbot_id, name, media_type, size, content_hash)
    values (%(tenant)s, %(id)s, %(id)s, 'a.txt', 'text/plain', 1, 'x');
insert into ingestion_jobs (tenant_id, id, chatbot_id, kind, state, requested_by)
    values (%(tenant)s, %(id)s, %(id)s, 'upload', 'running', 'u');
insert into ingestion_job_items (tenant_id, job_id, key, document_id, state)
    values (%(tenant)s, %(id)s, 'k', %(id)s, 'queued');
insert into knowledge_generations (tenant_id, chatbot_id, generation, model, chunking, requested_by)
    values (%(tenant)s, %(id)s, 1, 'm', '{}', 'u');
insert into generation_documents (tenant_id, chatbot_id, generation, document_id, chunks)
    values (%(tenant)s, %(id)s, 1, %(id)s, 1);
insert into visitors (tenant_id, id, chatbot_id) values (%(tenant)s, %(id)s, %(id)s);
insert into sessions (tenant_id, id, chatbot_id, visitor_id) values (%(tenant)s, %(id)s, %(id)s, %(id)s);
insert into tenant_epochs (tenant_id, host) values (%(tenant)s, '0');
insert into turns (tenant_id, id, session_id, chatbot_id, config_version, client_id, user_message_id, epoch)
    values (%(tenant)s, %(id)s, %(id)s, %(id)s, 1, 'x', %(id)s, 1);
insert into messages (tenant_id, id, session_id, turn_id, role, content)
    values (%(tenant)s, %(id)s, %(id)s, %(id)s, 'user', 'Hello');
insert into feedback (tenant_id, message_id, rating) values (%(tenant)s, %(id)s, 'up');
insert into reviews (tenant_id, id, chatbot_id, session_id, turn_id, message_id, place, check_name, outcome, score)
    values (%(tenant)s, %(id)s, %(id)s, %(id)s, %(id)s, %(id)s, 'input', 'injection', 'flagged', 0.8);
insert into citations (tenant_id, message_id, position, document_id, document_name, span_start, span_end, snippet)
    values (%(tenant)s, %(id)s, 1, %(id)s, 'a.txt', 0, 1, 'x');
insert into usage_ledger (tenant_id, turn_id, chatbot_id, session_id, model, prompt_tokens, completion_tokens)
    values (%(tenant)s, %(id)s, %(id)s, %(id)s, 'm', 1, 1);
insert into session_summaries (tenant_id, session_id, turn_id, sealed, model)
    values (%(tenant)s, %(id)s, %(id)s, 'x', 'm');
insert into turn_traces (tenant_id, turn_id, sealed, expires_at) values (%(tenant)s, %(id)s, 'x', now());
insert into budget_notices (tenant_id, id, budget, level, period, most, used)
    values (%(tenant)s, %(id)s, 'tokens', 'soft', '2026-01-01', 10, 9);
insert into open_calls (tenant_id, id, chatbot_id, kind, model, epoch, prompt_tokens, completion_tokens, cost_micro)
    values (%(tenant)s, %(id)s, %(id)s, 'summary', 'm', 1, 1, 1, 1);
insert into usage_daily (tenant_id, day, chatbot_id) values (%(tenant)s, '2026-01-01', %(id)s);
insert into subscriptions (tenant_id, stripe_subscription_id, plan, status) values (%(tenant)s, 'sub', 'pro', 'active');
insert into invoices (tenant_id, stripe_invoice_id, status, currency, amount_due, amount_paid, created_at)
    values (%(tenant)s, 'in', 'paid', 'usd', 1, 1, now());
insert into outbox (tenant_id, kind, aggregate, payload) values (%(tenant)s, 'k', 'a', '{}');
insert into handled_events (consumer, event_id, tenant_id)
    select 'c', id, tenant_id from outbox where tenant_id = %(tenant)s;
insert into audit_events (tenant_id, seq, at, actor_kind, action, target_kind, details, previous_hash, hash)
    values (%(tenant)s, 1, now(), 'user', 'a', 't', '{}',
            decode(repeat('00', 32), 'hex'), decode(repeat('11', 32), 'hex'));
insert into erasures (tenant_id, id, kind, subject, requested_by) values (%(tenant)s, %(id)s, 'session', %(id)s, 'u');
insert into exports (tenant_id, id, kind, subject, requested_by) values (%(tenant)s, %(id)s, 'visitor', %(id)s, 'u');
insert into consents (tenant_id, id, chatbot_id, visitor_id, policy_version)
    values (%(tenant)s, %(id)s, %(id)s, %(id)s, '1');
insert into question_sets (tenant_id, id, chatbot_id, name) values (%(tenant)s, %(id)s, %(id)s, 'Set');
insert into evaluation_questions (tenant_id, id, question_set_id, source, answerable, sealed)
    values (%(tenant)s, %(id)s, %(id)s, 'upload', true, 'x');
insert into expected_passages (tenant_id, question_id, position, document_id, sealed)
    values (%(tenant)s, %(id)s, 1, %(id)s, 'x');
insert into evaluations (tenant_id, id, chatbot_id, question_set_id, revision, mode, config, knowledge, questions,
                         requested_by)
    values (%(tenant)s, %(id)s, %(id)s, %(id)s, 1, 'retrieval', '{}', '', 1, 'u');
insert into evaluation_results (tenant_id, evaluation_id, question_id, scores, passages)
    values (%(tenant)s, %(id)s, %(id)s, '{}', '[]');
insert into chatbot_drafts (tenant_id, chatbot_id, base_version, config) values (%(tenant)s, %(id)s, 1, '{}');
insert into publish_gates (tenant_id, chatbot_id, question_set_id, mode, rules)
    values (%(tenant)s, %(id)s, %(id)s, 'retrieval', '[]');
insert into audit_heads (tenant_id, seq, hash) values (%(tenant)s, 1, decode(repeat('11', 32), 'hex'));
"""
"""One row for one tenant in every table; `id` is shared by both tenants, as a guessed id would be."""


@dataclass(frozen=True)
class Table:
    """A table that holds tenants' rows, as the app role meets it."""

    name: str
    tenant_column: str
    columns: tuple[str, ...]
    rights: frozenset[str]

    def sql(self, template: str) -> Composed:
        others = [Identifier(column) for column in self.columns if column != self.tenant_column]
        comma = SQL(", ")
        return SQL(template).format(
            table=Identifier(self.name),
            tenant=Identifier(self.tenant_column),
            columns=comma.join([Identifier(self.tenant_column), *others]),
            values=comma.join([SQL("%(other)s"), *others]),
        )


@dataclass(frozen=True)
class Pair:
    db: Database
    owner: AsyncConnection[DictRow]
    a: TenantId
    b: TenantId


@pytest.fixture
async def pair(make_database: Callable[[], str]) -> AsyncIterator[Pair]:
    url = make_database()
    await migrate(url, SECRET)
    db = await Database.open(*role_urls(url, SECRET))
    tenants = (TenantId(new_uuid()), TenantId(new_uuid()))
    shared = new_uuid()
    async with system_tx(db) as tx:
        for tenant in tenants:
            values = {"tenant": tenant, "user": new_uuid(), "id": shared}
            for statement in SEED.strip().removesuffix(";").split(";\n"):
                await tx.execute(statement.encode(), values)
    owner: AsyncConnection[DictRow] = await AsyncConnection.connect(url, autocommit=True, row_factory=dict_row)
    async with owner:
        yield Pair(db, owner, *tenants)
    await db.close()


async def tenant_tables(owner: AsyncConnection[DictRow]) -> list[Table]:
    """From the catalogue, so that a new table is checked without being named here."""
    found = await owner.execute(
        "select c.relname as name, array_agg(a.attname::text order by a.attnum)"
        "  filter (where a.attidentity = '' and a.attgenerated = '') as columns,"
        " array(select p from unnest(array['select', 'insert', 'update', 'delete']) p"
        "  where has_table_privilege('loquent_app', c.oid, p)) as rights"
        " from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
        " where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace group by c.oid, c.relname"
    )
    return [
        Table(
            row["name"],
            "id" if row["name"] == "tenants" else "tenant_id",
            tuple(row["columns"]),
            frozenset(row["rights"]),
        )
        for row in await found.fetchall()
        if row["name"] not in NO_TENANT
    ]


async def seen(tx: Transaction, table: Table) -> list[UUID]:
    rows = await (await tx.execute(table.sql("select {tenant} as tenant from {table}"))).fetchall()
    return [row["tenant"] for row in rows]


async def assert_own_rows_only(pair: Pair) -> None:
    for table in await tenant_tables(pair.owner):
        if "select" in table.rights:
            async with tenant_tx(pair.db, pair.a) as tx:
                assert await seen(tx, table) == [pair.a], f"{table.name} shows another tenant's rows"


async def assert_no_tenant_no_rows(pair: Pair) -> None:
    for table in await tenant_tables(pair.owner):
        if "select" in table.rights:
            async with pair.db.app.connection() as tx:
                assert await seen(tx, table) == [], f"{table.name} shows rows to nobody"


async def assert_no_foreign_insert(pair: Pair) -> None:
    statement = "insert into {table} ({columns}) select {values} from {table} where {tenant} = %(own)s"
    for table in await tenant_tables(pair.owner):
        if "insert" in table.rights:
            assert await _refused(pair, table, statement), f"{table.name} takes another tenant's row"


async def assert_no_moving_away(pair: Pair) -> None:
    for table in await tenant_tables(pair.owner):
        if "update" in table.rights:
            statement = "update {table} set {tenant} = %(other)s where {tenant} = %(own)s"
            assert await _refused(pair, table, statement), f"{table.name} lets a row go to another tenant"


async def assert_no_touching(pair: Pair) -> None:
    for table in await tenant_tables(pair.owner):
        for right, statement in (
            ("update", "update {table} set {tenant} = {tenant} where {tenant} = %(other)s"),
            ("delete", "delete from {table} where {tenant} = %(other)s"),
        ):
            if right in table.rights:
                async with tenant_tx(pair.db, pair.a) as tx:
                    async with tx.pipeline():
                        done = await tx.execute(table.sql(statement), {"other": pair.b})
                    assert done.rowcount == 0, f"{table.name} lets another tenant {right}"


async def _refused(pair: Pair, table: Table, statement: str) -> bool:
    """Whether row-level security, and not some other constraint, stops the statement of tenant A."""
    try:
        async with tenant_tx(pair.db, pair.a) as tx:
            await tx.execute(table.sql(statement), {"own": pair.a, "other": pair.b})
    except psycopg.errors.InsufficientPrivilege as error:
        return "row-level security" in str(error)
    except psycopg.errors.IntegrityError:
        return False
    return False


async def test_the_seed_reaches_every_tenant_table(pair: Pair) -> None:
    tables = await tenant_tables(pair.owner)
    assert len(tables) >= 17
    async with system_tx(pair.db) as tx:
        for table in tables:
            assert sorted(await seen(tx, table)) == sorted([pair.a, pair.b]), table.name


CHECKS: tuple[Callable[[Pair], Awaitable[None]], ...] = (
    assert_own_rows_only,
    assert_no_tenant_no_rows,
    assert_no_foreign_insert,
    assert_no_moving_away,
    assert_no_touching,
)


async def test_a_tenant_meets_its_own_rows_only(pair: Pair) -> None:
    for check in CHECKS:
        await check(pair)


@pytest.mark.parametrize(
    "change",
    [
        "alter table messages disable row level security",
        "create policy oops on documents to public using (true) with check (true)",
    ],
)
async def test_each_check_would_notice_a_hole(pair: Pair, change: str) -> None:
    await pair.owner.execute(change.encode())
    for check in CHECKS:
        with pytest.raises(AssertionError, match=r"^(messages|documents) "):
            await check(pair)


@pytest.mark.parametrize("table", ["users", "webhook_inbox", "refresh_tokens", "audit_anchors"])
async def test_what_belongs_to_no_tenant_is_closed_to_all_of_them(pair: Pair, table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with tenant_tx(pair.db, pair.a) as tx:
            await tx.execute(SQL("select 1 from {}").format(Identifier(table)))


async def test_the_tenant_ends_with_its_transaction(pair: Pair) -> None:
    """A pooled connection that served A must not remember A."""
    for _ in range(3):
        async with tenant_tx(pair.db, pair.a) as tx:
            await tx.execute("select 1 from chatbots")
        async with pair.db.app.connection() as tx:
            assert await (await tx.execute("select id from chatbots")).fetchall() == []


@pytest.mark.parametrize("value", ["not-a-uuid", "' or true --", "00000000-0000-0000-0000-000000000000"])
async def test_a_strange_tenant_shows_nothing(pair: Pair, value: str) -> None:
    found: list[DictRow] = []
    try:
        async with pair.db.app.connection() as tx:
            await tx.execute("select set_config('app.tenant', %s, true)", [value])
            found = await (await tx.execute("select id from chatbots")).fetchall()
    except psycopg.errors.InvalidTextRepresentation:
        pass
    assert found == []
