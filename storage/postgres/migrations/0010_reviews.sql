-- What the checks of turns found, and messages that a person looks at because of it.

alter table turns
    add column guard_verdict text check (guard_verdict in ('flagged', 'redacted', 'blocked')),
    add column guard_notes jsonb;

alter table messages add column withheld_at timestamptz;

-- Points to the message and holds nothing of it: the queue is not a second copy of conversations.
create table reviews (
    tenant_id uuid not null,
    id uuid not null,
    chatbot_id uuid not null,
    session_id uuid not null,
    turn_id uuid not null,
    message_id uuid not null,
    place text not null check (place in ('input', 'retrieved', 'output')),
    check_name text not null,
    outcome text not null check (outcome in ('flagged', 'dropped', 'blocked')),
    score double precision not null check (score between 0 and 1),
    state text not null default 'pending' check (state in ('pending', 'approved', 'rejected')),
    note text not null default '',
    decided_by uuid,
    decided_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    unique (tenant_id, turn_id, place, check_name),
    foreign key (tenant_id, chatbot_id) references chatbots (tenant_id, id) on delete cascade,
    foreign key (tenant_id, session_id) references sessions (tenant_id, id) on delete cascade,
    foreign key (tenant_id, turn_id) references turns (tenant_id, id) on delete cascade,
    foreign key (tenant_id, message_id) references messages (tenant_id, id) on delete cascade,
    check ((state = 'pending') = (decided_at is null))
);
create index reviews_by_state on reviews (tenant_id, state, id);
create index reviews_of_bot on reviews (tenant_id, chatbot_id);
create index reviews_of_session on reviews (tenant_id, session_id);
create index reviews_of_message on reviews (tenant_id, message_id);

alter table reviews enable row level security;
alter table reviews force row level security;
create policy tenant on reviews to loquent_app
    using (tenant_id = (select app_tenant())) with check (tenant_id = (select app_tenant()));
create policy system on reviews to loquent_system using (true) with check (true);

grant select, insert, update on reviews to loquent_app;
-- Deleted with a tenant that is erased.
grant select, insert, update, delete on reviews to loquent_system;
