-- name: account_by_identity
-- The oldest membership is the one that log-in opens.
select m.user_id, m.tenant_id
from external_identities i
join memberships m on m.user_id = i.user_id
where i.issuer = %(issuer)s and i.subject = %(subject)s
order by m.created_at, m.tenant_id
limit 1;

-- name: owner
select user_id from external_identities where issuer = %(issuer)s and subject = %(subject)s;

-- name: link
insert into external_identities (issuer, subject, user_id) values (%(issuer)s, %(subject)s, %(user_id)s)
on conflict (issuer, subject) do nothing;

-- name: unlink
delete from external_identities where user_id = %(user_id)s and issuer = %(issuer)s;
