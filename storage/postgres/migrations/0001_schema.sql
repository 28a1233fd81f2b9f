-- Tenants, people, chatbots, knowledge, conversations, money and events.
-- Every tenant table carries tenant_id in its keys and forces row-level security on it.
-- Roles: the owner migrates; loquent_app sees one tenant per transaction; loquent_system is for the few
-- jobs that must look across tenants (log-in, relay, inbox).

create extension if not exists citext;

create table tenants (
    id uuid primary key,
    name text not null,
    plan text not null default 'free',
    stripe_customer_id text unique,
    created_at timestamptz not null default now()
);

create table users (
    id uuid primary key,
    email citext not null unique,
    password_hash text not null,
    created_at timestamptz not null default now()
);

create table memberships (
    tenant_id uuid not null references tenants (id) on delete cascade,
    user_id uuid not null references users (id) on delete cascade,
    role text not null check (role in ('owner', 'admin', 'editor')),
    created_at timestamptz not null default now(),
    primary key (tenant_id, user_id)
);
create index memberships_user on memberships (user_id);

create table refresh_tokens (
    id uuid primary key,
    family uuid not null,
    user_id uuid not null references users (id) on delete cascade,
    tenant_id uuid not null references tenants (id) on delete cascade,
    token_hash bytea not null unique,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz,
    revoked_at timestamptz
);
create index refresh_tokens_family on refresh_tokens (family);

create table chatbots (
    tenant_id uuid not null references tenants (id) on delete cascade,
    id uuid not null,
    name text not null,
    version integer not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, id)
);

create table chatbot_configs (
    tenant_id uuid not null,
    chatbot_id uuid not null,
    version integer not null,
    config jsonb not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, chatbot_id, version),
    foreign key (tenant_id, chatbot_id) references chatbots (tenant_id, id) on delete cascade
);

create table documents (
    tenant_id uuid not null,
    id uuid not null,
    chatbot_id uuid not null,
    name text not null,
    media_type text not null,
    size bigint not null,
    content_hash text not null,
    status text not null default 'queued' check (status in ('queued', 'processing', 'ready', 'failed')),
    reason text,
    pages integer,
    chunks integer,
    attempts integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, id),
    unique (tenant_id, chatbot_id, content_hash),
    foreign key (tenant_id, chatbot_id) references chatbots (tenant_id, id) on delete cascade
);
create index documents_list on documents (tenant_id, chatbot_id, id);
create index documents_unfinished on documents (status) where status in ('queued', 'processing');

create table sessions (
    tenant_id uuid not null,
    id uuid not null,
    chatbot_id uuid not null,
    title text not null default '',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, chatbot_id) references chatbots (tenant_id, id) on delete cascade
);
create index sessions_list on sessions (tenant_id, chatbot_id, id);

create table tenant_epochs (
    tenant_id uuid primary key references tenants (id) on delete cascade,
    epoch bigint not null default 1,
    host text not null,
    updated_at timestamptz not null default now()
);

create table turns (
    tenant_id uuid not null,
    id uuid not null,
    session_id uuid not null,
    chatbot_id uuid not null,
    config_version integer not null,
    client_id text not null,
    user_message_id uuid not null,
    state text not null default 'accepted'
        check (state in ('accepted', 'running', 'completed', 'stopped', 'interrupted', 'failed')),
    epoch bigint not null,
    model text,
    plan_reason text,
    error_code text,
    created_at timestamptz not null default now(),
    ended_at timestamptz,
    primary key (tenant_id, id),
    unique (tenant_id, session_id, client_id),
    foreign key (tenant_id, session_id) references sessions (tenant_id, id) on delete cascade
);
create unique index turns_one_open on turns (tenant_id, session_id) where state in ('accepted', 'running');

create table messages (
    tenant_id uuid not null,
    id uuid not null,
    session_id uuid not null,
    turn_id uuid not null,
    role text not null check (role in ('user', 'assistant')),
    content text not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    unique (tenant_id, turn_id, role),
    foreign key (tenant_id, session_id) references sessions (tenant_id, id) on delete cascade,
    foreign key (tenant_id, turn_id) references turns (tenant_id, id) on delete cascade
);
create index messages_list on messages (tenant_id, session_id, id);

create table citations (
    tenant_id uuid not null,
    message_id uuid not null,
    position integer not null,
    document_id uuid not null,
    document_name text not null,
    page integer,
    section text,
    span_start integer not null,
    span_end integer not null,
    snippet text not null,
    primary key (tenant_id, message_id, position),
    foreign key (tenant_id, message_id) references messages (tenant_id, id) on delete cascade
);

create table usage_ledger (
    tenant_id uuid not null references tenants (id) on delete cascade,
    turn_id uuid not null,
    chatbot_id uuid not null,
    session_id uuid not null,
    model text not null,
    prompt_tokens bigint not null,
    completion_tokens bigint not null,
    cached_tokens bigint not null default 0,
    cost_micro bigint not null default 0,
    created_at timestamptz not null default now(),
    primary key (tenant_id, turn_id)
);
create index usage_ledger_month on usage_ledger (tenant_id, created_at);

create table usage_daily (
    tenant_id uuid not null references tenants (id) on delete cascade,
    day date not null,
    chatbot_id uuid not null,
    turns bigint not null default 0,
    prompt_tokens bigint not null default 0,
    completion_tokens bigint not null default 0,
    cost_micro bigint not null default 0,
    primary key (tenant_id, day, chatbot_id)
);

create table subscriptions (
    tenant_id uuid not null references tenants (id) on delete cascade,
    stripe_subscription_id text not null,
    plan text not null,
    status text not null,
    current_period_end timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, stripe_subscription_id)
);

create table invoices (
    tenant_id uuid not null references tenants (id) on delete cascade,
    stripe_invoice_id text not null,
    number text,
    status text not null,
    currency text not null,
    amount_due bigint not null,
    amount_paid bigint not null,
    hosted_url text,
    created_at timestamptz not null,
    updated_at timestamptz not null default now(),
    primary key (tenant_id, stripe_invoice_id)
);

-- Stripe's events, stored under their own id before anything acts on them. Not a tenant table: the tenant is
-- known only after the event was read.
create table webhook_inbox (
    id text primary key,
    kind text not null,
    payload jsonb not null,
    received_at timestamptz not null default now(),
    processed_at timestamptz,
    attempts integer not null default 0,
    error text
);
create index webhook_inbox_open on webhook_inbox (received_at) where processed_at is null;

create table outbox (
    id bigint generated always as identity primary key,
    tenant_id uuid not null,
    kind text not null,
    aggregate text not null,
    payload jsonb not null,
    created_at timestamptz not null default now(),
    published_at timestamptz
);
create index outbox_open on outbox (id) where published_at is null;

-- Events that a consumer has handled, written in the transaction of their effect.
create table handled_events (
    consumer text not null,
    event_id bigint not null,
    tenant_id uuid not null,
    handled_at timestamptz not null default now(),
    primary key (consumer, event_id)
);

create function app_tenant() returns uuid
    language sql stable
    as $$ select nullif(current_setting('app.tenant', true), '')::uuid $$;

do $$
declare
    t text;
    tenant_column text;
begin
    foreach t in array array[
        'tenants', 'memberships', 'refresh_tokens', 'chatbots', 'chatbot_configs', 'documents', 'sessions',
        'tenant_epochs', 'turns', 'messages', 'citations', 'usage_ledger', 'usage_daily', 'subscriptions',
        'invoices', 'outbox', 'handled_events'
    ] loop
        tenant_column := case t when 'tenants' then 'id' else 'tenant_id' end;
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format(
            'create policy tenant on %I to loquent_app using (%I = (select app_tenant())) with check (%I = (select app_tenant()))',
            t, tenant_column, tenant_column
        );
        execute format('create policy system on %I to loquent_system using (true) with check (true)', t);
    end loop;
    -- What belongs to no tenant is the system's alone.
    foreach t in array array['users', 'webhook_inbox'] loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format('create policy system on %I to loquent_system using (true) with check (true)', t);
    end loop;
end $$;

grant usage on schema public to loquent_app, loquent_system;
grant select, update on tenants to loquent_app;
grant select on memberships to loquent_app;
grant select, insert, update, delete on
    chatbots, chatbot_configs, documents, sessions, tenant_epochs, turns, messages, citations, usage_ledger,
    usage_daily, subscriptions, invoices, handled_events
    to loquent_app;
grant select, insert on outbox to loquent_app;
grant select, insert, update, delete on all tables in schema public to loquent_system;
-- The history of migrations is the owner's alone.
revoke all on schema_migrations from loquent_system;
