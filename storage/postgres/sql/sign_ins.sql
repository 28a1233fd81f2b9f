-- name: insert
insert into sign_ins (tenant_id, id, user_id, method, user_agent, ip, expires_at)
values (%(tenant_id)s, %(id)s, %(user_id)s, %(method)s, %(user_agent)s, %(ip)s,
        now() + make_interval(secs => %(lifetime)s));

-- name: forget_old
-- Of one person, with every log-in. What ended is kept for ninety days: its address is one that the person came from.
delete from sign_ins
where user_id = %(user_id)s and coalesce(ended_at, expires_at) < now() - interval '90 days';

-- name: use
-- The seconds that it still has; no row comes back for one that has ended.
update sign_ins set last_used_at = now(), ip = coalesce(%(ip)s, ip)
where tenant_id = %(tenant_id)s and id = %(id)s and ended_at is null and expires_at > now()
returning extract(epoch from expires_at - now())::float8 as seconds_left;

-- name: standing
-- Of a member whose sign-in lives: all in the one statement that every request waits for.
select m.role, t.suspended_at is not null as suspended,
       t.require_mfa and not exists (
           select from totp_factors f where f.user_id = m.user_id and f.confirmed_at is not null
       ) as lacks_second_factor
from memberships m
join tenants t on t.id = m.tenant_id
join sign_ins s on s.tenant_id = m.tenant_id and s.user_id = m.user_id
where m.tenant_id = %(tenant_id)s and m.user_id = %(user_id)s
  and s.id = %(id)s and s.ended_at is null and s.expires_at > now();

-- name: list
-- The living ones of a person in all of their companies, the last used first.
select s.id, s.tenant_id, t.name as tenant_name, s.method, s.user_agent, s.ip, s.created_at, s.last_used_at,
       s.expires_at
from sign_ins s
join tenants t on t.id = s.tenant_id
where s.user_id = %(user_id)s and s.ended_at is null and s.expires_at > now()
  and exists (
      select from refresh_tokens r
      where r.tenant_id = s.tenant_id and r.family = s.id
        and r.used_at is null and r.revoked_at is null and r.expires_at > now()
  )
order by s.last_used_at desc, s.id
limit 200;

-- name: end
-- One of a person's.
update sign_ins set ended_at = now()
where user_id = %(user_id)s and id = %(id)s and ended_at is null
returning tenant_id, id;

-- name: end_all
-- Of a person in one company or in all of them, but for one.
update sign_ins set ended_at = now()
where user_id = %(user_id)s and ended_at is null and id is distinct from %(but)s::uuid
  and (%(tenant_id)s::uuid is null or tenant_id = %(tenant_id)s::uuid)
returning tenant_id, id;

-- name: knows_address
-- Whether whoever has this e-mail address has signed in from here before.
select exists (
    select from sign_ins s
    join users u on u.id = s.user_id
    where u.email = %(email)s and s.ip = %(ip)s
) as known;
