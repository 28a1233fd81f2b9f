-- name: claim_epoch
-- A host takes the tenant: every earlier host's epoch is stale from here on.
insert into tenant_epochs (tenant_id, host) values (%(tenant_id)s, %(host)s)
on conflict (tenant_id) do update
    set epoch = tenant_epochs.epoch + 1, host = excluded.host, updated_at = now()
returning epoch;

-- name: hold_epoch
-- Held to the end of the transaction, so that a claim waits for the commit or the commit sees the claim.
select epoch from tenant_epochs where tenant_id = %(tenant_id)s for share;

-- name: interrupt_orphans
-- Turns that an earlier host left open.
update turns set state = 'interrupted', ended_at = now(), error_code = 'interrupted'
where tenant_id = %(tenant_id)s and epoch < %(epoch)s and state in ('accepted', 'running')
returning id;

-- name: tenant_plan
select plan from tenants where id = %(tenant_id)s;

-- name: session_context
-- What a turn needs to start: the bot's live configuration.
select s.id as session_id, s.chatbot_id, c.name as chatbot_name, c.version, f.config
from sessions s
join chatbots c on c.tenant_id = s.tenant_id and c.id = s.chatbot_id
join chatbot_configs f on f.tenant_id = c.tenant_id and f.chatbot_id = c.id and f.version = c.version
where s.tenant_id = %(tenant_id)s and s.id = %(session_id)s;

-- name: by_client_id
select id, state, user_message_id
from turns
where tenant_id = %(tenant_id)s and session_id = %(session_id)s and client_id = %(client_id)s;

-- name: insert_turn
insert into turns (tenant_id, id, session_id, chatbot_id, config_version, client_id, user_message_id, epoch, state)
values (%(tenant_id)s, %(id)s, %(session_id)s, %(chatbot_id)s, %(config_version)s, %(client_id)s,
        %(user_message_id)s, %(epoch)s, 'running');

-- name: insert_message
insert into messages (tenant_id, id, session_id, turn_id, role, content)
values (%(tenant_id)s, %(id)s, %(session_id)s, %(turn_id)s, %(role)s, %(content)s);

-- name: touch_session
-- The first question names a session that has no title.
update sessions
set updated_at = now(), title = case when title = '' then left(%(title)s, 80) else title end
where tenant_id = %(tenant_id)s and id = %(session_id)s;

-- name: end_turn
update turns
set state = %(state)s, model = %(model)s, plan_reason = %(plan_reason)s, error_code = %(error_code)s, ended_at = now()
where tenant_id = %(tenant_id)s and id = %(id)s and epoch = %(epoch)s and state in ('accepted', 'running')
returning id;

-- name: insert_citation
insert into citations (tenant_id, message_id, position, document_id, document_name, page, section, span_start,
                       span_end, snippet)
values (%(tenant_id)s, %(message_id)s, %(position)s, %(document_id)s, %(document_name)s, %(page)s, %(section)s,
        %(span_start)s, %(span_end)s, %(snippet)s);

-- name: recent_messages
-- The latest exchanges whose turn has an answer, newest first.
select m.role, m.content
from messages m
join turns t on t.tenant_id = m.tenant_id and t.id = m.turn_id
where m.tenant_id = %(tenant_id)s and m.session_id = %(session_id)s and t.state in ('completed', 'stopped')
  and exists (select from messages a
              where a.tenant_id = m.tenant_id and a.turn_id = m.turn_id and a.role = 'assistant')
order by m.turn_id desc, m.id desc
limit %(limit)s;

-- name: ended_turn
-- A finished turn with its answer, for a client that comes back after it ended.
select t.id, t.state, t.model, t.error_code, m.id as message_id, m.content,
       coalesce(u.prompt_tokens, 0) as prompt_tokens, coalesce(u.completion_tokens, 0) as completion_tokens,
       coalesce(u.cached_tokens, 0) as cached_tokens
from turns t
left join messages m on m.tenant_id = t.tenant_id and m.turn_id = t.id and m.role = 'assistant'
left join usage_ledger u on u.tenant_id = t.tenant_id and u.turn_id = t.id
where t.tenant_id = %(tenant_id)s and t.id = %(id)s and t.session_id = %(session_id)s;

-- name: citations_of
select position, document_id, document_name, page, section, span_start, span_end, snippet
from citations
where tenant_id = %(tenant_id)s and message_id = %(message_id)s
order by position;
