-- name: find_role
-- Whether a role exists.
select 1 as found from pg_roles where rolname = %(role)s

-- name: create_owner
-- The role that owns the tables; it makes the application's roles but is no superuser.
create role {role} login createdb createrole bypassrls password {password}

-- name: set_owner_password
-- The password may have been made anew.
alter role {role} password {password}

-- name: find_database
-- Whether a database exists.
select 1 as found from pg_database where datname = %(database)s

-- name: create_database
-- The application's database.
create database {database} owner {role}
