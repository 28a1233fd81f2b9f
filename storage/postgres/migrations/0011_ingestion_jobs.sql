-- Ingestion jobs: what was asked for in bulk, which documents came of it, and what could not be one.

-- Handed over in bulk: it waits behind the tenant's documents that somebody handed over one by one.
alter table documents add column bulk boolean not null default false;

create table ingestion_jobs (
    tenant_id uuid not null,
    id uuid not null,
    chatbot_id uuid not null,
    name text not null default '',
    kind text not null,
    -- Addresses and bounds, as they were asked for.
    source jsonb not null default '{}',
    -- The same with its secrets, while it has to be read.
    sealed_source bytea,
    -- A document takes the place of earlier ones of the same source.
    replaces boolean not null default false,
    state text not null
        check (state in ('queued', 'discovering', 'running', 'completed', 'failed', 'cancelled')),
    reason text,
    requested_by text not null,
    attempts integer not null default 0,
    found integer not null default 0,
    waiting integer not null default 0,
    unchanged integer not null default 0,
    ready integer not null default 0,
    failed integer not null default 0,
    chunks bigint not null default 0,
    documents_per_second real not null default 0,
    chunks_per_second real not null default 0,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    -- Nothing more is handed over.
    sealed_at timestamptz,
    ended_at timestamptz,
    -- When the counts were last other than before.
    updated_at timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, chatbot_id) references chatbots (tenant_id, id) on delete cascade
);
create index ingestion_jobs_list on ingestion_jobs (tenant_id, chatbot_id, id);
create index ingestion_jobs_open on ingestion_jobs (id) where ended_at is null;
create index ingestion_jobs_ended on ingestion_jobs (ended_at) where ended_at is not null;

-- `key` is the document's id; of what never became one, a digest of where it came from.
create table ingestion_job_items (
    tenant_id uuid not null,
    job_id uuid not null,
    key text not null,
    document_id uuid,
    name text not null default '',
    state text not null check (state in ('queued', 'ready', 'failed', 'unchanged')),
    reason text,
    chunks integer not null default 0,
    at timestamptz not null default now(),
    primary key (tenant_id, job_id, key),
    foreign key (tenant_id, job_id) references ingestion_jobs (tenant_id, id) on delete cascade,
    -- The name and the reason go with the document.
    foreign key (tenant_id, document_id) references documents (tenant_id, id) on delete cascade
);
create index ingestion_job_items_document on ingestion_job_items (tenant_id, document_id);
create index ingestion_job_items_failed on ingestion_job_items (tenant_id, job_id, key) where state = 'failed';
create index ingestion_job_items_queued on ingestion_job_items (tenant_id, job_id) where state = 'queued';

do $$
declare
    t text;
begin
    foreach t in array array['ingestion_jobs', 'ingestion_job_items'] loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format(
            'create policy tenant on %I to loquent_app using (tenant_id = (select app_tenant())) with check (tenant_id = (select app_tenant()))',
            t
        );
        execute format('create policy system on %I to loquent_system using (true) with check (true)', t);
    end loop;
end $$;

grant select, insert, update on ingestion_jobs, ingestion_job_items to loquent_app;
-- Deleted with a tenant or chatbot that is erased.
grant delete on ingestion_jobs, ingestion_job_items to loquent_app;
grant select, insert, update, delete on ingestion_jobs, ingestion_job_items to loquent_system;
