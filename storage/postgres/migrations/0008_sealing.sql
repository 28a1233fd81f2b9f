-- Encryption at rest: a data key per tenant, and sealed columns beside those in clear.
-- What is there already stays readable; the relay seals it in batches and empties the clear columns (actors/sealing.py).

-- Versions of a tenant's data key, wrapped by the master key. A shredded version stays as a mark, so that no new key
-- takes its place.
create table tenant_keys (
    tenant_id uuid not null references tenants (id) on delete cascade,
    version integer not null check (version > 0),
    master_key_id text not null,
    wrapped bytea,
    created_at timestamptz not null default now(),
    -- Seals new values from then on: every process has read it by then.
    active_from timestamptz not null default now(),
    shredded_at timestamptz,
    primary key (tenant_id, version),
    check ((wrapped is null) = (shredded_at is not null))
);

alter table tenant_keys enable row level security;
alter table tenant_keys force row level security;
create policy tenant on tenant_keys to loquent_app
    using (tenant_id = (select app_tenant())) with check (tenant_id = (select app_tenant()));
create policy system on tenant_keys to loquent_system using (true) with check (true);
grant select, insert on tenant_keys to loquent_app;
grant select, insert, update, delete on tenant_keys to loquent_system;

alter table messages
    add column sealed bytea,
    alter column content drop not null,
    add constraint messages_one_content check ((content is null) = (sealed is not null));
create index messages_clear on messages (tenant_id, id) where sealed is null;

-- The document's name, the section and the snippet, together.
alter table citations
    add column sealed bytea,
    alter column document_name drop not null,
    alter column snippet drop not null,
    add constraint citations_one_content
        check (case when sealed is null then document_name is not null and snippet is not null
               else num_nonnulls(document_name, section, snippet) = 0 end);
create index citations_clear on citations (tenant_id, message_id, position) where sealed is null;

alter table sessions
    add column sealed_title bytea,
    add constraint sessions_one_title check (sealed_title is null or title = '');
create index sessions_clear on sessions (tenant_id, id) where title <> '';

alter table feedback
    add column sealed_comment bytea,
    add constraint feedback_one_comment check (sealed_comment is null or comment = '');
create index feedback_clear on feedback (tenant_id, message_id) where comment <> '';

-- Which version of the key the files are sealed with; null for files in clear.
alter table documents add column sealed_version integer;
create index documents_clear on documents (tenant_id, id) where sealed_version is null;
