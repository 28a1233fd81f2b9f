-- Branches, visitors, closed sessions, delivery receipts and feedback.

create table visitors (
    tenant_id uuid not null,
    id uuid not null,
    chatbot_id uuid not null,
    external_id text,
    created_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    primary key (tenant_id, id),
    unique (tenant_id, chatbot_id, external_id),
    foreign key (tenant_id, chatbot_id) references chatbots (tenant_id, id) on delete cascade
);

-- A turn continues its parent; turns of one parent are versions of each other. A regenerated turn answers the
-- question of another turn again and has no message of its own for it.
alter table turns
    add column parent_turn_id uuid,
    add foreign key (tenant_id, parent_turn_id) references turns (tenant_id, id) on delete cascade;
create index turns_children on turns (tenant_id, session_id, parent_turn_id);
create index turns_open on turns (tenant_id) where state in ('accepted', 'running');

alter table sessions
    add column head_turn_id uuid,
    add column visitor_id uuid,
    add column closed_at timestamptz,
    add foreign key (tenant_id, visitor_id) references visitors (tenant_id, id) on delete cascade;
create index sessions_of_visitor on sessions (tenant_id, visitor_id, id) where visitor_id is not null;

alter table messages add column delivered_at timestamptz;
create index messages_undelivered on messages (tenant_id, session_id, id)
    where role = 'assistant' and delivered_at is null;

-- A visitor who comes names the chatbot only.
create index chatbots_by_id on chatbots (id);

create table feedback (
    tenant_id uuid not null,
    message_id uuid not null,
    rating text not null check (rating in ('up', 'down')),
    comment text not null default '',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, message_id),
    foreign key (tenant_id, message_id) references messages (tenant_id, id) on delete cascade
);

-- What exists so far is one line per session. Row security is forced on its owner too, who is migrating.
do $$
begin
    alter table turns no force row level security;
    alter table sessions no force row level security;
    alter table messages no force row level security;
    update turns t set parent_turn_id = line.parent
    from (select tenant_id, id, lag(id) over (partition by tenant_id, session_id order by id) as parent from turns) line
    where line.tenant_id = t.tenant_id and line.id = t.id;
    update sessions s set head_turn_id = latest.id
    from (select distinct on (tenant_id, session_id) tenant_id, session_id, id
          from turns order by tenant_id, session_id, id desc) latest
    where latest.tenant_id = s.tenant_id and latest.session_id = s.id;
    update messages set delivered_at = created_at where role = 'assistant';
    alter table turns force row level security;
    alter table sessions force row level security;
    alter table messages force row level security;
end $$;

do $$
declare
    t text;
begin
    foreach t in array array['visitors', 'feedback'] loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format(
            'create policy tenant on %I to loquent_app using (tenant_id = (select app_tenant())) with check (tenant_id = (select app_tenant()))',
            t
        );
        execute format('create policy system on %I to loquent_system using (true) with check (true)', t);
    end loop;
end $$;

grant select, insert, update, delete on visitors, feedback to loquent_app, loquent_system;
