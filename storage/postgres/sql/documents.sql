-- name: insert
-- The same content is one document per bot. One that failed before gets another chance; no row comes back for
-- one that is there and well.
insert into documents (tenant_id, id, chatbot_id, name, media_type, size, content_hash, sealed_version, metadata,
                       source)
values (%(tenant_id)s, %(id)s, %(chatbot_id)s, %(name)s, %(media_type)s, %(size)s, %(content_hash)s,
        %(sealed_version)s, %(metadata)s, %(source)s)
on conflict (tenant_id, chatbot_id, content_hash) do update
set status = 'queued', reason = null, attempts = 0, name = excluded.name, media_type = excluded.media_type,
    sealed_version = excluded.sealed_version, metadata = excluded.metadata, source = excluded.source,
    updated_at = now()
where documents.status = 'failed'
returning tenant_id, chatbot_id, id, name, media_type, size, content_hash, status, reason, pages, chunks,
          sealed_version, metadata, language, source, chunked_with, notice, recognised_pages,
       recognition_confidence, created_at, updated_at;

-- name: get_by_hash
select tenant_id, chatbot_id, id, name, media_type, size, content_hash, status, reason, pages, chunks,
       sealed_version, metadata, language, source, chunked_with, notice, recognised_pages,
       recognition_confidence, created_at, updated_at
from documents
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and content_hash = %(content_hash)s;

-- name: by_hashes
select tenant_id, chatbot_id, id, name, media_type, size, content_hash, status, reason, pages, chunks,
       sealed_version, metadata, language, source, chunked_with, notice, recognised_pages,
       recognition_confidence, created_at, updated_at
from documents
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and content_hash = any(%(hashes)s::text[]);

-- name: get
select tenant_id, chatbot_id, id, name, media_type, size, content_hash, status, reason, pages, chunks,
       sealed_version, metadata, language, source, chunked_with, notice, recognised_pages,
       recognition_confidence, created_at, updated_at
from documents
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and id = %(id)s;

-- name: list
-- Newest first, after the cursor. A metadata value that is missing is null, which no wanted value equals.
select tenant_id, chatbot_id, id, name, media_type, size, content_hash, status, reason, pages, chunks,
       sealed_version, metadata, language, source, chunked_with, notice, recognised_pages,
       recognition_confidence, created_at, updated_at
from documents
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s
  and (%(before)s::uuid is null or id < %(before)s::uuid)
  and (%(status)s::text is null or status = %(status)s::text)
  and (%(ids)s::uuid[] is null or id = any(%(ids)s::uuid[]))
  and (%(languages)s::text[] is null or language = any(%(languages)s::text[]))
  and (%(media_types)s::text[] is null or media_type = any(%(media_types)s::text[]))
  and (%(part_of_name)s::text is null or strpos(lower(name), lower(%(part_of_name)s::text)) > 0)
  and (%(source)s::text is null or starts_with(source, %(source)s::text))
  and not exists (
      select 1 from jsonb_each(%(metadata)s::jsonb) wanted
      where not wanted.value @> jsonb_build_array(documents.metadata -> wanted.key)
  )
order by id desc
limit %(limit)s;

-- name: matching
-- The same filter as in `list`.
select id from documents
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s
  and (%(ids)s::uuid[] is null or id = any(%(ids)s::uuid[]))
  and (%(languages)s::text[] is null or language = any(%(languages)s::text[]))
  and (%(media_types)s::text[] is null or media_type = any(%(media_types)s::text[]))
  and (%(part_of_name)s::text is null or strpos(lower(name), lower(%(part_of_name)s::text)) > 0)
  and (%(source)s::text is null or starts_with(source, %(source)s::text))
  and not exists (
      select 1 from jsonb_each(%(metadata)s::jsonb) wanted
      where not wanted.value @> jsonb_build_array(documents.metadata -> wanted.key)
  )
order by id;

-- name: update_details
update documents
set name = coalesce(%(name)s::text, name), metadata = coalesce(%(metadata)s::jsonb, metadata), updated_at = now()
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and id = %(id)s
returning tenant_id, chatbot_id, id, name, media_type, size, content_hash, status, reason, pages, chunks,
          sealed_version, metadata, language, source, chunked_with, notice, recognised_pages,
       recognition_confidence, created_at, updated_at;

-- name: count
select count(*) as documents from documents where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s;

-- name: delete
delete from documents
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and id = %(id)s
returning tenant_id, chatbot_id, id, name, media_type, size, content_hash, status, reason, pages, chunks,
          sealed_version, metadata, language, source, chunked_with, notice, recognised_pages,
       recognition_confidence, created_at, updated_at;

-- name: claim_batch
-- Tenants take turns: a document's turn is its place in its tenant's queue behind what that tenant has in work; what was
-- handed over in bulk waits behind the rest. A batch ends where its bytes would pass the budget, but holds one document
-- at least.
with busy as (
    select tenant_id, count(*) as running from documents where status = 'processing' group by tenant_id
), queue as (
    select d.tenant_id, d.id, d.size,
           row_number() over (partition by d.tenant_id order by d.bulk, d.id) + coalesce(b.running, 0) as turn
    from documents d
    left join busy b using (tenant_id)
    where d.status = 'queued' and (%(largest)s::bigint is null or d.size <= %(largest)s::bigint)
), budgeted as (
    select tenant_id, id, turn, sum(size) over (order by turn, id) - size as bytes_before from queue
), picked as (
    select d.tenant_id, d.chatbot_id, d.id
    from documents d
    join budgeted b using (tenant_id, id)
    where d.status = 'queued' and b.bytes_before < %(bytes)s
    order by b.turn, d.id
    limit %(limit)s
    for update of d skip locked
)
update documents d
set status = 'processing', attempts = d.attempts + 1, updated_at = now()
from picked p
join chatbots c on c.tenant_id = p.tenant_id and c.id = p.chatbot_id
left join chatbot_configs v on v.tenant_id = c.tenant_id and v.chatbot_id = c.id and v.version = c.version
where d.tenant_id = p.tenant_id and d.id = p.id
returning d.tenant_id, d.chatbot_id, d.id, d.name, d.media_type, d.size, d.content_hash, d.status, d.reason, d.pages,
          d.chunks, d.sealed_version, d.metadata, d.language, d.source, d.chunked_with, d.notice, d.recognised_pages,
          d.recognition_confidence, d.created_at, d.updated_at, d.attempts, (v.config -> 'chunking')::text as chunking, c.knowledge_generation,
          c.knowledge_model;

-- name: mark_ready
-- No row comes back for a document that was deleted meanwhile. The caller holds the bot's row.
with ready as (
    update documents
    set status = 'ready', reason = null, pages = %(pages)s, chunks = %(chunks)s, language = %(language)s,
        chunked_with = %(chunked_with)s, notice = %(notice)s, recognised_pages = %(recognised_pages)s,
        recognition_confidence = %(recognition_confidence)s, updated_at = now()
    where tenant_id = %(tenant_id)s and id = %(id)s and status = 'processing'
    returning tenant_id, chatbot_id, name
), changed as (
    update chatbots b set knowledge_version = b.knowledge_version + 1
    from ready
    where b.tenant_id = ready.tenant_id and b.id = ready.chatbot_id
)
select name from ready;

-- name: mark_failed
update documents
set status = 'failed', reason = %(reason)s, pages = null, chunks = null, notice = null, recognised_pages = null,
    recognition_confidence = null, updated_at = now()
where tenant_id = %(tenant_id)s and id = %(id)s and status = 'processing'
returning id;

-- name: requeue
update documents set status = 'queued', updated_at = now()
where tenant_id = %(tenant_id)s and id = %(id)s and status = 'processing'
returning id;

-- name: orphans
-- In work without a worker: what a supervisor that died had claimed.
select tenant_id, chatbot_id, id, name, media_type, size, content_hash, status, reason, pages, chunks,
       sealed_version, metadata, language, source, chunked_with, notice, recognised_pages,
       recognition_confidence, created_at, updated_at, attempts
from documents
where status = 'processing'
order by id
for update;

-- name: chatbot_exists
select 1 as found from chatbots where tenant_id = %(tenant_id)s and id = %(chatbot_id)s;
