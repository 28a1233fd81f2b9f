-- The audit log: one hash chain per tenant, its heads, and the list of anchors kept outside the database.
-- No foreign key to tenants: what was recorded outlives what it tells of.

create table audit_events (
    tenant_id uuid not null,
    seq bigint not null check (seq > 0),
    at timestamptz not null,
    actor_kind text not null,
    actor_id text,
    action text not null,
    target_kind text not null,
    target_id text,
    ip text,
    request_id text,
    details jsonb not null,
    previous_hash bytea not null check (length(previous_hash) = 32),
    hash bytea not null check (length(hash) = 32),
    primary key (tenant_id, seq)
);
create index audit_events_action on audit_events (tenant_id, action, seq);
create index audit_events_actor on audit_events (tenant_id, actor_id, seq);

-- Locked by every append, so that a tenant's events follow each other without a gap.
create table audit_heads (
    tenant_id uuid primary key,
    seq bigint not null,
    hash bytea not null,
    anchored_hash bytea
);
create index audit_heads_unanchored on audit_heads (tenant_id) where anchored_hash is distinct from hash;

-- Which anchor objects were written. Not a tenant table: an anchor holds the heads of many.
create table audit_anchors (
    number bigint primary key check (number > 0),
    key text not null unique,
    mac bytea not null,
    at timestamptz not null default now()
);

-- Grants do not bind superusers; this does, unless they own the table or switch triggers off.
create function audit_is_append_only() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp
    as $$
begin
    if current_user <> (select pg_get_userbyid(relowner) from pg_class where oid = tg_relid) then
        raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    return new;
end $$;

do $$
declare
    t text;
begin
    foreach t in array array['audit_events', 'audit_anchors'] loop
        execute format(
            'create trigger append_only before update or delete on %I for each row execute function audit_is_append_only()',
            t
        );
        execute format(
            'create trigger append_only_whole before truncate on %I for each statement execute function audit_is_append_only()',
            t
        );
    end loop;
    foreach t in array array['audit_events', 'audit_heads', 'audit_anchors'] loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format('create policy system on %I to loquent_system using (true) with check (true)', t);
    end loop;
    foreach t in array array['audit_events', 'audit_heads'] loop
        execute format(
            'create policy tenant on %I to loquent_app using (tenant_id = (select app_tenant())) with check (tenant_id = (select app_tenant()))',
            t
        );
    end loop;
end $$;

grant select, insert on audit_events to loquent_app, loquent_system;
grant select, insert, update on audit_heads to loquent_app, loquent_system;
grant select, insert on audit_anchors to loquent_system;
