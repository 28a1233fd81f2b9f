-- name: list
-- Newest first. What the live generation holds is what is ready.
select g.tenant_id, g.chatbot_id, g.generation, g.model, g.chunking, g.state, g.reason, g.comparison, g.requested_by,
       g.created_at, g.built_at, g.switched_at, g.expires_at, p.*
from knowledge_generations g
cross join lateral (
    select count(*) as documents,
           count(*) filter (where m.chunks is not null or g.state = 'live') as done,
           count(*) filter (where m.reason is not null) as failed,
           coalesce(sum(case when g.state = 'live' then d.chunks else m.chunks end), 0) as chunks,
           coalesce(sum(d.chunks) filter (where m.chunks is not null), 0) as live_chunks_done,
           coalesce(sum(d.chunks) filter (where m.document_id is null), 0) as live_chunks_left,
           coalesce(sum(m.chunks) filter (where m.at > now() - interval '1 minute'), 0) as recent_chunks,
           coalesce(extract(epoch from now() - greatest(g.created_at, now() - interval '1 minute')), 0)::float
               as recent_seconds
    from documents d
    left join generation_documents m on m.tenant_id = d.tenant_id and m.chatbot_id = d.chatbot_id
        and m.generation = g.generation and m.document_id = d.id
    where d.tenant_id = g.tenant_id and d.chatbot_id = g.chatbot_id and d.status = 'ready'
) p
where g.tenant_id = %(tenant_id)s and g.chatbot_id = %(chatbot_id)s
  and (%(generation)s::integer is null or g.generation = %(generation)s::integer)
order by g.generation desc
limit 50;

-- name: pin
-- The model of a bot's vectors is decided with its first document.
update chatbots set knowledge_model = %(model)s
where tenant_id = any(%(tenants)s::uuid[]) and id = any(%(chatbots)s::uuid[]) and knowledge_model is null;

-- name: pin_all
-- Bots from before models were kept have the model of the settings.
update chatbots b set knowledge_model = %(model)s
where b.knowledge_model is null
  and exists (select from documents d where d.tenant_id = b.tenant_id and d.chatbot_id = b.id and d.status = 'ready');

-- name: live
select knowledge_generation, knowledge_model from chatbots where tenant_id = %(tenant_id)s and id = %(chatbot_id)s;

-- name: live_held
-- A switch, and another change of the bot's documents, wait for the end of this transaction.
select knowledge_generation, knowledge_model from chatbots where tenant_id = %(tenant_id)s and id = %(chatbot_id)s
for no key update;

-- name: insert_live
-- The generation that answers has a row from the first request for another one on.
insert into knowledge_generations (tenant_id, chatbot_id, generation, model, chunking, state, requested_by, built_at)
select b.tenant_id, b.id, b.knowledge_generation, coalesce(b.knowledge_model, %(model)s), %(chunking)s, 'live',
       %(requested_by)s, now()
from chatbots b
where b.tenant_id = %(tenant_id)s and b.id = %(chatbot_id)s
on conflict (tenant_id, chatbot_id, generation) do nothing;

-- name: insert
-- No row comes back while another one is being built or waits.
insert into knowledge_generations (tenant_id, chatbot_id, generation, model, chunking, requested_by)
select %(tenant_id)s, %(chatbot_id)s, max(g.generation) + 1, %(model)s, %(chunking)s, %(requested_by)s
from knowledge_generations g
where g.tenant_id = %(tenant_id)s and g.chatbot_id = %(chatbot_id)s
on conflict (tenant_id, chatbot_id) where state in ('building', 'ready') do nothing
returning generation;

-- name: give_up
-- A build is cancelled; one that was live before is kept no longer.
update knowledge_generations
set state = case state when 'retired' then 'removed' else 'cancelled' end, expires_at = null
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and generation = %(generation)s
  and state in ('building', 'ready', 'retired')
returning state;

-- name: size
select count(*) as documents, coalesce(sum(chunks), 0) as chunks from documents
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and status = 'ready';

-- name: sample
-- A few from all over, the same ones each time.
select id from documents
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and status = 'ready' and chunks > 0
  and size <= %(bytes)s
order by md5(id::text)
limit %(limit)s;

-- name: last_rate
-- Chunks per second of the last build.
select greatest(
           coalesce((select sum(m.chunks) from generation_documents m
                     where m.tenant_id = g.tenant_id and m.chatbot_id = g.chatbot_id and m.generation = g.generation), 0),
           coalesce((select sum(d.chunks) from documents d
                     where g.state = 'live' and d.tenant_id = g.tenant_id and d.chatbot_id = g.chatbot_id), 0)
       ) / greatest(extract(epoch from g.built_at - g.created_at), 0.001) as rate
from knowledge_generations g
where g.tenant_id = %(tenant_id)s and g.chatbot_id = %(chatbot_id)s and g.built_at > g.created_at
order by g.generation desc
limit 1;

-- name: previous
select generation from knowledge_generations
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and state = 'retired' and expires_at > now();

-- name: left_out
-- Documents that answer now and would not after a switch.
select count(*) filter (where m.document_id is null) as missing, count(*) filter (where m.reason is not null) as failed
from documents d
left join generation_documents m on m.tenant_id = d.tenant_id and m.chatbot_id = d.chatbot_id
    and m.generation = %(generation)s and m.document_id = d.id
where d.tenant_id = %(tenant_id)s and d.chatbot_id = %(chatbot_id)s and d.status = 'ready';

-- name: keep_documents
-- What the generation holds that is live until now.
insert into generation_documents (tenant_id, chatbot_id, generation, document_id, chunks, chunked_with)
select d.tenant_id, d.chatbot_id, %(generation)s, d.id, coalesce(d.chunks, 0), d.chunked_with
from documents d
where d.tenant_id = %(tenant_id)s and d.chatbot_id = %(chatbot_id)s and d.status = 'ready'
on conflict (tenant_id, chatbot_id, generation, document_id) do update
set chunks = excluded.chunks, chunked_with = excluded.chunked_with, reason = null;

-- name: show_documents
-- Documents are what the generation made of them.
update documents d
set status = 'ready', reason = null, chunks = m.chunks, chunked_with = m.chunked_with, updated_at = now()
from generation_documents m
where m.tenant_id = %(tenant_id)s and m.chatbot_id = %(chatbot_id)s and m.generation = %(generation)s
  and m.reason is null and d.tenant_id = m.tenant_id and d.id = m.document_id and d.status in ('ready', 'failed');

-- name: queue_documents
-- What the generation could not take in has another chance, and then a reason.
update documents d
set status = 'queued', attempts = 0, chunks = null, chunked_with = null, updated_at = now()
from generation_documents m
where m.tenant_id = %(tenant_id)s and m.chatbot_id = %(chatbot_id)s and m.generation = %(generation)s
  and m.reason is not null and d.tenant_id = m.tenant_id and d.id = m.document_id and d.status = 'ready';

-- name: forget_documents
delete from generation_documents
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and generation = %(generation)s;

-- name: end_previous
update knowledge_generations set state = 'removed', expires_at = null
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and state = 'retired' and generation <> %(generation)s;

-- name: retire
update knowledge_generations
set state = 'retired', expires_at = now() + make_interval(secs => %(keep)s), attempts = 0, next_try_at = now()
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and state = 'live';

-- name: make_live
update knowledge_generations set state = 'live', switched_at = now(), expires_at = null, reason = null
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and generation = %(generation)s;

-- name: point
-- From its commit on turns that begin find the other generation.
update chatbots b
set knowledge_generation = g.generation, knowledge_model = g.model, knowledge_version = b.knowledge_version + 1,
    updated_at = now(), upkept_at = null
from knowledge_generations g
where b.tenant_id = %(tenant_id)s and b.id = %(chatbot_id)s
  and g.tenant_id = b.tenant_id and g.chatbot_id = b.id and g.generation = %(generation)s;

-- name: claim
-- Across tenants, one generation that lacks documents or the end of its build: of the tenant, and then the bot, that
-- waits for longest.
update knowledge_generations g
set attempts = g.attempts + 1, worked_at = now()
from (
    select g.tenant_id, g.chatbot_id, g.generation
    from knowledge_generations g
    where g.state in ('building', 'ready', 'retired') and g.next_try_at <= now()
      and (g.state = 'building' or exists (
          select from documents d
          where d.tenant_id = g.tenant_id and d.chatbot_id = g.chatbot_id and d.status = 'ready'
            and not exists (select from generation_documents m
                            where m.tenant_id = d.tenant_id and m.chatbot_id = d.chatbot_id
                              and m.generation = g.generation and m.document_id = d.id)))
    order by (select max(o.worked_at) from knowledge_generations o where o.tenant_id = g.tenant_id) nulls first,
             g.worked_at nulls first, g.created_at
    limit 1
    for update skip locked
) next
where g.tenant_id = next.tenant_id and g.chatbot_id = next.chatbot_id and g.generation = next.generation
returning g.tenant_id, g.chatbot_id, g.generation, g.model, g.chunking, g.state, g.attempts;

-- name: missing_documents
-- The oldest first, up to so many bytes, but one at least.
select id, name, media_type, size, sealed_version
from (
    select d.id, d.name, d.media_type, d.size, d.sealed_version, sum(d.size) over (order by d.id) - d.size as before
    from documents d
    where d.tenant_id = %(tenant_id)s and d.chatbot_id = %(chatbot_id)s and d.status = 'ready'
      and not exists (select from generation_documents m
                      where m.tenant_id = d.tenant_id and m.chatbot_id = d.chatbot_id
                        and m.generation = %(generation)s and m.document_id = d.id)
    order by d.id
    limit %(limit)s
) d
where d.before < %(bytes)s
order by d.id;

-- name: add_document
-- No row comes back for a document that was deleted meanwhile, or a generation that nobody wants any more.
insert into generation_documents (tenant_id, chatbot_id, generation, document_id, chunks, chunked_with, reason)
select d.tenant_id, d.chatbot_id, g.generation, d.id, %(chunks)s, %(chunked_with)s, %(reason)s
from documents d
join knowledge_generations g on g.tenant_id = d.tenant_id and g.chatbot_id = d.chatbot_id
    and g.generation = %(generation)s and g.state in ('building', 'ready', 'retired')
where d.tenant_id = %(tenant_id)s and d.id = %(document_id)s
on conflict (tenant_id, chatbot_id, generation, document_id) do update
set chunks = excluded.chunks, chunked_with = excluded.chunked_with, reason = excluded.reason, at = now()
returning document_id;

-- name: document_exists
select 1 as found from documents where tenant_id = %(tenant_id)s and id = %(document_id)s;

-- name: gave_up_in_a_row
-- Whether the last documents all had this reason.
select coalesce(bool_and(m.reason = %(reason)s) and count(*) = %(most)s, false) as all_of_them
from (
    select reason from generation_documents
    where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and generation = %(generation)s
    order by at desc
    limit %(most)s
) m;

-- name: settle
-- The round ended; `%(attempts)s` rounds of the next document have not.
update knowledge_generations
set attempts = %(attempts)s, next_try_at = now() + make_interval(secs => %(pause)s)
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and generation = %(generation)s;

-- name: fail
update knowledge_generations set state = 'failed', reason = %(reason)s
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and generation = %(generation)s and state = 'building';

-- name: finish
-- No row comes back when a document came in the meantime, or nobody wants it any more.
update knowledge_generations g
set state = 'ready', comparison = %(comparison)s, built_at = now(), attempts = 0, next_try_at = now()
where g.tenant_id = %(tenant_id)s and g.chatbot_id = %(chatbot_id)s and g.generation = %(generation)s
  and g.state = 'building'
  and not exists (
      select from documents d
      where d.tenant_id = g.tenant_id and d.chatbot_id = g.chatbot_id and d.status = 'ready'
        and not exists (select from generation_documents m
                        where m.tenant_id = d.tenant_id and m.chatbot_id = d.chatbot_id
                          and m.generation = g.generation and m.document_id = d.id))
returning g.generation;

-- name: expire
-- Across tenants: what was kept for long enough.
update knowledge_generations set state = 'removed', expires_at = null where state = 'retired' and expires_at <= now();

-- name: to_drop
-- Across tenants: ended generations whose tables are still there.
select tenant_id, chatbot_id, generation from knowledge_generations
where state in ('failed', 'cancelled', 'removed') and dropped_at is null
order by created_at
limit %(limit)s;

-- name: dropped
with documents as (
    delete from generation_documents
    where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and generation = %(generation)s
)
update knowledge_generations set dropped_at = now()
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and generation = %(generation)s;

-- name: upkeep_due
-- Across tenants: bots with documents whose tables were not looked after for a while, the longest ago first.
select b.tenant_id, b.id as chatbot_id
from chatbots b
where (b.upkept_at is null or b.upkept_at < now() - make_interval(secs => %(every)s))
  and exists (select from documents d where d.tenant_id = b.tenant_id and d.chatbot_id = b.id and d.status = 'ready')
order by b.upkept_at nulls first, b.id
limit %(limit)s;

-- name: totals
-- Across tenants, for the operator.
select (select count(*) from knowledge_generations where state = 'building') as building,
       (select count(*) from knowledge_generations where state = 'ready') as ready,
       (select count(*) from knowledge_generations where state = 'retired') as retired,
       (select count(*) from knowledge_generations
        where state in ('failed', 'cancelled', 'removed') and dropped_at is null) as to_remove,
       (select count(*) from chatbots b
        where (b.upkept_at is null or b.upkept_at < now() - make_interval(secs => %(every)s))
          and exists (select from documents d
                      where d.tenant_id = b.tenant_id and d.chatbot_id = b.id and d.status = 'ready')) as bots_to_tidy;

-- name: upkept
update chatbots set upkept_at = now() where tenant_id = %(tenant_id)s and id = %(chatbot_id)s;

-- name: asked
-- Questions of the last conversations that were answered with sources, and where those stand.
select q.id as message_id, q.session_id, q.content, q.sealed,
       json_agg(json_build_array(c.document_id, c.span_start, c.span_end) order by c.position) as spans
from (
    select id, tenant_id, chatbot_id, user_message_id, state from turns
    where tenant_id = %(tenant_id)s
    order by id desc
    limit 2000
) t
join messages q on q.tenant_id = t.tenant_id and q.id = t.user_message_id and q.withheld_at is null
join messages a on a.tenant_id = t.tenant_id and a.turn_id = t.id and a.role = 'assistant' and a.withheld_at is null
join citations c on c.tenant_id = a.tenant_id and c.message_id = a.id
where t.chatbot_id = %(chatbot_id)s and t.state = 'completed' and c.span_end > c.span_start
group by q.id, q.session_id, q.content, q.sealed
order by q.id desc
limit %(limit)s;
