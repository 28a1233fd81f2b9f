-- name: tenant_of_chatbot
-- Across tenants: a visitor knows the chatbot only. An id that two tenants had would say nothing, so it finds none.
select min(tenant_id::text)::uuid as tenant_id from chatbots where id = %(chatbot_id)s having count(*) = 1;

-- name: insert
insert into visitors (tenant_id, id, chatbot_id)
values (%(tenant_id)s, %(id)s, %(chatbot_id)s)
returning id;

-- name: identify
-- The visitor of the tenant's own name for a person; made when that person comes for the first time.
insert into visitors (tenant_id, id, chatbot_id, external_id)
values (%(tenant_id)s, %(id)s, %(chatbot_id)s, %(external_id)s)
on conflict (tenant_id, chatbot_id, external_id) do update set last_seen_at = now()
returning id;

-- name: set_attributes
update visitors set sealed_attributes = %(sealed)s where tenant_id = %(tenant_id)s and id = %(id)s;

-- name: welcome_back
-- Only who has no name: the others prove theirs again.
update visitors set last_seen_at = now()
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and id = %(id)s and external_id is null
returning id;

-- name: exists
select 1 as found from visitors
where tenant_id = %(tenant_id)s and id = %(id)s
  and (%(chatbot_id)s::uuid is null or chatbot_id = %(chatbot_id)s::uuid);

-- name: standing
select t.suspended_at is not null as suspended,
       exists (select from visitors v where v.tenant_id = t.id and v.id = %(id)s) as present
from tenants t
where t.id = %(tenant_id)s;

-- name: list
-- Newest first, after the cursor.
select v.id, v.external_id, v.created_at, v.last_seen_at,
       (select count(*) from sessions s where s.tenant_id = v.tenant_id and s.visitor_id = v.id) as sessions
from visitors v
where v.tenant_id = %(tenant_id)s and v.chatbot_id = %(chatbot_id)s
  and (%(before)s::uuid is null or v.id < %(before)s::uuid)
order by v.id desc
limit %(limit)s;
