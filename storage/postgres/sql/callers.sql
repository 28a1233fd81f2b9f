-- name: doubtful
-- Of those with open sockets, across tenants, the few that may not have them any more: their sign-in, key or visitor
-- has ended or is gone, their tenant is suspended, who it belongs to has none of `roles`, or the key is not for
-- `permission`.
with callers as (
    select c.*, t.suspended_at is not null as suspended
    from unnest(%(numbers)s::int[], %(tenants)s::uuid[], %(kinds)s::text[], %(ids)s::uuid[])
        as c (number, tenant_id, kind, id)
    left join tenants t on t.id = c.tenant_id
)
select c.number, s.id is not null as known, c.suspended,
       coalesce(s.ended_at is null and s.expires_at > now(), false) as alive, m.role, null::text[] as scopes
from callers c
left join sign_ins s on s.tenant_id = c.tenant_id and s.id = c.id
left join memberships m on m.tenant_id = s.tenant_id and m.user_id = s.user_id
where c.kind = 'sign_in'
  and (not c.suspended and s.ended_at is null and s.expires_at > now() and m.role = any(%(roles)s::text[])) is not true
union all
select c.number, k.id is not null, c.suspended,
       coalesce(k.revoked_at is null and (k.expires_at is null or k.expires_at > now()), false), m.role, k.scopes
from callers c
left join api_keys k on k.tenant_id = c.tenant_id and k.id = c.id
left join memberships m on m.tenant_id = k.tenant_id and m.user_id = k.created_by
where c.kind = 'api_key'
  and (
      not c.suspended and k.revoked_at is null and (k.expires_at is null or k.expires_at > now()) and m.role = any(%(roles)s::text[])
      and %(permission)s = any(k.scopes)
  ) is not true
union all
select c.number, v.id is not null, c.suspended, v.id is not null, null, null
from callers c
left join visitors v on v.tenant_id = c.tenant_id and v.id = c.id
where c.kind = 'visitor' and (c.suspended or v.id is null);
