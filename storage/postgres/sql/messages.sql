-- name: branch
-- The turns from the root to `leaf`, oldest first.
with recursive branch as (
    select id, parent_turn_id, 0 as distance
    from turns
    where tenant_id = %(tenant_id)s and session_id = %(session_id)s and id = %(leaf)s
    union all
    select t.id, t.parent_turn_id, b.distance + 1
    from branch b
    join turns t on t.tenant_id = %(tenant_id)s and t.session_id = %(session_id)s and t.id = b.parent_turn_id
)
select id from branch order by distance desc;

-- name: newest_leaf
-- The youngest end of the branches that go through a turn.
with recursive below as (
    select id
    from turns
    where tenant_id = %(tenant_id)s and session_id = %(session_id)s and id = %(turn_id)s
    union all
    select t.id
    from below b
    join turns t on t.tenant_id = %(tenant_id)s and t.session_id = %(session_id)s and t.parent_turn_id = b.id
)
select b.id
from below b
where not exists (select from turns c
                  where c.tenant_id = %(tenant_id)s and c.session_id = %(session_id)s and c.parent_turn_id = b.id)
order by b.id desc
limit 1;

-- name: messages_of
-- The question and, where there is one, the answer of each turn; a regenerated turn has another turn's question.
select m.id, m.session_id, t.id as turn_id, t.parent_turn_id, t.state, t.client_id, m.role, m.content, m.sealed,
       m.created_at, m.delivered_at, m.withheld_at, u.prompt_tokens, u.completion_tokens, u.cached_tokens, f.rating, f.comment,
       f.sealed_comment, f.updated_at as rated_at
from turns t
left join messages a on a.tenant_id = t.tenant_id and a.turn_id = t.id and a.role = 'assistant'
cross join lateral (values (t.user_message_id), (a.id)) part (message_id)
join messages m on m.tenant_id = t.tenant_id and m.session_id = t.session_id and m.id = part.message_id
left join usage_ledger u on u.tenant_id = m.tenant_id and u.turn_id = m.turn_id and m.role = 'assistant'
left join feedback f on f.tenant_id = m.tenant_id and f.message_id = m.id
where t.tenant_id = %(tenant_id)s and t.session_id = %(session_id)s and t.id = any(%(turn_ids)s);

-- name: versions_of
-- The children of each parent; those of no parent begin the session.
select parent_turn_id, array_agg(id order by id) as versions
from turns
where tenant_id = %(tenant_id)s and session_id = %(session_id)s
  and (parent_turn_id = any(%(parents)s) or (%(roots)s and parent_turn_id is null))
group by parent_turn_id;

-- name: citations_of
select message_id, position, document_id, document_name, page, section, span_start, span_end, snippet, sealed
from citations
where tenant_id = %(tenant_id)s and message_id = any(%(message_ids)s)
order by message_id, position;

-- name: citation
select c.message_id, c.position, c.document_id, c.document_name, c.page, c.section, c.span_start, c.span_end, c.snippet,
       c.sealed
from citations c
join messages m on m.tenant_id = c.tenant_id and m.id = c.message_id
where c.tenant_id = %(tenant_id)s and c.message_id = %(message_id)s and c.position = %(position)s
  and m.session_id = %(session_id)s and m.withheld_at is null;

-- name: branches
-- Every leaf with the number of messages from the root to it, newest first.
with recursive tree as (
    select t.id, t.user_message_id, t.created_at, 1 + (a.id is not null)::integer as messages
    from turns t
    left join messages a on a.tenant_id = t.tenant_id and a.turn_id = t.id and a.role = 'assistant'
    where t.tenant_id = %(tenant_id)s and t.session_id = %(session_id)s and t.parent_turn_id is null
    union all
    select t.id, t.user_message_id, t.created_at, p.messages + 1 + (a.id is not null)::integer
    from tree p
    join turns t on t.tenant_id = %(tenant_id)s and t.session_id = %(session_id)s and t.parent_turn_id = p.id
    left join messages a on a.tenant_id = t.tenant_id and a.turn_id = t.id and a.role = 'assistant'
)
select b.id as turn_id, b.messages, q.id as message_id, case when q.withheld_at is null then q.content end as content,
       case when q.withheld_at is null then q.sealed end as sealed, b.created_at
from tree b
join messages q on q.tenant_id = %(tenant_id)s and q.id = b.user_message_id
where not exists (select from turns c
                  where c.tenant_id = %(tenant_id)s and c.session_id = %(session_id)s and c.parent_turn_id = b.id)
order by b.id desc
limit %(limit)s;

-- name: role_of
select role, content, sealed from messages where tenant_id = %(tenant_id)s and session_id = %(session_id)s and id = %(id)s;

-- name: mark_delivered
-- An answer of the session and every earlier one; nothing when the id is no answer of it.
update messages m set delivered_at = now()
where m.tenant_id = %(tenant_id)s and m.session_id = %(session_id)s and m.role = 'assistant'
  and m.id <= %(id)s and m.delivered_at is null
  and exists (select from messages a
              where a.tenant_id = m.tenant_id and a.session_id = m.session_id and a.id = %(id)s
                and a.role = 'assistant');

-- name: undelivered
-- Answers of ended turns that nobody has confirmed, oldest first.
select m.turn_id, m.id
from messages m
join turns t on t.tenant_id = m.tenant_id and t.id = m.turn_id
where m.tenant_id = %(tenant_id)s and m.session_id = %(session_id)s and m.role = 'assistant'
  and m.delivered_at is null and t.state not in ('accepted', 'running')
order by m.id
limit %(limit)s;
