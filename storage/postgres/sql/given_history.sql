-- name: add_exchange
-- A question and its answer that a caller brought along: a completed turn on the session's active branch, which no
-- engine ran and nobody pays for.
with place as (
    select s.id, s.chatbot_id, s.head_turn_id, c.version
    from sessions s
    join chatbots c on c.tenant_id = s.tenant_id and c.id = s.chatbot_id
    where s.tenant_id = %(tenant_id)s and s.id = %(session_id)s
    for update of s
), turn as (
    insert into turns (tenant_id, id, session_id, chatbot_id, config_version, client_id, user_message_id,
                       parent_turn_id, epoch, state, plan_reason, ended_at)
    select %(tenant_id)s, %(turn_id)s, place.id, place.chatbot_id, place.version, %(client_id)s, %(question_id)s,
           place.head_turn_id, 0, 'completed', 'given', now()
    from place
    returning id
), said as (
    insert into messages (tenant_id, id, session_id, turn_id, role, sealed, delivered_at)
    select %(tenant_id)s, m.id, %(session_id)s, turn.id, m.role, m.sealed,
           case when m.role = 'assistant' then now() end
    from turn
    cross join (values (%(question_id)s::uuid, 'user', %(question)s::bytea),
                       (%(answer_id)s::uuid, 'assistant', %(answer)s::bytea)) m (id, role, sealed)
)
update sessions s set head_turn_id = turn.id
from turn
where s.tenant_id = %(tenant_id)s and s.id = %(session_id)s;
