-- name: insert
insert into consents (tenant_id, id, chatbot_id, visitor_id, policy_version, ip)
values (%(tenant_id)s, %(id)s, %(chatbot_id)s, %(visitor_id)s, %(policy_version)s, %(ip)s)
returning id, policy_version, ip, at;

-- name: list
-- Of a visitor, newest first.
select id, policy_version, ip, at
from consents
where tenant_id = %(tenant_id)s and visitor_id = %(visitor_id)s
order by id desc
limit %(limit)s;

-- name: given
select 1 as found from consents
where tenant_id = %(tenant_id)s and visitor_id = %(visitor_id)s and policy_version = %(policy_version)s
limit 1;
