-- name: by_email
select id, email::text as email, created_at, email_verified_at, password_hash from users where email = %(email)s;

-- name: by_id
select id, email::text as email, created_at, email_verified_at, password_hash from users where id = %(user_id)s;

-- name: insert
-- Of somebody whose link was mailed to the address. No row comes back when the address is taken.
insert into users (id, email, password_hash, email_verified_at)
values (%(id)s, %(email)s, %(password_hash)s, now())
on conflict (email) do nothing
returning id, email::text as email, created_at, email_verified_at, password_hash;

-- name: mark_verified
update users set email_verified_at = now() where id = %(user_id)s and email_verified_at is null;

-- name: tenants
-- Of one person, the oldest membership first.
select t.id, t.name, t.plan, t.created_at, t.suspended_at, m.role
from memberships m
join tenants t on t.id = m.tenant_id
where m.user_id = %(user_id)s
order by m.created_at, t.id;

-- name: insert_link
insert into account_links (token_hash, user_id, purpose, expires_at)
values (%(token_hash)s, %(user_id)s, %(purpose)s, now() + make_interval(secs => %(seconds)s));

-- name: delete_expired_links
delete from account_links where user_id = %(user_id)s and expires_at <= now();

-- name: link
select user_id from account_links
where token_hash = %(token_hash)s and purpose = %(purpose)s and expires_at > now();

-- name: take_link
-- Only one of two at once gets the row.
delete from account_links
where token_hash = %(token_hash)s and purpose = %(purpose)s and expires_at > now()
returning user_id;

-- name: delete_links
delete from account_links where user_id = %(user_id)s and purpose = %(purpose)s;
