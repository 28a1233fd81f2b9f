-- People: verified addresses, one-time links, invitations, queued mail, the platform's staff, suspended tenants.

alter table users add column email_verified_at timestamptz;
alter table tenants add column suspended_at timestamptz;
create index tenants_suspended on tenants (id) where suspended_at is not null;

-- A link that was mailed to a person; it works once. Not a tenant table: a person may belong to many.
create table account_links (
    token_hash bytea primary key check (length(token_hash) = 32),
    user_id uuid not null references users (id) on delete cascade,
    purpose text not null check (purpose in ('password_reset', 'email_verification')),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index account_links_of_user on account_links (user_id, purpose);

-- An invitation goes with its acceptance; the audit log remembers it. The token is made when the mail is sent.
create table invitations (
    tenant_id uuid not null references tenants (id) on delete cascade,
    id uuid not null,
    email citext not null,
    role text not null check (role in ('owner', 'admin', 'editor', 'analyst', 'agent', 'billing')),
    invited_by uuid references users (id) on delete set null,
    token_hash bytea unique check (length(token_hash) = 32),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    primary key (tenant_id, id),
    unique (tenant_id, email)
);
-- The queue of mail and the link know no tenant.
create unique index invitations_by_id on invitations (id);
create index invitations_by_inviter on invitations (tenant_id, invited_by);

-- Mail to send: what it is about, never its text. A row goes when the mail was sent or given up.
create table mail_queue (
    id uuid primary key,
    kind text not null
        check (kind in ('invitation', 'password_reset', 'password_changed', 'email_verification')),
    recipient text not null,
    about uuid,
    created_at timestamptz not null default now(),
    next_attempt_at timestamptz not null default now(),
    attempts integer not null default 0,
    give_up_at timestamptz not null
);
create index mail_queue_due on mail_queue (next_attempt_at);

-- Who works for the platform itself. No route writes here.
create table staff (
    user_id uuid primary key references users (id) on delete cascade,
    role text not null check (role in ('support', 'operator')),
    granted_at timestamptz not null default now()
);

do $$
declare
    t text;
begin
    foreach t in array array['account_links', 'invitations', 'mail_queue', 'staff'] loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format('create policy system on %I to loquent_system using (true) with check (true)', t);
    end loop;
end $$;
create policy tenant on invitations to loquent_app
    using (tenant_id = (select app_tenant())) with check (tenant_id = (select app_tenant()));

grant select, insert, update, delete on account_links, invitations, mail_queue, staff to loquent_system;
