-- Calls of models beside the turns that have begun and are not in the ledger yet, and notices of visitors' limits.

create table open_calls (
    tenant_id uuid not null,
    -- The ledger's row will have it too, so that a call is billed once.
    id uuid not null,
    chatbot_id uuid not null,
    kind text not null check (kind in ('summary')),
    model text not null,
    -- Of the host that makes it: once another has the tenant, nobody ends it any more.
    epoch bigint not null,
    -- What it is billed with when it is lost with its process.
    prompt_tokens bigint not null check (prompt_tokens >= 0),
    completion_tokens bigint not null check (completion_tokens >= 0),
    cost_micro bigint not null check (cost_micro >= 0),
    at timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id) references tenants (id) on delete cascade,
    foreign key (tenant_id, chatbot_id) references chatbots (tenant_id, id) on delete cascade
);

alter table open_calls enable row level security;
alter table open_calls force row level security;
create policy tenant on open_calls to loquent_app
    using (tenant_id = (select app_tenant())) with check (tenant_id = (select app_tenant()));
create policy system on open_calls to loquent_system using (true) with check (true);

grant select, insert, delete on open_calls to loquent_app, loquent_system;

alter table budget_notices drop constraint budget_notices_budget_check;
alter table budget_notices add constraint budget_notices_budget_check
    check (budget in ('tokens', 'cost', 'visitor_tokens'));
