-- name: insert
insert into turn_traces (tenant_id, turn_id, sealed, expires_at)
values (%(tenant_id)s, %(turn_id)s, %(sealed)s, now() + make_interval(days => %(days)s))
on conflict do nothing;

-- name: of_message
-- Of a question or an answer. A withheld message keeps its words to itself.
select t.id as turn_id, t.state, t.model, t.plan_reason, t.error_code, t.created_at, t.ended_at, r.sealed,
       m.withheld_at is not null or exists (
           select from messages o where o.tenant_id = t.tenant_id and o.turn_id = t.id and o.withheld_at is not null
       ) as withheld,
       coalesce(l.cost_micro, 0) as cost_micro
from messages m
join turns t on t.tenant_id = m.tenant_id and t.id = m.turn_id
left join turn_traces r on r.tenant_id = t.tenant_id and r.turn_id = t.id and r.expires_at > now()
left join usage_ledger l on l.tenant_id = t.tenant_id and l.turn_id = t.id
where m.tenant_id = %(tenant_id)s and m.id = %(message_id)s and m.session_id = %(session_id)s;

-- name: delete_expired
-- Across tenants.
delete from turn_traces
where (tenant_id, turn_id) in (select tenant_id, turn_id from turn_traces where expires_at <= now() limit %(limit)s);
