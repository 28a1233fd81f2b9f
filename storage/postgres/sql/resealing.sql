-- name: tenants
-- Across tenants: who has something in clear, or more than one version of a key. The first parts read indexes that are
-- empty once everything is sealed.
select tenant_id from messages where sealed is null
union select tenant_id from citations where sealed is null
union select tenant_id from sessions where title <> ''
union select tenant_id from feedback where comment <> ''
union select tenant_id from documents where sealed_version is null
union select tenant_id from tenant_keys group by tenant_id having count(*) > 1
order by tenant_id;

-- name: stale_messages
-- In clear, or sealed with another version of the key, which is bytes two to five.
select id, session_id, content, sealed
from messages
where tenant_id = %(tenant_id)s and id > %(after)s
  and (sealed is null or substring(sealed from 2 for 4) <> %(version)s)
order by id
limit %(limit)s;

-- name: put_message
-- Unless somebody was faster.
update messages set content = null, sealed = %(sealed)s
where tenant_id = %(tenant_id)s and id = %(id)s and sealed is not distinct from %(before)s;

-- name: stale_citations
select c.message_id, m.session_id, c.position, c.document_id, c.document_name, c.page, c.section, c.span_start,
       c.span_end, c.snippet, c.sealed
from citations c
join messages m on m.tenant_id = c.tenant_id and m.id = c.message_id
where c.tenant_id = %(tenant_id)s and (c.message_id, c.position) > (%(after)s, %(after_position)s)
  and (c.sealed is null or substring(c.sealed from 2 for 4) <> %(version)s)
order by c.message_id, c.position
limit %(limit)s;

-- name: put_citation
update citations set document_name = null, section = null, snippet = null, sealed = %(sealed)s
where tenant_id = %(tenant_id)s and message_id = %(message_id)s and position = %(position)s
  and sealed is not distinct from %(before)s;

-- name: stale_sessions
select id, title, sealed_title
from sessions
where tenant_id = %(tenant_id)s and id > %(after)s
  and (title <> '' or substring(sealed_title from 2 for 4) <> %(version)s)
order by id
limit %(limit)s;

-- name: put_session
-- Not a change that a reader would call one: `updated_at` stays.
update sessions set title = '', sealed_title = %(sealed)s
where tenant_id = %(tenant_id)s and id = %(id)s and sealed_title is not distinct from %(before)s
  and title = %(title)s;

-- name: stale_feedback
select message_id as id, comment, sealed_comment
from feedback
where tenant_id = %(tenant_id)s and message_id > %(after)s
  and (comment <> '' or substring(sealed_comment from 2 for 4) <> %(version)s)
order by message_id
limit %(limit)s;

-- name: put_feedback
update feedback set comment = '', sealed_comment = %(sealed)s
where tenant_id = %(tenant_id)s and message_id = %(id)s and sealed_comment is not distinct from %(before)s
  and comment = %(comment)s;

-- name: stale_summaries
select turn_id as id, session_id, sealed
from session_summaries
where tenant_id = %(tenant_id)s and turn_id > %(after)s and substring(sealed from 2 for 4) <> %(version)s
order by turn_id
limit %(limit)s;

-- name: put_summary
update session_summaries set sealed = %(sealed)s
where tenant_id = %(tenant_id)s and turn_id = %(id)s and sealed = %(before)s;

-- name: stale_visitors
select id, sealed_attributes as sealed
from visitors
where tenant_id = %(tenant_id)s and id > %(after)s and substring(sealed_attributes from 2 for 4) <> %(version)s
order by id
limit %(limit)s;

-- name: put_visitor
update visitors set sealed_attributes = %(sealed)s
where tenant_id = %(tenant_id)s and id = %(id)s and sealed_attributes = %(before)s;

-- name: stale_questions
select id, sealed
from evaluation_questions
where tenant_id = %(tenant_id)s and id > %(after)s and substring(sealed from 2 for 4) <> %(version)s
order by id
limit %(limit)s;

-- name: put_question
update evaluation_questions set sealed = %(sealed)s
where tenant_id = %(tenant_id)s and id = %(id)s and sealed = %(before)s;

-- name: stale_expected
select question_id, position, sealed
from expected_passages
where tenant_id = %(tenant_id)s and (question_id, position) > (%(after)s, %(after_position)s)
  and substring(sealed from 2 for 4) <> %(version)s
order by question_id, position
limit %(limit)s;

-- name: put_expected
update expected_passages set sealed = %(sealed)s
where tenant_id = %(tenant_id)s and question_id = %(question_id)s and position = %(position)s
  and sealed = %(before)s;

-- name: stale_results
-- What was opened leaves the list, so each batch begins anew.
select evaluation_id, question_id, sealed
from evaluation_results
where tenant_id = %(tenant_id)s and evaluation_id >= %(after)s and sealed is not null
  and substring(sealed from 2 for 4) <> %(version)s
order by evaluation_id, question_id
limit %(limit)s;

-- name: put_result
update evaluation_results set sealed = %(sealed)s
where tenant_id = %(tenant_id)s and evaluation_id = %(evaluation_id)s and question_id = %(question_id)s
  and sealed = %(before)s;

-- name: stale_traces
select turn_id, sealed
from turn_traces
where tenant_id = %(tenant_id)s and turn_id > %(after)s and substring(sealed from 2 for 4) <> %(version)s
order by turn_id
limit %(limit)s;

-- name: put_trace
update turn_traces set sealed = %(sealed)s
where tenant_id = %(tenant_id)s and turn_id = %(turn_id)s and sealed = %(before)s;

-- name: lock_stale_document
-- The next one that nobody works on; its row is held while its files are written.
select id, sealed_version
from documents
where tenant_id = %(tenant_id)s and id > %(after)s and status in ('ready', 'failed')
  and (sealed_version is null or sealed_version < %(version)s)
order by id
limit 1
for update skip locked;

-- name: put_document
update documents set sealed_version = %(version)s where tenant_id = %(tenant_id)s and id = %(id)s;

-- name: settled
-- Whether the version has sealed for so long that nothing else is written, and no row or file has another one.
select exists (select from tenant_keys
               where tenant_id = %(tenant_id)s and version = %(number)s
                 and active_from <= now() - make_interval(secs => %(seconds)s))
   and not exists (select from messages where tenant_id = %(tenant_id)s
                   and (sealed is null or substring(sealed from 2 for 4) <> %(version)s))
   and not exists (select from citations where tenant_id = %(tenant_id)s
                   and (sealed is null or substring(sealed from 2 for 4) <> %(version)s))
   and not exists (select from sessions where tenant_id = %(tenant_id)s
                   and substring(sealed_title from 2 for 4) <> %(version)s)
   and not exists (select from feedback where tenant_id = %(tenant_id)s
                   and substring(sealed_comment from 2 for 4) <> %(version)s)
   and not exists (select from session_summaries where tenant_id = %(tenant_id)s
                   and substring(sealed from 2 for 4) <> %(version)s)
   and not exists (select from visitors where tenant_id = %(tenant_id)s
                   and substring(sealed_attributes from 2 for 4) <> %(version)s)
   and not exists (select from evaluation_questions where tenant_id = %(tenant_id)s
                   and substring(sealed from 2 for 4) <> %(version)s)
   and not exists (select from expected_passages where tenant_id = %(tenant_id)s
                   and substring(sealed from 2 for 4) <> %(version)s)
   and not exists (select from turn_traces where tenant_id = %(tenant_id)s
                   and substring(sealed from 2 for 4) <> %(version)s)
   and not exists (select from evaluation_results where tenant_id = %(tenant_id)s
                   and substring(sealed from 2 for 4) <> %(version)s)
   and not exists (select from documents where tenant_id = %(tenant_id)s
                   and sealed_version is distinct from %(number)s) as settled;
