-- name: insert
insert into api_keys (tenant_id, id, created_by, name, scopes, prefix, secret_hash, expires_at)
values (%(tenant_id)s, %(id)s, %(created_by)s, %(name)s, %(scopes)s, %(prefix)s, %(secret_hash)s,
        now() + make_interval(days => %(days)s::int))
returning id, created_by, name, scopes, prefix, created_at, rotated_at, expires_at, last_used_at, previous_until;

-- name: lock_tenant
-- Two keys made at once count one after the other.
select id from tenants where id = %(tenant_id)s for no key update;

-- name: count
select count(*) as n from api_keys where tenant_id = %(tenant_id)s and revoked_at is null;

-- name: list
-- Newest first, without the revoked ones.
select id, created_by, name, scopes, prefix, created_at, rotated_at, expires_at, last_used_at,
       case when previous_until > now() then previous_until end as previous_until
from api_keys
where tenant_id = %(tenant_id)s and revoked_at is null
order by id desc;

-- name: lock
select id, created_by, name, scopes, prefix, created_at, rotated_at, expires_at, last_used_at, previous_until
from api_keys
where tenant_id = %(tenant_id)s and id = %(id)s and revoked_at is null and (expires_at is null or expires_at > now())
for no key update;

-- name: rotate
update api_keys
set previous_prefix = prefix, previous_hash = secret_hash,
    previous_until = now() + make_interval(hours => %(grace_hours)s::int),
    prefix = %(prefix)s, secret_hash = %(secret_hash)s, rotated_at = now()
where tenant_id = %(tenant_id)s and id = %(id)s
returning id, created_by, name, scopes, prefix, created_at, rotated_at, expires_at, last_used_at, previous_until;

-- name: revoke
update api_keys set revoked_at = now()
where tenant_id = %(tenant_id)s and id = %(id)s and revoked_at is null
returning name;

-- name: candidates
-- Across tenants: a key does not say whose it is. Prefixes are random; two keys may share one. With the present role
-- of who made the key.
select k.tenant_id, k.id, k.created_by, k.scopes, m.role, extract(epoch from k.expires_at)::float8 as expires_at,
       case when k.prefix = %(prefix)s then k.secret_hash else k.previous_hash end as secret_hash,
       k.last_used_at is null or k.last_used_at < now() - interval '1 minute' as use_is_old,
       t.suspended_at is not null as suspended
from api_keys k
join tenants t on t.id = k.tenant_id
join memberships m on m.tenant_id = k.tenant_id and m.user_id = k.created_by
where (k.prefix = %(prefix)s or (k.previous_prefix = %(prefix)s and k.previous_until > now()))
  and k.revoked_at is null and (k.expires_at is null or k.expires_at > now());

-- name: note_use
update api_keys set last_used_at = now()
where tenant_id = %(tenant_id)s and id = %(id)s
  and (last_used_at is null or last_used_at < now() - interval '1 minute');
