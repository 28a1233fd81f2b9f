-- name: list
-- Every version, oldest first, with the seconds until it seals.
select version, master_key_id, wrapped, greatest(extract(epoch from active_from - now()), 0)::float as active_in
from tenant_keys
where tenant_id = %(tenant_id)s
order by version;

-- name: insert_first
-- At the same time as another transaction it waits for that one, and then does nothing.
insert into tenant_keys (tenant_id, version, master_key_id, wrapped)
values (%(tenant_id)s, 1, %(master_key_id)s, %(wrapped)s)
on conflict (tenant_id, version) do nothing;

-- name: lock
-- The versions of a tenant, until the transaction ends.
select version, master_key_id, wrapped, greatest(extract(epoch from active_from - now()), 0)::float as active_in
from tenant_keys
where tenant_id = %(tenant_id)s
order by version
for update;

-- name: insert_next
-- Seals from `seconds` on.
insert into tenant_keys (tenant_id, version, master_key_id, wrapped, active_from)
values (%(tenant_id)s, %(version)s, %(master_key_id)s, %(wrapped)s, now() + make_interval(secs => %(seconds)s));

-- name: rewrap
update tenant_keys set master_key_id = %(master_key_id)s, wrapped = %(wrapped)s
where tenant_id = %(tenant_id)s and version = %(version)s and wrapped is not null;

-- name: shred
update tenant_keys set wrapped = null, shredded_at = now() where tenant_id = %(tenant_id)s and wrapped is not null;

-- name: delete_before
-- Only behind a younger version that is there.
delete from tenant_keys k
where k.tenant_id = %(tenant_id)s and k.version < %(version)s
  and exists (select from tenant_keys y where y.tenant_id = k.tenant_id and y.version = %(version)s);

-- name: overview
-- Across tenants, for `loquent keys list`.
select tenant_id, version, master_key_id, created_at, active_from, shredded_at, active_from <= now() as active
from tenant_keys
where %(only)s::uuid is null or tenant_id = %(only)s::uuid
order by tenant_id, version;

-- name: wrapped_by_others
-- Across tenants: who has a key that another master key wraps.
select distinct tenant_id from tenant_keys
where wrapped is not null and master_key_id <> %(master_key_id)s
order by tenant_id;
