-- name: insert
insert into sessions (tenant_id, id, chatbot_id, sealed_title, visitor_id)
values (%(tenant_id)s, %(id)s, %(chatbot_id)s, %(sealed_title)s, %(visitor_id)s)
returning tenant_id, id, chatbot_id, title, sealed_title, visitor_id, head_turn_id, closed_at, created_at, updated_at;

-- name: get
select tenant_id, id, chatbot_id, title, sealed_title, visitor_id, head_turn_id, closed_at, created_at, updated_at
from sessions
where tenant_id = %(tenant_id)s and id = %(id)s;

-- name: list
-- Newest first, after the cursor; a visitor's own, or everybody's.
select tenant_id, id, chatbot_id, title, sealed_title, visitor_id, head_turn_id, closed_at, created_at, updated_at
from sessions
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s
  and (%(visitor_id)s::uuid is null or visitor_id = %(visitor_id)s::uuid)
  and (%(before)s::uuid is null or id < %(before)s::uuid)
order by id desc
limit %(limit)s;

-- name: update
-- What is null stays as it is; a session that is closed again keeps its first moment.
update sessions
set title = case when %(renamed)s then '' else title end,
    sealed_title = case when %(renamed)s then %(sealed_title)s else sealed_title end,
    head_turn_id = coalesce(%(head_turn_id)s::uuid, head_turn_id),
    closed_at = case %(closed)s::boolean when true then coalesce(closed_at, now()) when false then null else closed_at end,
    updated_at = now()
where tenant_id = %(tenant_id)s and id = %(id)s
returning tenant_id, id, chatbot_id, title, sealed_title, visitor_id, head_turn_id, closed_at, created_at, updated_at;
