-- name: put
insert into feedback (tenant_id, message_id, rating, sealed_comment)
values (%(tenant_id)s, %(message_id)s, %(rating)s, %(sealed_comment)s)
on conflict (tenant_id, message_id) do update
    set rating = excluded.rating, comment = '', sealed_comment = excluded.sealed_comment, updated_at = now()
returning rating, updated_at;

-- name: delete
delete from feedback where tenant_id = %(tenant_id)s and message_id = %(message_id)s;

-- name: list
-- A chatbot's ratings, newest first, with the beginnings of what was asked and answered.
select f.message_id, a.session_id, a.turn_id, f.rating, f.comment, f.sealed_comment, q.id as question_id,
       q.content as question, q.sealed as sealed_question, a.content as answer, a.sealed as sealed_answer,
       f.created_at, f.updated_at
from feedback f
join messages a on a.tenant_id = f.tenant_id and a.id = f.message_id
join turns t on t.tenant_id = a.tenant_id and t.id = a.turn_id
join messages q on q.tenant_id = t.tenant_id and q.id = t.user_message_id
where f.tenant_id = %(tenant_id)s and t.chatbot_id = %(chatbot_id)s
  and (%(before_at)s::timestamptz is null
       or (f.created_at, f.message_id) < (%(before_at)s::timestamptz, %(before_id)s::uuid))
order by f.created_at desc, f.message_id desc
limit %(limit)s;
