-- What prompts tell of the visitor, and summaries of what a conversation's window no longer holds.

-- The language tag that the session's client sent last.
alter table sessions add column locale text not null default '' check (length(locale) <= 35);

-- What the tenant's server vouches for, sealed; null for nothing.
alter table visitors add column sealed_attributes bytea;

-- A summary reaches from a branch's first turn to the one that it hangs on: whoever continues another branch has no
-- use for it. Later ones on the same branch hold what earlier ones said.
create table session_summaries (
    tenant_id uuid not null,
    session_id uuid not null,
    turn_id uuid not null,
    sealed bytea not null,
    model text not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, turn_id),
    foreign key (tenant_id, session_id) references sessions (tenant_id, id) on delete cascade,
    foreign key (tenant_id, turn_id) references turns (tenant_id, id) on delete cascade
);
create index session_summaries_of_session on session_summaries (tenant_id, session_id);

alter table session_summaries enable row level security;
alter table session_summaries force row level security;
create policy tenant on session_summaries to loquent_app
    using (tenant_id = (select app_tenant())) with check (tenant_id = (select app_tenant()));
create policy system on session_summaries to loquent_system using (true) with check (true);

grant select, insert, update, delete on session_summaries to loquent_app, loquent_system;
