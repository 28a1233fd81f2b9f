-- name: list
select tenant_id, id, email::text as email, role, invited_by, created_at, expires_at
from invitations
where tenant_id = %(tenant_id)s and (%(before)s::uuid is null or id < %(before)s::uuid)
order by id desc
limit %(limit)s;

-- name: delete_expired
delete from invitations where tenant_id = %(tenant_id)s and expires_at <= now();

-- name: insert
-- No row comes back when the address is invited already.
insert into invitations (tenant_id, id, email, role, invited_by, expires_at)
values (%(tenant_id)s, %(id)s, %(email)s, %(role)s, %(invited_by)s, now() + make_interval(days => %(days)s))
on conflict (tenant_id, email) do nothing
returning tenant_id, id, email::text as email, role, invited_by, created_at, expires_at;

-- name: find
select tenant_id, id, email::text as email, role, invited_by, created_at, expires_at
from invitations
where tenant_id = %(tenant_id)s and id = %(id)s;

-- name: renew
update invitations
set expires_at = now() + make_interval(days => %(days)s)
where tenant_id = %(tenant_id)s and id = %(id)s
returning tenant_id, id, email::text as email, role, invited_by, created_at, expires_at;

-- name: delete
delete from invitations where tenant_id = %(tenant_id)s and id = %(id)s;

-- name: delete_of_inviter
delete from invitations where tenant_id = %(tenant_id)s and invited_by = %(user_id)s;

-- name: set_token
-- An earlier mail's link ends here.
update invitations i
set token_hash = %(token_hash)s
from tenants t
where i.id = %(id)s and i.expires_at > now() and t.id = i.tenant_id
returning i.role, t.name as company;

-- name: by_token
select tenant_id, id, email::text as email, role, invited_by, created_at, expires_at
from invitations
where token_hash = %(token_hash)s and expires_at > now();

-- name: take
-- Only one of two at once gets the row.
delete from invitations
where token_hash = %(token_hash)s and expires_at > now()
returning tenant_id, id, email::text as email, role, invited_by, created_at, expires_at;
