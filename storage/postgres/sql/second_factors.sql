-- name: begin
-- A pending one is replaced, a confirmed one stays: then no row is touched.
insert into totp_factors (user_id, secret) values (%(user_id)s, %(secret)s)
on conflict (user_id) do update set secret = excluded.secret, begun_at = now(), last_step = 0
where totp_factors.confirmed_at is null;

-- name: find
-- A pending one is forgotten after an hour.
select secret, confirmed_at is not null as confirmed
from totp_factors
where user_id = %(user_id)s and (confirmed_at is not null or begun_at > now() - interval '1 hour');

-- name: confirm
update totp_factors set confirmed_at = now(), last_step = %(step)s
where user_id = %(user_id)s and secret = %(secret)s and confirmed_at is null;

-- name: use_step
-- Of two at once with the same step, the second finds it used.
update totp_factors set last_step = %(step)s
where user_id = %(user_id)s and confirmed_at is not null and last_step < %(step)s;

-- name: delete
delete from totp_factors where user_id = %(user_id)s;

-- name: delete_recovery_codes
delete from recovery_codes where user_id = %(user_id)s;

-- name: insert_recovery_codes
insert into recovery_codes (user_id, code_hash)
select %(user_id)s, unnest(%(hashes)s::bytea[]);

-- name: use_recovery_code
delete from recovery_codes where user_id = %(user_id)s and code_hash = %(code_hash)s;

-- name: count_recovery_codes
select count(*) as left from recovery_codes where user_id = %(user_id)s;

-- name: is_lacking
select t.require_mfa and not exists (
    select from totp_factors f where f.user_id = %(user_id)s and f.confirmed_at is not null
) as lacking
from tenants t
where t.id = %(tenant_id)s;

-- name: tenant_requires
select require_mfa from tenants where id = %(tenant_id)s;

-- name: require_of_tenant
-- No row is touched where it is so already.
update tenants set require_mfa = %(required)s where id = %(tenant_id)s and require_mfa <> %(required)s;
