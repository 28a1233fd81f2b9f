-- name: role
select role from staff where user_id = %(user_id)s;

-- name: grant
-- No row is touched when nobody has this address.
insert into staff (user_id, role)
select id, %(role)s from users where email = %(email)s
on conflict (user_id) do update set role = excluded.role, granted_at = now();

-- name: revoke
delete from staff s using users u where u.id = s.user_id and u.email = %(email)s;

-- name: list
select u.email::text as email, s.role, s.granted_at from staff s join users u on u.id = s.user_id order by u.email;

-- name: tenants
-- What staff may know of a tenant: how much, never what.
select t.id, t.name, t.plan, t.created_at, t.suspended_at,
       (select count(*) from memberships m where m.tenant_id = t.id) as members,
       (select count(*) from chatbots c where c.tenant_id = t.id) as chatbots,
       (select count(*) from documents d where d.tenant_id = t.id) as documents,
       (select count(*) from sessions s where s.tenant_id = t.id) as sessions
from tenants t
where %(after)s::uuid is null or t.id > %(after)s::uuid
order by t.id
limit %(limit)s;

-- name: suspend
update tenants set suspended_at = now() where id = %(tenant_id)s and suspended_at is null;

-- name: resume
update tenants set suspended_at = null where id = %(tenant_id)s and suspended_at is not null;

-- name: exists
select id from tenants where id = %(tenant_id)s;
