-- name: lock_session
-- Whoever takes a message out of the conversation waits until the summary is there to be removed, or was faster.
select from sessions where tenant_id = %(tenant_id)s and id = %(session_id)s for key share;

-- name: insert
-- Not by a host that has lost the tenant, not over a summary that was removed meanwhile, and not of what was withheld.
insert into session_summaries (tenant_id, session_id, turn_id, sealed, model)
select t.tenant_id, t.session_id, t.id, %(sealed)s, %(model)s
from turns t
where t.tenant_id = %(tenant_id)s and t.id = %(turn_id)s and t.session_id = %(session_id)s
  and exists (select from tenant_epochs where tenant_id = %(tenant_id)s and epoch = %(epoch)s)
  and (%(previous)s::uuid is null
       or exists (select from session_summaries where tenant_id = %(tenant_id)s and turn_id = %(previous)s::uuid))
  and not exists (select from turns f
                  join messages m on m.tenant_id = f.tenant_id and (m.id = f.user_message_id or m.turn_id = f.id)
                  where f.tenant_id = %(tenant_id)s and f.id = any(%(turns)s::uuid[]) and m.withheld_at is not null)
on conflict do nothing;
