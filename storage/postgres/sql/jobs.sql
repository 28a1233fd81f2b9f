-- name: insert
-- A job that the platform reads by itself waits for that; one of uploads runs at once. No row comes back when the tenant
-- has `most` jobs that go on.
insert into ingestion_jobs (tenant_id, chatbot_id, id, name, kind, source, sealed_source, replaces, state, requested_by,
                            started_at)
select %(tenant_id)s, %(chatbot_id)s, %(id)s, %(name)s, %(kind)s, %(source)s, %(sealed_source)s::bytea, %(replaces)s, %(state)s::text,
       %(requested_by)s, case when %(state)s::text = 'running' then now() end
where (select count(*) from ingestion_jobs where tenant_id = %(tenant_id)s and ended_at is null) < %(most)s
returning tenant_id, chatbot_id, id, name, kind, source, replaces, state, reason, requested_by, attempts, found, waiting,
          unchanged, ready, failed, chunks, documents_per_second, chunks_per_second, created_at, started_at, sealed_at,
          ended_at, updated_at;

-- name: get
select tenant_id, chatbot_id, id, name, kind, source, replaces, state, reason, requested_by, attempts, found, waiting,
       unchanged, ready, failed, chunks, documents_per_second, chunks_per_second, created_at, started_at, sealed_at,
       ended_at, updated_at
from ingestion_jobs
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and id = %(id)s;

-- name: list
-- Newest first, after the cursor.
select tenant_id, chatbot_id, id, name, kind, source, replaces, state, reason, requested_by, attempts, found, waiting,
       unchanged, ready, failed, chunks, documents_per_second, chunks_per_second, created_at, started_at, sealed_at,
       ended_at, updated_at
from ingestion_jobs
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s
  and (%(before)s::uuid is null or id < %(before)s::uuid)
order by id desc
limit %(limit)s;

-- name: lock_accepting
-- Whoever joins keeps the job from being sealed or cancelled until it has.
select 1 as found from ingestion_jobs
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and id = %(id)s
  and sealed_at is null and state in ('discovering', 'running')
for key share;

-- name: lock
-- Waits for those who are joining.
select tenant_id, chatbot_id, id, name, kind, source, replaces, state, reason, requested_by, attempts, found, waiting,
       unchanged, ready, failed, chunks, documents_per_second, chunks_per_second, created_at, started_at, sealed_at,
       ended_at, updated_at
from ingestion_jobs
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and id = %(id)s
for update;

-- name: add_items
-- What failed before and is queued again waits again; what is there already stays what it is.
insert into ingestion_job_items (tenant_id, job_id, key, document_id, name, state, reason)
select %(tenant_id)s, %(job_id)s, i.key, i.document_id, i.name, i.state, i.reason
from unnest(%(keys)s::text[], %(document_ids)s::uuid[], %(names)s::text[], %(states)s::text[], %(reasons)s::text[])
    as i (key, document_id, name, state, reason)
on conflict (tenant_id, job_id, key) do update
set state = excluded.state, reason = excluded.reason, at = now()
where ingestion_job_items.state = 'failed' and excluded.state = 'queued';

-- name: mark_bulk
update documents set bulk = true where tenant_id = %(tenant_id)s and id = %(id)s;

-- name: known_hashes
-- Content that the bot has or is about to have.
select id, content_hash from documents
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and content_hash = any(%(hashes)s::text[])
  and status <> 'failed';

-- name: known_source
-- The newest document of a source that is there and well.
select id from documents
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and source = %(source)s and status <> 'failed'
order by id desc
limit 1;

-- name: fetched_before
-- What servers said of the documents below an address, for asking whether they are the same still.
select source, metadata->>'etag' as etag, metadata->>'last_modified' as last_modified
from documents
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and status = 'ready' and source like 'http%%'
  and (metadata ? 'etag' or metadata ? 'last_modified')
order by id;

-- name: document_ended
update ingestion_job_items
set state = %(state)s, reason = %(reason)s, chunks = %(chunks)s, at = now()
where tenant_id = %(tenant_id)s and document_id = %(document_id)s and state = 'queued';

-- name: seal
update ingestion_jobs set sealed_at = now(), updated_at = now()
where tenant_id = %(tenant_id)s and id = %(id)s and sealed_at is null and state = 'running'
returning tenant_id, chatbot_id, id, name, kind, source, replaces, state, reason, requested_by, attempts, found, waiting,
          unchanged, ready, failed, chunks, documents_per_second, chunks_per_second, created_at, started_at, sealed_at,
          ended_at, updated_at;

-- name: cancel
update ingestion_jobs
set state = 'cancelled', sealed_at = coalesce(sealed_at, now()), sealed_source = null, updated_at = now()
where tenant_id = %(tenant_id)s and id = %(id)s and ended_at is null and state <> 'cancelled'
returning tenant_id, chatbot_id, id, name, kind, source, replaces, state, reason, requested_by, attempts, found, waiting,
          unchanged, ready, failed, chunks, documents_per_second, chunks_per_second, created_at, started_at, sealed_at,
          ended_at, updated_at;

-- name: failures
-- After the cursor, in the order of their keys.
select i.key, i.document_id, coalesce(d.name, i.name) as name, i.reason, i.at
from ingestion_job_items i
left join documents d on d.tenant_id = i.tenant_id and d.id = i.document_id
where i.tenant_id = %(tenant_id)s and i.job_id = %(job_id)s and i.state = 'failed'
  and (%(after)s::text is null or i.key > %(after)s::text)
order by i.key
limit %(limit)s;

-- name: going_on
-- Across tenants, those that have not ended.
select tenant_id, chatbot_id, id, name, kind, source, replaces, state, reason, requested_by, attempts, found, waiting,
       unchanged, ready, failed, chunks, documents_per_second, chunks_per_second, created_at, started_at, sealed_at,
       ended_at, updated_at
from ingestion_jobs
where ended_at is null
order by id;

-- name: refresh
-- Count anew; a job whose documents have all ended, and that gets no more, ends. Nothing is written, and no row comes
-- back, when all is as it was.
with counted as (
    select count(*) as found,
           count(*) filter (where state = 'queued') as waiting,
           count(*) filter (where state = 'unchanged') as unchanged,
           count(*) filter (where state = 'ready') as ready,
           count(*) filter (where state = 'failed') as failed,
           coalesce(sum(chunks) filter (where state = 'ready'), 0) as chunks
    from ingestion_job_items
    where tenant_id = %(tenant_id)s and job_id = %(id)s
), judged as (
    select c.*, c.waiting = 0 and j.sealed_at is not null and j.state in ('running', 'cancelled') as over
    from counted c, ingestion_jobs j
    where j.tenant_id = %(tenant_id)s and j.id = %(id)s
)
update ingestion_jobs j
set found = c.found, waiting = c.waiting, unchanged = c.unchanged, ready = c.ready, failed = c.failed,
    chunks = c.chunks, documents_per_second = %(documents_per_second)s::real,
    chunks_per_second = %(chunks_per_second)s::real,
    state = case when not c.over or j.state = 'cancelled' then j.state
                 when j.reason is null then 'completed' else 'failed' end,
    ended_at = case when c.over then now() end,
    updated_at = case when c.over
                        or (j.found, j.waiting, j.unchanged, j.ready, j.failed, j.chunks)
                           is distinct from (c.found, c.waiting, c.unchanged, c.ready, c.failed, c.chunks)
                 then now() else j.updated_at end
from judged c
where j.tenant_id = %(tenant_id)s and j.id = %(id)s and j.ended_at is null
  and (c.over
       or (j.found, j.waiting, j.unchanged, j.ready, j.failed, j.chunks, j.documents_per_second, j.chunks_per_second)
          is distinct from (c.found, c.waiting, c.unchanged, c.ready, c.failed, c.chunks,
                            %(documents_per_second)s::real, %(chunks_per_second)s::real))
returning j.tenant_id, j.chatbot_id, j.id, j.name, j.kind, j.source, j.replaces, j.state,
          j.reason, j.requested_by, j.attempts, j.found, j.waiting,
          j.unchanged, j.ready, j.failed, j.chunks, j.documents_per_second, j.chunks_per_second,
          j.created_at, j.started_at, j.sealed_at, j.ended_at, j.updated_at;

-- name: forget_unchanged
-- They are counted; of a job that has ended nobody asks which they were.
delete from ingestion_job_items where tenant_id = %(tenant_id)s and job_id = %(id)s and state = 'unchanged';

-- name: seal_idle
-- Nobody has handed anything over for so long: what there is, is all.
update ingestion_jobs set sealed_at = now()
where ended_at is null and sealed_at is null and state = 'running'
  and updated_at < now() - make_interval(secs => %(seconds)s);

-- name: claim_source
-- The one that waits for longest, of a tenant none of whose sources is being read.
update ingestion_jobs j
set state = 'discovering', attempts = j.attempts + 1, started_at = coalesce(j.started_at, now()), updated_at = now()
from (
    select q.tenant_id, q.id from ingestion_jobs q
    where q.ended_at is null and q.state = 'queued'
      and not exists (select from ingestion_jobs o
                      where o.ended_at is null and o.state = 'discovering' and o.tenant_id = q.tenant_id)
    order by q.id
    limit 1
    for update skip locked
) picked
where j.tenant_id = picked.tenant_id and j.id = picked.id
returning j.tenant_id, j.chatbot_id, j.id, j.name, j.kind, j.source, j.replaces, j.state,
          j.reason, j.requested_by, j.attempts, j.found, j.waiting,
          j.unchanged, j.ready, j.failed, j.chunks, j.documents_per_second, j.chunks_per_second,
          j.created_at, j.started_at, j.sealed_at, j.ended_at, j.updated_at;

-- name: sealed_source
select sealed_source from ingestion_jobs where tenant_id = %(tenant_id)s and id = %(id)s;

-- name: source_read
-- To its end, or as far as `reason` says.
update ingestion_jobs
set state = 'running', sealed_at = now(), sealed_source = null, reason = %(reason)s, updated_at = now()
where tenant_id = %(tenant_id)s and id = %(id)s and state = 'discovering';

-- name: give_back
-- Whoever read its source is gone: once more, or never after `most` attempts.
update ingestion_jobs
set state = case when attempts < %(most)s then 'queued' else 'running' end,
    sealed_at = case when attempts < %(most)s then null else now() end,
    sealed_source = case when attempts < %(most)s then sealed_source end,
    reason = case when attempts < %(most)s then null else %(reason)s end,
    updated_at = now()
where tenant_id = %(tenant_id)s and id = %(id)s and state = 'discovering';

-- name: give_all_back
update ingestion_jobs
set state = case when attempts < %(most)s then 'queued' else 'running' end,
    sealed_at = case when attempts < %(most)s then null else now() end,
    sealed_source = case when attempts < %(most)s then sealed_source end,
    reason = case when attempts < %(most)s then null else %(reason)s end,
    updated_at = now()
where ended_at is null and state = 'discovering';

-- name: left_by_cancelled
-- Documents that nobody has begun, of jobs that were cancelled; what another job counts on stays.
select d.tenant_id, d.chatbot_id, d.id, d.attempts
from ingestion_jobs j
join ingestion_job_items i on i.tenant_id = j.tenant_id and i.job_id = j.id and i.state = 'queued'
join documents d on d.tenant_id = i.tenant_id and d.id = i.document_id and d.status = 'queued'
where j.ended_at is null and j.state = 'cancelled'
  and not exists (select from ingestion_job_items o
                  join ingestion_jobs oj on oj.tenant_id = o.tenant_id and oj.id = o.job_id
                  where o.tenant_id = i.tenant_id and o.document_id = i.document_id and o.job_id <> i.job_id
                    and oj.state <> 'cancelled')
order by d.id
limit %(limit)s
for update of d skip locked;

-- name: remove_left
delete from documents where tenant_id = %(tenant_id)s and id = %(id)s and status = 'queued';

-- name: replaced_by
-- Older documents of the same source, where a job of this one says that it takes their place.
select o.id, j.requested_by
from documents d
join ingestion_job_items i on i.tenant_id = d.tenant_id and i.document_id = d.id
join ingestion_jobs j on j.tenant_id = i.tenant_id and j.id = i.job_id and j.replaces
join documents o on o.tenant_id = d.tenant_id and o.chatbot_id = d.chatbot_id and o.source = d.source and o.id < d.id
where d.tenant_id = %(tenant_id)s and d.id = %(id)s and d.source is not null
order by o.id;

-- name: expire
delete from ingestion_jobs where ended_at < now() - make_interval(days => %(days)s);
