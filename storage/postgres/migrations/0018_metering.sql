-- What was used beside turns too, call by call, and who was told that a budget nears its end.

alter table usage_ledger
    -- What it was used for; a turn that ended without an answer may have used something as well.
    add column kind text not null default 'turn'
        check (kind in ('turn', 'failed_turn', 'evaluation', 'embedding', 'summary', 'guard', 'ingestion')),
    add column embedded_tokens bigint not null default 0 check (embedded_tokens >= 0),
    -- The calls of models whose sum the row is: [{kind, engine, model, prompt, completion, cached, embedded, cost}].
    add column calls jsonb;
alter table usage_ledger alter column session_id drop not null;

alter table usage_daily add column embedded_tokens bigint not null default 0;

-- Each threshold is told of once in its period.
create table budget_notices (
    tenant_id uuid not null,
    id uuid not null,
    -- Null is the company's plan.
    chatbot_id uuid,
    budget text not null check (budget in ('tokens', 'cost')),
    level text not null check (level in ('soft', 'hard')),
    period date not null,
    -- The limit, and what was taken of it at that moment.
    most bigint not null,
    used bigint not null,
    at timestamptz not null default now(),
    primary key (tenant_id, id),
    unique nulls not distinct (tenant_id, chatbot_id, budget, level, period),
    foreign key (tenant_id) references tenants (id) on delete cascade,
    foreign key (tenant_id, chatbot_id) references chatbots (tenant_id, id) on delete cascade
);

alter table budget_notices enable row level security;
alter table budget_notices force row level security;
create policy tenant on budget_notices to loquent_app
    using (tenant_id = (select app_tenant())) with check (tenant_id = (select app_tenant()));
create policy system on budget_notices to loquent_system using (true) with check (true);

grant select, insert on budget_notices to loquent_app;
grant select, insert, update, delete on budget_notices to loquent_system;

-- Owners are told by mail.
alter table mail_queue drop constraint mail_queue_kind_check;
alter table mail_queue add constraint mail_queue_kind_check
    check (kind in ('invitation', 'password_reset', 'password_changed', 'email_verification', 'budget_reached'));
