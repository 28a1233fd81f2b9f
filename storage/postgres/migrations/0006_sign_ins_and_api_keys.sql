-- Sign-ins: what a log-in began, known by the family of its refresh tokens. API keys of a tenant.

create table sign_ins (
    tenant_id uuid not null,
    id uuid not null,
    user_id uuid not null,
    method text not null,
    user_agent text not null,
    ip text,
    created_at timestamptz not null default now(),
    last_used_at timestamptz not null default now(),
    expires_at timestamptz not null,
    ended_at timestamptz,
    primary key (tenant_id, id),
    -- Whoever leaves the company leaves no sign-in behind.
    foreign key (tenant_id, user_id) references memberships (tenant_id, user_id) on delete cascade
);
create index sign_ins_user on sign_ins (user_id, id);

-- Families from before: how they began, nobody wrote down. Row security is forced on its owner too, who is migrating.
alter table refresh_tokens no force row level security;
alter table memberships no force row level security;
insert into sign_ins (tenant_id, id, user_id, method, user_agent, created_at, last_used_at, expires_at, ended_at)
select r.tenant_id, r.family, r.user_id, 'unknown', '', min(r.created_at), max(r.created_at), max(r.expires_at),
       max(r.revoked_at)
from refresh_tokens r
join memberships m on m.tenant_id = r.tenant_id and m.user_id = r.user_id
group by r.tenant_id, r.family, r.user_id;

delete from refresh_tokens r
where not exists (select from sign_ins s where s.tenant_id = r.tenant_id and s.id = r.family);
alter table refresh_tokens
    add foreign key (tenant_id, family) references sign_ins (tenant_id, id) on delete cascade;
alter table refresh_tokens force row level security;
alter table memberships force row level security;
create index refresh_tokens_sign_in on refresh_tokens (tenant_id, family);
drop index refresh_tokens_family;

create table api_keys (
    tenant_id uuid not null,
    id uuid not null,
    created_by uuid not null,
    name text not null,
    scopes text[] not null,
    prefix text not null,
    secret_hash bytea not null check (length(secret_hash) = 32),
    -- What was replaced, and until when it is still good.
    previous_prefix text,
    previous_hash bytea check (length(previous_hash) = 32),
    previous_until timestamptz,
    created_at timestamptz not null default now(),
    rotated_at timestamptz,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    primary key (tenant_id, id),
    -- A key never does more than who made it: it goes with them.
    foreign key (tenant_id, created_by) references memberships (tenant_id, user_id) on delete cascade
);
create index api_keys_creator on api_keys (tenant_id, created_by);
create index api_keys_prefix on api_keys (prefix);
create index api_keys_previous_prefix on api_keys (previous_prefix) where previous_prefix is not null;

do $$
declare
    t text;
begin
    foreach t in array array['sign_ins', 'api_keys'] loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format(
            'create policy tenant on %I to loquent_app using (tenant_id = (select app_tenant())) with check (tenant_id = (select app_tenant()))',
            t
        );
        execute format('create policy system on %I to loquent_system using (true) with check (true)', t);
    end loop;
end $$;

grant select on sign_ins to loquent_app;
grant select, insert, update, delete on sign_ins to loquent_system;
grant select, insert, update on api_keys to loquent_app;
grant select, update on api_keys to loquent_system;
