-- name: count
select count(*) as total from question_sets where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s;

-- name: insert
insert into question_sets (tenant_id, id, chatbot_id, name)
values (%(tenant_id)s, %(id)s, %(chatbot_id)s, %(name)s);

-- name: get
select s.tenant_id, s.chatbot_id, s.id, s.name, s.revision, s.created_at, s.updated_at,
       (select count(*) from evaluation_questions q
        where q.tenant_id = s.tenant_id and q.question_set_id = s.id) as questions
from question_sets s
where s.tenant_id = %(tenant_id)s and s.chatbot_id = %(chatbot_id)s and s.id = %(id)s;

-- name: lock
-- Two uploads into one set follow each other, so that a question is not added twice.
select id from question_sets
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and id = %(id)s
for update;

-- name: list
-- Oldest first.
select s.tenant_id, s.chatbot_id, s.id, s.name, s.revision, s.created_at, s.updated_at,
       (select count(*) from evaluation_questions q
        where q.tenant_id = s.tenant_id and q.question_set_id = s.id) as questions
from question_sets s
where s.tenant_id = %(tenant_id)s and s.chatbot_id = %(chatbot_id)s
order by s.id;

-- name: delete
delete from question_sets where tenant_id = %(tenant_id)s and id = %(id)s;

-- name: is_gate
select 1 as found from publish_gates where tenant_id = %(tenant_id)s and question_set_id = %(id)s;

-- name: touch
update question_sets set revision = revision + 1, updated_at = now()
where tenant_id = %(tenant_id)s and id = %(id)s;

-- name: insert_questions
insert into evaluation_questions (tenant_id, id, question_set_id, source, rating, answerable, session_id, sealed)
select %(tenant_id)s, q.id, %(question_set_id)s, q.source, q.rating, q.answerable, q.session_id, q.sealed
from unnest(%(ids)s::uuid[], %(sources)s::text[], %(ratings)s::text[], %(answerable)s::boolean[],
            %(session_ids)s::uuid[], %(sealed)s::bytea[])
    as q (id, source, rating, answerable, session_id, sealed);

-- name: insert_passages
insert into expected_passages (tenant_id, question_id, position, document_id, span_start, span_end, sealed)
select %(tenant_id)s, p.question_id, p.position, p.document_id, p.span_start, p.span_end, p.sealed
from unnest(%(question_ids)s::uuid[], %(positions)s::integer[], %(document_ids)s::uuid[], %(starts)s::integer[],
            %(ends)s::integer[], %(sealed)s::bytea[])
    as p (question_id, position, document_id, span_start, span_end, sealed);

-- name: questions
-- In the order in which they were added, after the cursor.
select id, source, rating, answerable, sealed, created_at
from evaluation_questions
where tenant_id = %(tenant_id)s and question_set_id = %(question_set_id)s
  and (%(after)s::uuid is null or id > %(after)s::uuid)
order by id
limit %(limit)s;

-- name: questions_by_id
select id, source, rating, answerable, sealed, created_at
from evaluation_questions
where tenant_id = %(tenant_id)s and id = any(%(ids)s::uuid[])
order by id;

-- name: passages_of
select question_id, position, document_id, span_start, span_end, sealed
from expected_passages
where tenant_id = %(tenant_id)s and question_id = any(%(question_ids)s::uuid[])
order by question_id, position;

-- name: delete_question
delete from evaluation_questions
where tenant_id = %(tenant_id)s and question_set_id = %(question_set_id)s and id = %(id)s;

-- name: known_documents
-- Those of the ids that are documents of the bot.
select id from documents
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and id = any(%(ids)s::uuid[]);

-- name: candidates
-- The bot's answered questions, newest first, with what their readers thought.
select t.id as turn_id, t.session_id, t.plan_reason, q.id as question_id, q.content as question,
       q.sealed as sealed_question, a.id as answer_id, a.content as answer, a.sealed as sealed_answer, f.rating
from turns t
join messages q on q.tenant_id = t.tenant_id and q.id = t.user_message_id
join messages a on a.tenant_id = t.tenant_id and a.turn_id = t.id and a.role = 'assistant'
left join feedback f on f.tenant_id = a.tenant_id and f.message_id = a.id
where t.tenant_id = %(tenant_id)s and t.chatbot_id = %(chatbot_id)s and t.state = 'completed'
  and q.withheld_at is null and a.withheld_at is null
  and (%(rating)s = 'all' or f.rating = %(rating)s or (%(rating)s = 'rated' and f.rating is not null))
order by t.id desc
limit %(limit)s;

-- name: histories
-- The answered exchanges before each of these turns on its own branch, oldest first.
with recursive line as (
    select t.id as leaf, t.parent_turn_id as id, 1 as depth
    from turns t
    where t.tenant_id = %(tenant_id)s and t.id = any(%(turn_ids)s::uuid[])
    union all
    select line.leaf, t.parent_turn_id, line.depth + 1
    from line
    join turns t on t.tenant_id = %(tenant_id)s and t.id = line.id
    where line.depth < %(exchanges)s
)
select line.leaf, t.session_id, q.id as question_id, q.content as question, q.sealed as sealed_question,
       a.id as answer_id, a.content as answer, a.sealed as sealed_answer
from line
join turns t on t.tenant_id = %(tenant_id)s and t.id = line.id
join messages q on q.tenant_id = t.tenant_id and q.id = t.user_message_id
join messages a on a.tenant_id = t.tenant_id and a.turn_id = t.id and a.role = 'assistant'
where q.withheld_at is null and a.withheld_at is null
order by line.leaf, line.depth desc;

-- name: citations_of
-- Of documents that are still there.
select c.message_id, m.session_id, c.position, c.document_id, c.document_name, c.page, c.section, c.span_start,
       c.span_end, c.snippet, c.sealed
from citations c
join messages m on m.tenant_id = c.tenant_id and m.id = c.message_id
join documents d on d.tenant_id = c.tenant_id and d.id = c.document_id
where c.tenant_id = %(tenant_id)s and c.message_id = any(%(message_ids)s::uuid[])
order by c.message_id, c.position;
