-- name: present
-- What those with open sockets may do now, across tenants: one row each. `known` is false for whoever is no longer
-- there, `alive` for what has ended; visitors have no role.
with callers as (
    select c.*, t.suspended_at is not null as suspended
    from unnest(%(numbers)s::int[], %(tenants)s::uuid[], %(kinds)s::text[], %(ids)s::uuid[])
        as c (number, tenant_id, kind, id)
    left join tenants t on t.id = c.tenant_id
)
select c.number, s.id is not null as known, c.suspended, coalesce(s.ended_at is null and s.expires_at > now(), false) as alive,
       m.role, null::text[] as scopes
from callers c
left join sign_ins s on s.tenant_id = c.tenant_id and s.id = c.id
left join memberships m on m.tenant_id = s.tenant_id and m.user_id = s.user_id
where c.kind = 'sign_in'
union all
select c.number, k.id is not null, c.suspended,
       coalesce(k.revoked_at is null and (k.expires_at is null or k.expires_at > now()), false), m.role, k.scopes
from callers c
left join api_keys k on k.tenant_id = c.tenant_id and k.id = c.id
left join memberships m on m.tenant_id = k.tenant_id and m.user_id = k.created_by
where c.kind = 'api_key'
union all
select c.number, v.id is not null, c.suspended, v.id is not null, null, null
from callers c
left join visitors v on v.tenant_id = c.tenant_id and v.id = c.id
where c.kind = 'visitor';
