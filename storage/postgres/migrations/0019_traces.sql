-- How each turn came to its answer, sealed: stages, plan, candidates, prompt.

create table turn_traces (
    tenant_id uuid not null,
    turn_id uuid not null,
    sealed bytea not null,
    expires_at timestamptz not null,
    primary key (tenant_id, turn_id),
    foreign key (tenant_id, turn_id) references turns (tenant_id, id) on delete cascade
);
create index turn_traces_by_expiry on turn_traces (expires_at);

alter table turn_traces enable row level security;
alter table turn_traces force row level security;
create policy tenant on turn_traces to loquent_app
    using (tenant_id = (select app_tenant())) with check (tenant_id = (select app_tenant()));
create policy system on turn_traces to loquent_system using (true) with check (true);

-- Resealing changes it.
grant select, insert, update, delete on turn_traces to loquent_app, loquent_system;
