-- name: role
select m.role, t.suspended_at is not null as suspended
from memberships m
join tenants t on t.id = m.tenant_id
where m.tenant_id = %(tenant_id)s and m.user_id = %(user_id)s;

-- name: suspended
select suspended_at is not null as suspended from tenants where id = %(tenant_id)s;

-- name: lock
-- Changes of a tenant's people follow each other. Other rows that only point to the tenant do not wait.
select id from tenants where id = %(tenant_id)s for no key update;

-- name: owners
select count(*) as owners from memberships where tenant_id = %(tenant_id)s and role = 'owner';

-- name: list
select u.id as user_id, u.email::text as email, u.email_verified_at, m.role, m.created_at
from memberships m
join users u on u.id = m.user_id
where m.tenant_id = %(tenant_id)s and (%(after)s::uuid is null or u.id > %(after)s::uuid)
order by u.id
limit %(limit)s;

-- name: find
select u.id as user_id, u.email::text as email, u.email_verified_at, m.role, m.created_at
from memberships m
join users u on u.id = m.user_id
where m.tenant_id = %(tenant_id)s and m.user_id = %(user_id)s;

-- name: has_email
select m.user_id
from memberships m
join users u on u.id = m.user_id
where m.tenant_id = %(tenant_id)s and u.email = %(email)s;

-- name: insert
-- No row is touched for who is a member already.
insert into memberships (tenant_id, user_id, role) values (%(tenant_id)s, %(user_id)s, %(role)s)
on conflict do nothing;

-- name: set_role
update memberships set role = %(role)s where tenant_id = %(tenant_id)s and user_id = %(user_id)s;

-- name: delete
delete from memberships where tenant_id = %(tenant_id)s and user_id = %(user_id)s;
