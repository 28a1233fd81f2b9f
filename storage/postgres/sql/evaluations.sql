-- name: request
insert into evaluations (tenant_id, id, chatbot_id, question_set_id, revision, mode, version, config, knowledge,
                         questions, requested_by)
values (%(tenant_id)s, %(id)s, %(chatbot_id)s, %(question_set_id)s, %(revision)s, %(mode)s, %(version)s, %(config)s,
        %(knowledge)s, %(questions)s, %(requested_by)s);

-- name: open_ones
select count(*) as total from evaluations where tenant_id = %(tenant_id)s and state in ('requested', 'running');

-- name: knowledge
-- Differs when a document came, went or was ingested anew, and when another generation of them answers. Of the first
-- generation it says nothing, as before there were others.
select coalesce((select 'g' || knowledge_generation || '.' from chatbots
                 where tenant_id = %(tenant_id)s and id = %(chatbot_id)s and knowledge_generation > 0), '')
       || count(*) || '.' || coalesce(sum(chunks), 0) || '.'
       || coalesce(max(extract(epoch from updated_at) * 1000000)::bigint, 0) as state
from documents
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and status = 'ready';

-- name: get
select e.tenant_id, e.chatbot_id, e.id, e.question_set_id, e.revision, e.mode, e.version, e.config, e.knowledge,
       e.state, e.reason, e.attempts, e.questions, e.summary, e.requested_by, e.requested_at, e.started_at,
       e.finished_at,
       (select count(*) from evaluation_results r
        where r.tenant_id = e.tenant_id and r.evaluation_id = e.id) as done
from evaluations e
where e.tenant_id = %(tenant_id)s and e.id = %(id)s
  and (%(chatbot_id)s::uuid is null or e.chatbot_id = %(chatbot_id)s::uuid);

-- name: list
-- Newest first, after the cursor; of one question set, or of all.
select e.tenant_id, e.chatbot_id, e.id, e.question_set_id, e.revision, e.mode, e.version, e.config, e.knowledge,
       e.state, e.reason, e.attempts, e.questions, e.summary, e.requested_by, e.requested_at, e.started_at,
       e.finished_at,
       (select count(*) from evaluation_results r
        where r.tenant_id = e.tenant_id and r.evaluation_id = e.id) as done
from evaluations e
where e.tenant_id = %(tenant_id)s and e.chatbot_id = %(chatbot_id)s
  and (%(question_set_id)s::uuid is null or e.question_set_id = %(question_set_id)s::uuid)
  and (%(before)s::uuid is null or e.id < %(before)s::uuid)
order by e.id desc
limit %(limit)s;

-- name: cancel
update evaluations set state = 'cancelled', finished_at = now()
where tenant_id = %(tenant_id)s and id = %(id)s and state in ('requested', 'running');

-- name: delete
delete from evaluations where tenant_id = %(tenant_id)s and id = %(id)s;

-- name: claim
-- Across tenants: first what was at work when its process ended, then the tenant that has waited longest for one.
update evaluations e set state = 'running', attempts = e.attempts + 1, started_at = coalesce(e.started_at, now())
from (
    select w.tenant_id, w.id
    from evaluations w
    join tenants t on t.id = w.tenant_id
    where w.state in ('requested', 'running') and w.next_try_at <= now() and w.tenant_id <> all(%(busy)s::uuid[])
      and t.suspended_at is null and t.erased_at is null
    order by w.state desc,
             (select max(o.started_at) from evaluations o where o.tenant_id = w.tenant_id) nulls first,
             w.requested_at, w.id
    limit 1
) next
where e.tenant_id = next.tenant_id and e.id = next.id
returning e.tenant_id, e.id, e.attempts;

-- name: give_back
-- Once more after a while, or never.
update evaluations
set state = case when attempts >= %(most)s then 'failed' else 'requested' end,
    reason = case when attempts >= %(most)s then %(reason)s end,
    finished_at = case when attempts >= %(most)s then now() end,
    next_try_at = now() + make_interval(secs => %(pause)s)
where tenant_id = %(tenant_id)s and id = %(id)s and state = 'running' and attempts = %(attempts)s;

-- name: still_running
-- Which of these somebody still wants.
select id from evaluations where id = any(%(ids)s::uuid[]) and state = 'running';

-- name: is_mine
select 1 as found from evaluations
where tenant_id = %(tenant_id)s and id = %(id)s and state = 'running' and attempts = %(attempts)s;

-- name: add_result
-- Of the attempt that runs, for a question that is still there.
insert into evaluation_results (tenant_id, evaluation_id, question_id, scores, passages, sealed, error, model,
                                prompt_tokens, completion_tokens, cached_tokens, cost_micro, retrieval_ms, total_ms)
select e.tenant_id, e.id, q.id, %(scores)s, %(passages)s, %(sealed)s, %(error)s, %(model)s, %(prompt_tokens)s,
       %(completion_tokens)s, %(cached_tokens)s, %(cost_micro)s, %(retrieval_ms)s, %(total_ms)s
from evaluations e
join evaluation_questions q on q.tenant_id = e.tenant_id and q.id = %(question_id)s
where e.tenant_id = %(tenant_id)s and e.id = %(id)s and e.state = 'running' and e.attempts = %(attempts)s
on conflict do nothing;

-- name: finish
update evaluations
set state = %(state)s, reason = %(reason)s, summary = %(summary)s, finished_at = now()
where tenant_id = %(tenant_id)s and id = %(id)s and state = 'running' and attempts = %(attempts)s;

-- name: results
-- In the order of the questions, after the cursor.
select question_id, scores, passages, sealed, error, model, prompt_tokens, completion_tokens, cached_tokens,
       cost_micro, retrieval_ms, total_ms
from evaluation_results
where tenant_id = %(tenant_id)s and evaluation_id = %(id)s
  and (%(after)s::uuid is null or question_id > %(after)s::uuid)
order by question_id
limit %(limit)s;
