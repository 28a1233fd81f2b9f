-- name: note
-- What the checks of a turn found.
update turns set guard_verdict = %(verdict)s, guard_notes = %(notes)s
where tenant_id = %(tenant_id)s and id = %(turn_id)s;

-- name: insert
-- A message for a person to look at: the answer, or the question where the check was of that or nothing was answered.
insert into reviews (tenant_id, id, chatbot_id, session_id, turn_id, message_id, place, check_name, outcome, score)
select t.tenant_id, %(id)s, t.chatbot_id, t.session_id, t.id,
       case when %(place)s = 'input' then t.user_message_id else coalesce(%(answer_id)s::uuid, t.user_message_id) end,
       %(place)s, %(check_name)s, %(outcome)s, %(score)s
from turns t
where t.tenant_id = %(tenant_id)s and t.id = %(turn_id)s
on conflict (tenant_id, turn_id, place, check_name) do nothing;

-- name: list
-- The newest first.
select id, chatbot_id, session_id, turn_id, message_id, place, check_name, outcome, score, state, note, decided_by,
       decided_at, created_at
from reviews
where tenant_id = %(tenant_id)s and (%(state)s::text is null or state = %(state)s::text)
  and (%(before)s::uuid is null or id < %(before)s::uuid)
order by id desc
limit %(limit)s;

-- name: lock
select state from reviews where tenant_id = %(tenant_id)s and id = %(id)s for update;

-- name: decide
update reviews set state = %(state)s, note = %(note)s, decided_by = %(user_id)s, decided_at = now()
where tenant_id = %(tenant_id)s and id = %(id)s and state = 'pending'
returning id, chatbot_id, session_id, turn_id, message_id, place, check_name, outcome, score, state, note, decided_by,
          decided_at, created_at;

-- name: lock_session
-- A summary that is being stored is there afterwards.
select from sessions s
where s.tenant_id = %(tenant_id)s
  and s.id = (select m.session_id from messages m where m.tenant_id = %(tenant_id)s and m.id = %(message_id)s)
for update;

-- name: withhold
-- A summary of the conversation may say what the message said.
with withheld as (
    update messages set withheld_at = now()
    where tenant_id = %(tenant_id)s and id = %(message_id)s and withheld_at is null
    returning session_id
), forgotten as (
    delete from session_summaries
    where tenant_id = %(tenant_id)s and session_id in (select session_id from withheld)
)
select from withheld;
