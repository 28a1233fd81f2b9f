-- name: notice
-- The event is written by whoever is the first to notice.
with fresh as (
    insert into budget_notices (tenant_id, id, chatbot_id, budget, level, period, most, used)
    values (%(tenant_id)s, %(id)s, %(chatbot_id)s, %(budget)s, %(level)s, %(period)s, %(most)s, %(used)s)
    on conflict do nothing
    returning tenant_id
)
insert into outbox (tenant_id, kind, aggregate, payload)
select tenant_id, %(kind)s, %(aggregate)s, %(payload)s from fresh;

-- name: mail
-- To each owner, once for each event; needs the system role.
with fresh as (
    insert into handled_events (consumer, event_id, tenant_id)
    select %(consumer)s, %(event_id)s, id from tenants where id = %(tenant_id)s
    on conflict do nothing
    returning tenant_id
)
insert into mail_queue (id, kind, recipient, about, give_up_at)
select gen_random_uuid(), %(kind)s, u.email::text, %(notice_id)s, now() + make_interval(secs => %(seconds)s)
from fresh
join memberships m on m.tenant_id = fresh.tenant_id and m.role = 'owner'
join users u on u.id = m.user_id;

-- name: get
-- With the names that a mail says.
select n.chatbot_id, n.budget, n.level, n.period, n.most, n.used, t.name as company, c.name as chatbot
from budget_notices n
join tenants t on t.id = n.tenant_id
left join chatbots c on c.tenant_id = n.tenant_id and c.id = n.chatbot_id
where n.id = %(id)s and t.erased_at is null;
