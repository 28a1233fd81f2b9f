-- name: lock
-- One migrator at a time, until the connection closes.
select pg_advisory_lock(7203481);

-- name: create_history
create table if not exists schema_migrations (
    name text primary key,
    checksum text not null,
    applied_at timestamptz not null default now()
);

-- name: history
select name, checksum from schema_migrations order by name;

-- name: record
insert into schema_migrations (name, checksum) values (%(name)s, %(checksum)s);

-- name: role_exists
select 1 as found from pg_roles where rolname = %(role)s;

-- name: create_role
create role {role} login nosuperuser nobypassrls nocreatedb nocreaterole password {password};

-- name: change_password
alter role {role} login nobypassrls password {password};
