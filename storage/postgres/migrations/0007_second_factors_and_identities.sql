-- Second factors of people, what other identity providers call them, and whether a tenant asks for a second factor.
-- A person belongs to no tenant: these rows are the system's alone, but for whether there is a factor.

alter table tenants add column require_mfa boolean not null default false;

create table totp_factors (
    user_id uuid primary key references users (id) on delete cascade,
    -- Sealed by storage/user_secrets.py.
    secret bytea not null,
    begun_at timestamptz not null default now(),
    confirmed_at timestamptz,
    -- The newest step of 30 seconds whose code was used: none counts twice.
    last_step bigint not null default 0
);

create table recovery_codes (
    user_id uuid not null references users (id) on delete cascade,
    code_hash bytea not null check (length(code_hash) = 32),
    primary key (user_id, code_hash)
);

create table external_identities (
    issuer text not null,
    subject text not null,
    user_id uuid not null references users (id) on delete cascade,
    created_at timestamptz not null default now(),
    primary key (issuer, subject)
);
create index external_identities_user on external_identities (user_id);

do $$
declare
    t text;
begin
    foreach t in array array['totp_factors', 'recovery_codes', 'external_identities'] loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format('create policy system on %I to loquent_system using (true) with check (true)', t);
    end loop;
end $$;

-- Every request asks whether its person has the factor that the tenant wants. Memberships are one tenant's here.
create policy tenant on totp_factors for select to loquent_app
    using (exists (select from memberships m where m.user_id = totp_factors.user_id));
grant select (user_id, confirmed_at) on totp_factors to loquent_app;
grant select, insert, update, delete on totp_factors to loquent_system;
grant select, insert, delete on recovery_codes to loquent_system;
grant select, insert, delete on external_identities to loquent_system;
