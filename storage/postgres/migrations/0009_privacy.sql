-- Erasures with their receipts, exports, consent, and what they need to look for.

-- A tenant that was erased leaves a row without a name: its ledger and invoices hang on it.
alter table tenants add column erased_at timestamptz;

-- Snippets of a document go with the document.
create index citations_document on citations (tenant_id, document_id);
create index sessions_idle on sessions (tenant_id, chatbot_id, updated_at);

-- No foreign keys: an erasure outlives what it erases.
create table erasures (
    tenant_id uuid not null,
    id uuid not null,
    kind text not null check (kind in ('visitor', 'session', 'document', 'chatbot', 'tenant', 'retention')),
    subject uuid not null,
    chatbot_id uuid,
    state text not null default 'requested' check (state in ('requested', 'running', 'done', 'cancelled')),
    requested_by text not null,
    requested_at timestamptz not null default now(),
    -- Before this nothing is erased, and the request can be taken back.
    not_before timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    -- Ids by kind that the erasure has to look for; emptied at its end.
    related jsonb not null default '{}',
    -- What was done since the last verification.
    steps text[] not null default '{}',
    counts jsonb not null default '{}',
    attempts integer not null default 0,
    next_try_at timestamptz not null default now(),
    error text,
    receipt text,
    primary key (tenant_id, id)
);
create unique index erasures_open on erasures (tenant_id, kind, subject)
    where state in ('requested', 'running') and kind <> 'retention';
create index erasures_waiting on erasures (next_try_at) where state in ('requested', 'running');

create table exports (
    tenant_id uuid not null references tenants (id) on delete cascade,
    id uuid not null,
    kind text not null check (kind in ('visitor', 'member', 'tenant')),
    subject uuid not null,
    state text not null default 'requested' check (state in ('requested', 'running', 'done', 'failed')),
    requested_by text not null,
    requested_at timestamptz not null default now(),
    finished_at timestamptz,
    expires_at timestamptz,
    size bigint,
    sha256 text,
    attempts integer not null default 0,
    primary key (tenant_id, id)
);
create unique index exports_open on exports (tenant_id, kind, subject) where state in ('requested', 'running');
create index exports_waiting on exports (requested_at) where state in ('requested', 'running');
create index exports_expiring on exports (expires_at) where state = 'done';

-- Only ever added to; the newest row of a policy's version counts.
create table consents (
    tenant_id uuid not null,
    id uuid not null,
    chatbot_id uuid not null,
    visitor_id uuid not null,
    policy_version text not null,
    -- Shortened: the last octet of IPv4, the last ten of IPv6 are zero.
    ip text,
    at timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, visitor_id) references visitors (tenant_id, id) on delete cascade
);
create index consents_of_visitor on consents (tenant_id, visitor_id, policy_version);

do $$
declare
    t text;
begin
    foreach t in array array['erasures', 'exports', 'consents'] loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format(
            'create policy tenant on %I to loquent_app using (tenant_id = (select app_tenant())) with check (tenant_id = (select app_tenant()))',
            t
        );
        execute format('create policy system on %I to loquent_system using (true) with check (true)', t);
    end loop;
end $$;

-- Tables of a tenant whose rows its erasure removes: every one that has a tenant_id, so that a new table is not forgotten,
-- but those which law or billing keeps, and the outbox, whose rows wait until they were relayed.
create function erasable_tables() returns setof text
    language sql stable set search_path = pg_catalog, public, pg_temp
    as $$
    select c.relname::text
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
    where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace
      and c.relname not in ('usage_ledger', 'usage_daily', 'subscriptions', 'invoices', 'audit_events', 'audit_heads',
                            'erasures', 'outbox', 'handled_events', 'tenant_keys')
    order by 1
$$;

-- The rows that a tenant has (`remove` false) or had (true), by table.
create function tenant_rows(tenant uuid, remove boolean) returns table (name text, total bigint)
    language plpgsql set search_path = pg_catalog, public, pg_temp
    as $$
begin
    -- All are counted before any goes: one table's rows take those of others along.
    for name in select * from erasable_tables() loop
        execute format('select count(*) from %I where tenant_id = $1', name) into total using tenant;
        if total > 0 then
            return next;
        end if;
    end loop;
    if remove then
        for name in select * from erasable_tables() loop
            execute format('delete from %I where tenant_id = $1', name) using tenant;
        end loop;
    end if;
end $$;
revoke all on function tenant_rows(uuid, boolean) from public;
grant execute on function tenant_rows(uuid, boolean) to loquent_system;

grant select, insert, update on erasures to loquent_app;
grant select, insert, update, delete on exports to loquent_app;
grant select, insert on consents to loquent_app;
grant select, insert, update, delete on erasures, exports, consents to loquent_system;
grant delete on outbox to loquent_app;
grant delete on api_keys to loquent_system;
