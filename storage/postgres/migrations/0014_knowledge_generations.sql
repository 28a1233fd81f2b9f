-- Generations of a bot's knowledge: the same documents in another table, made with another model or chunking, built
-- beside the live one. Which one answers is a column of the bot, so that a turn reads it with the configuration.

alter table chatbots
    add column knowledge_generation integer not null default 0 check (knowledge_generation >= 0),
    -- Of the live generation's vectors; null until the first document is ingested.
    add column knowledge_model text,
    -- When its tables were last compacted and their indexes refreshed.
    add column upkept_at timestamptz;
create index chatbots_by_upkeep on chatbots (upkept_at nulls first);

create table knowledge_generations (
    tenant_id uuid not null,
    chatbot_id uuid not null,
    generation integer not null check (generation >= 0),
    model text not null,
    chunking jsonb not null,
    state text not null default 'building'
        check (state in ('building', 'ready', 'live', 'retired', 'failed', 'cancelled', 'removed')),
    reason text,
    -- Rounds of work that began and did not end.
    attempts integer not null default 0,
    worked_at timestamptz,
    next_try_at timestamptz not null default now(),
    comparison jsonb,
    requested_by text not null,
    created_at timestamptz not null default now(),
    built_at timestamptz,
    switched_at timestamptz,
    -- Until when a retired one is kept.
    expires_at timestamptz,
    -- When the table of one that has ended was removed.
    dropped_at timestamptz,
    primary key (tenant_id, chatbot_id, generation),
    foreign key (tenant_id, chatbot_id) references chatbots (tenant_id, id) on delete cascade,
    check ((state = 'retired') = (expires_at is not null))
);
create unique index knowledge_candidate on knowledge_generations (tenant_id, chatbot_id)
    where state in ('building', 'ready');
create unique index knowledge_live on knowledge_generations (tenant_id, chatbot_id) where state = 'live';
create index knowledge_to_work_on on knowledge_generations (next_try_at)
    where state in ('building', 'ready', 'retired');
create index knowledge_to_drop on knowledge_generations (created_at)
    where state in ('failed', 'cancelled', 'removed') and dropped_at is null;

-- Which documents a generation holds that is not live; the live one holds all that are ready.
create table generation_documents (
    tenant_id uuid not null,
    chatbot_id uuid not null,
    generation integer not null,
    document_id uuid not null,
    chunks integer,
    chunked_with text,
    -- Why it could not be taken in.
    reason text,
    at timestamptz not null default now(),
    primary key (tenant_id, chatbot_id, generation, document_id),
    foreign key (tenant_id, chatbot_id, generation)
        references knowledge_generations (tenant_id, chatbot_id, generation) on delete cascade,
    foreign key (tenant_id, document_id) references documents (tenant_id, id) on delete cascade,
    check ((chunks is null) = (reason is not null))
);
create index generation_documents_of_document on generation_documents (tenant_id, document_id);

do $$
declare
    t text;
begin
    foreach t in array array['knowledge_generations', 'generation_documents'] loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format(
            'create policy tenant on %I to loquent_app using (tenant_id = (select app_tenant())) with check (tenant_id = (select app_tenant()))',
            t
        );
        execute format('create policy system on %I to loquent_system using (true) with check (true)', t);
    end loop;
end $$;

grant select, insert, update, delete on knowledge_generations, generation_documents to loquent_app, loquent_system;
