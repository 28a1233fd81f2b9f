-- name: insert
insert into sessions (tenant_id, id, chatbot_id, title)
values (%(tenant_id)s, %(id)s, %(chatbot_id)s, %(title)s)
returning tenant_id, id, chatbot_id, title, created_at, updated_at;

-- name: get
select tenant_id, id, chatbot_id, title, created_at, updated_at
from sessions
where tenant_id = %(tenant_id)s and id = %(id)s;

-- name: list
-- Newest first, after the cursor.
select tenant_id, id, chatbot_id, title, created_at, updated_at
from sessions
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s
  and (%(before)s::uuid is null or id < %(before)s::uuid)
order by id desc
limit %(limit)s;

-- name: list_messages
-- Oldest first, after the cursor, with the state of the turn and what an answer used.
select m.id, m.session_id, m.turn_id, m.role, m.content, m.created_at, t.state, t.client_id,
       u.prompt_tokens, u.completion_tokens, u.cached_tokens
from messages m
join turns t on t.tenant_id = m.tenant_id and t.id = m.turn_id
left join usage_ledger u on u.tenant_id = m.tenant_id and u.turn_id = m.turn_id and m.role = 'assistant'
where m.tenant_id = %(tenant_id)s and m.session_id = %(session_id)s
  and (%(after)s::uuid is null or m.id > %(after)s::uuid)
order by m.id
limit %(limit)s;

-- name: citations_of
select message_id, position, document_id, document_name, page, section, span_start, span_end, snippet
from citations
where tenant_id = %(tenant_id)s and message_id = any(%(message_ids)s)
order by message_id, position;
