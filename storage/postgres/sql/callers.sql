-- name: doubtful
-- Of those with open sockets, across tenants, the few that may not have them any more: their sign-in, key or visitor
-- has ended or is gone, or who it belongs to has none of `roles`, or the key is not for `permission`.
with callers as (
    select *
    from unnest(%(numbers)s::int[], %(tenants)s::uuid[], %(kinds)s::text[], %(ids)s::uuid[])
        as c (number, tenant_id, kind, id)
)
select c.number, s.id is not null as known, coalesce(s.ended_at is null and s.expires_at > now(), false) as alive,
       m.role, null::text[] as scopes
from callers c
left join sign_ins s on s.tenant_id = c.tenant_id and s.id = c.id
left join memberships m on m.tenant_id = s.tenant_id and m.user_id = s.user_id
where c.kind = 'sign_in'
  and (s.ended_at is null and s.expires_at > now() and m.role = any(%(roles)s::text[])) is not true
union all
select c.number, k.id is not null,
       coalesce(k.revoked_at is null and (k.expires_at is null or k.expires_at > now()), false), m.role, k.scopes
from callers c
left join api_keys k on k.tenant_id = c.tenant_id and k.id = c.id
left join memberships m on m.tenant_id = k.tenant_id and m.user_id = k.created_by
where c.kind = 'api_key'
  and (
      k.revoked_at is null and (k.expires_at is null or k.expires_at > now()) and m.role = any(%(roles)s::text[])
      and %(permission)s = any(k.scopes)
  ) is not true
union all
select c.number, false, false, null, null
from callers c
where c.kind = 'visitor' and not exists (select from visitors v where v.tenant_id = c.tenant_id and v.id = c.id);
