-- name: insert_tenant
insert into tenants (id, name) values (%(id)s, %(name)s)
returning id, name, plan, created_at;

-- name: insert_user
-- No row comes back when the e-mail address is taken; it compares without regard to case.
insert into users (id, email, password_hash) values (%(id)s, %(email)s, %(password_hash)s)
on conflict (email) do nothing
returning id, email::text as email, created_at;

-- name: insert_membership
insert into memberships (tenant_id, user_id, role) values (%(tenant_id)s, %(user_id)s, %(role)s);

-- name: account_by_email
-- The oldest membership is the one that log-in opens, a suspended tenant only where there is no other.
select u.id as user_id, u.email::text as email, u.created_at as user_created_at, u.email_verified_at,
       u.password_hash, t.id as tenant_id, t.name as tenant_name, t.plan, t.created_at as tenant_created_at,
       t.suspended_at, m.role
from users u
join memberships m on m.user_id = u.id
join tenants t on t.id = m.tenant_id
where u.email = %(email)s
order by t.suspended_at is not null, m.created_at, t.id
limit 1;

-- name: account_by_ids
select u.id as user_id, u.email::text as email, u.created_at as user_created_at, u.email_verified_at,
       u.password_hash, t.id as tenant_id, t.name as tenant_name, t.plan, t.created_at as tenant_created_at,
       t.suspended_at, m.role
from users u
join memberships m on m.user_id = u.id
join tenants t on t.id = m.tenant_id
where u.id = %(user_id)s and t.id = %(tenant_id)s;

-- name: set_password_hash
update users set password_hash = %(password_hash)s where id = %(user_id)s;

-- name: insert_refresh_token
insert into refresh_tokens (id, family, user_id, tenant_id, token_hash, expires_at)
values (%(id)s, %(family)s, %(user_id)s, %(tenant_id)s, %(token_hash)s, now() + make_interval(secs => %(lifetime)s));

-- name: lock_refresh_token
select r.id, r.family, r.user_id, r.tenant_id, r.used_at is not null as used,
       r.revoked_at is not null or r.expires_at <= now() or s.ended_at is not null or s.expires_at <= now() as dead
from refresh_tokens r
join sign_ins s on s.tenant_id = r.tenant_id and s.id = r.family
where r.token_hash = %(token_hash)s
for update;

-- name: mark_refresh_token_used
update refresh_tokens set used_at = now() where id = %(id)s;

-- name: revoke_family
with tokens as (
    update refresh_tokens set revoked_at = now()
    where tenant_id = %(tenant_id)s and family = %(family)s and revoked_at is null
)
update sign_ins set ended_at = now()
where tenant_id = %(tenant_id)s and id = %(family)s and ended_at is null;

-- name: delete_expired_refresh_tokens
-- Of one person, with every log-in: the table does not grow without end.
delete from refresh_tokens where user_id = %(user_id)s and expires_at < now() - interval '1 day';

-- name: tenants_on_plans
-- Across tenants, the oldest first.
select id
from tenants
where plan = any(%(plans)s)
order by id
limit %(limit)s;
