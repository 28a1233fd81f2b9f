-- name: request
-- The same wish is one erasure as long as it is not done; no row comes back for the second one.
insert into erasures (tenant_id, id, kind, subject, chatbot_id, requested_by, not_before, next_try_at, related, counts)
values (%(tenant_id)s, %(id)s, %(kind)s, %(subject)s, %(chatbot_id)s, %(requested_by)s,
        now() + make_interval(secs => %(grace)s), now() + make_interval(secs => %(grace)s), %(related)s, %(counts)s)
on conflict (tenant_id, kind, subject) where state in ('requested', 'running') and kind <> 'retention' do nothing
returning tenant_id, id, kind, subject, chatbot_id, state, requested_by, requested_at, not_before, started_at,
          finished_at, related, steps, counts, attempts, error, receipt;

-- name: open_one
select tenant_id, id, kind, subject, chatbot_id, state, requested_by, requested_at, not_before, started_at,
       finished_at, related, steps, counts, attempts, error, receipt
from erasures
where tenant_id = %(tenant_id)s and kind = %(kind)s and subject = %(subject)s and state in ('requested', 'running');

-- name: get
select tenant_id, id, kind, subject, chatbot_id, state, requested_by, requested_at, not_before, started_at,
       finished_at, related, steps, counts, attempts, error, receipt
from erasures
where tenant_id = %(tenant_id)s and id = %(id)s;

-- name: list
-- Newest first, after the cursor; one requester's own, or everybody's.
select tenant_id, id, kind, subject, chatbot_id, state, requested_by, requested_at, not_before, started_at,
       finished_at, related, steps, counts, attempts, error, receipt
from erasures
where tenant_id = %(tenant_id)s and (%(before)s::uuid is null or id < %(before)s::uuid)
order by id desc
limit %(limit)s;

-- name: due
-- Across tenants, the oldest first: what waits and whose time has come.
select tenant_id, id, kind, subject, chatbot_id, state, requested_by, requested_at, not_before, started_at,
       finished_at, related, steps, counts, attempts, error, receipt
from erasures
where state in ('requested', 'running') and next_try_at <= now()
order by next_try_at, id
limit %(limit)s;

-- name: documents_waiting
-- Documents of a bot that are to be erased, and whose chunks have not been removed yet.
select distinct document::uuid as id
from erasures e, jsonb_array_elements_text(e.related -> 'documents') document
where e.tenant_id = %(tenant_id)s and e.chatbot_id = %(chatbot_id)s and e.kind = 'document'
  and e.state in ('requested', 'running') and e.not_before <= now() and not 'vectors' = any(e.steps);

-- name: start
update erasures set state = 'running', started_at = coalesce(started_at, now())
where tenant_id = %(tenant_id)s and id = %(id)s and state in ('requested', 'running');

-- name: finish_step
update erasures
set steps = %(steps)s::text[], counts = %(counts)s, related = %(related)s, error = null
where tenant_id = %(tenant_id)s and id = %(id)s and state = 'running';

-- name: postpone
-- `%(again)s` says that every step has to be done again.
update erasures
set attempts = attempts + 1, next_try_at = now() + make_interval(secs => %(pause)s), error = %(error)s,
    steps = case when %(again)s then '{}' else steps end
where tenant_id = %(tenant_id)s and id = %(id)s and state = 'running';

-- name: finish
update erasures
set state = 'done', finished_at = %(finished_at)s, receipt = %(receipt)s, counts = %(counts)s, related = '{}',
    error = null
where tenant_id = %(tenant_id)s and id = %(id)s and state = 'running';

-- name: cancel
update erasures set state = 'cancelled', finished_at = now()
where tenant_id = %(tenant_id)s and kind = %(kind)s and state = 'requested' and not_before > now()
returning id;

-- name: now
select now() as now;

-- name: lock_session
select id, chatbot_id from sessions where tenant_id = %(tenant_id)s and id = %(id)s for update;

-- name: lock_visitor
-- Who begins a session meanwhile waits, and then finds that the visitor is gone.
select id, chatbot_id from visitors where tenant_id = %(tenant_id)s and id = %(id)s for update;

-- name: lock_bot_of_document
-- Before its document: whoever changes a bot's documents holds its row first.
select b.id from chatbots b
where b.tenant_id = %(tenant_id)s
  and b.id = (select d.chatbot_id from documents d where d.tenant_id = %(tenant_id)s and d.id = %(id)s)
for no key update;

-- name: lock_document
select id, chatbot_id from documents where tenant_id = %(tenant_id)s and id = %(id)s for update;

-- name: lock_chatbot
select id, id as chatbot_id from chatbots where tenant_id = %(tenant_id)s and id = %(id)s for update;

-- name: lock_tenant
select id from tenants where id = %(tenant_id)s and erased_at is null for update;

-- name: sessions_of_visitor
select id from sessions where tenant_id = %(tenant_id)s and visitor_id = %(id)s order by id;

-- name: sessions_of_chatbot
select id from sessions where tenant_id = %(tenant_id)s and chatbot_id = %(id)s order by id;

-- name: visitors_of_chatbot
select id from visitors where tenant_id = %(tenant_id)s and chatbot_id = %(id)s order by id;

-- name: documents_of_chatbot
select id from documents where tenant_id = %(tenant_id)s and chatbot_id = %(id)s order by id;

-- name: count
-- What the ids have, by table.
select
    (select count(*) from sessions where tenant_id = %(tenant_id)s and id = any(%(sessions)s::uuid[])) as sessions,
    (select count(*) from turns where tenant_id = %(tenant_id)s and session_id = any(%(sessions)s::uuid[])) as turns,
    (select count(*) from turn_traces r join turns t on t.tenant_id = r.tenant_id and t.id = r.turn_id
     where r.tenant_id = %(tenant_id)s and t.session_id = any(%(sessions)s::uuid[])) as turn_traces,
    (select count(*) from messages where tenant_id = %(tenant_id)s and session_id = any(%(sessions)s::uuid[]))
        as messages,
    (select count(*) from feedback f join messages m on m.tenant_id = f.tenant_id and m.id = f.message_id
     where f.tenant_id = %(tenant_id)s and m.session_id = any(%(sessions)s::uuid[])) as feedback,
    (select count(*) from citations c join messages m on m.tenant_id = c.tenant_id and m.id = c.message_id
     where c.tenant_id = %(tenant_id)s
       and (m.session_id = any(%(sessions)s::uuid[]) or c.document_id = any(%(documents)s::uuid[]))) as citations,
    (select count(*) from reviews where tenant_id = %(tenant_id)s and session_id = any(%(sessions)s::uuid[])) as reviews,
    (select count(*) from session_summaries
     where tenant_id = %(tenant_id)s and session_id = any(%(sessions)s::uuid[])) as session_summaries,
    (select count(*) from visitors where tenant_id = %(tenant_id)s and id = any(%(visitors)s::uuid[])) as visitors,
    (select count(*) from consents where tenant_id = %(tenant_id)s and visitor_id = any(%(visitors)s::uuid[]))
        as consents,
    (select count(*) from exports where tenant_id = %(tenant_id)s and id = any(%(exports)s::uuid[])) as exports,
    (select count(*) from documents where tenant_id = %(tenant_id)s and id = any(%(documents)s::uuid[])) as documents,
    (select count(*) from ingestion_jobs where tenant_id = %(tenant_id)s and chatbot_id = any(%(chatbots)s::uuid[]))
        as ingestion_jobs,
    (select count(*) from ingestion_job_items i
     join ingestion_jobs j on j.tenant_id = i.tenant_id and j.id = i.job_id
     where i.tenant_id = %(tenant_id)s
       and (i.document_id = any(%(documents)s::uuid[]) or j.chatbot_id = any(%(chatbots)s::uuid[])))
        as ingestion_job_items,
    (select count(*) from chatbot_configs where tenant_id = %(tenant_id)s and chatbot_id = any(%(chatbots)s::uuid[]))
        as chatbot_configs,
    (select count(*) from chatbot_drafts where tenant_id = %(tenant_id)s and chatbot_id = any(%(chatbots)s::uuid[]))
        as chatbot_drafts,
    (select count(*) from publish_gates where tenant_id = %(tenant_id)s and chatbot_id = any(%(chatbots)s::uuid[]))
        as publish_gates,
    (select count(*) from question_sets where tenant_id = %(tenant_id)s and chatbot_id = any(%(chatbots)s::uuid[]))
        as question_sets,
    (select count(*) from evaluation_questions q
     join question_sets s on s.tenant_id = q.tenant_id and s.id = q.question_set_id
     where q.tenant_id = %(tenant_id)s
       and (q.session_id = any(%(sessions)s::uuid[]) or s.chatbot_id = any(%(chatbots)s::uuid[])))
        as evaluation_questions,
    (select count(*) from expected_passages p
     join evaluation_questions q on q.tenant_id = p.tenant_id and q.id = p.question_id
     join question_sets s on s.tenant_id = q.tenant_id and s.id = q.question_set_id
     where p.tenant_id = %(tenant_id)s
       and (p.document_id = any(%(documents)s::uuid[]) or q.session_id = any(%(sessions)s::uuid[])
            or s.chatbot_id = any(%(chatbots)s::uuid[]))) as expected_passages,
    (select count(*) from evaluations where tenant_id = %(tenant_id)s and chatbot_id = any(%(chatbots)s::uuid[]))
        as evaluations,
    (select count(*) from evaluation_results r
     join evaluations e on e.tenant_id = r.tenant_id and e.id = r.evaluation_id
     join evaluation_questions q on q.tenant_id = r.tenant_id and q.id = r.question_id
     where r.tenant_id = %(tenant_id)s
       and (q.session_id = any(%(sessions)s::uuid[]) or e.chatbot_id = any(%(chatbots)s::uuid[])))
        as evaluation_results,
    (select count(*) from chatbots where tenant_id = %(tenant_id)s and id = any(%(chatbots)s::uuid[])) as chatbots;

-- name: delete_sessions
delete from sessions where tenant_id = %(tenant_id)s and id = any(%(sessions)s::uuid[]);

-- name: delete_citations
delete from citations where tenant_id = %(tenant_id)s and document_id = any(%(documents)s::uuid[]);

-- name: delete_documents
with gone as (
    delete from documents where tenant_id = %(tenant_id)s and id = any(%(documents)s::uuid[])
    returning tenant_id, chatbot_id
)
update chatbots b set knowledge_version = b.knowledge_version + 1
from (select distinct tenant_id, chatbot_id from gone) g
where b.tenant_id = g.tenant_id and b.id = g.chatbot_id;

-- name: delete_exports
delete from exports where tenant_id = %(tenant_id)s and id = any(%(exports)s::uuid[]);

-- name: delete_visitors
delete from visitors where tenant_id = %(tenant_id)s and id = any(%(visitors)s::uuid[]);

-- name: delete_chatbots
delete from chatbots where tenant_id = %(tenant_id)s and id = any(%(chatbots)s::uuid[]);

-- name: exports_of
-- Archives that may hold it: the tenant's, and those of the visitors and of the visitors of the sessions.
select id from exports
where tenant_id = %(tenant_id)s
  and (kind = 'tenant' or subject = any(%(visitors)s::uuid[]) or subject in (
      select s.visitor_id from sessions s where s.tenant_id = %(tenant_id)s and s.id = any(%(sessions)s::uuid[])));

-- name: limited_chatbots
-- Across tenants: the bots that keep conversations for a time.
select b.tenant_id, b.id, (c.config->>'retention_days')::integer as days
from chatbots b
join chatbot_configs c on c.tenant_id = b.tenant_id and c.chatbot_id = b.id and c.version = b.version
where c.config->>'retention_days' is not null
order by b.tenant_id, b.id;

-- name: old_sessions
-- Nothing was asked for so long, and nothing is being answered.
select s.id
from sessions s
where s.tenant_id = %(tenant_id)s and s.chatbot_id = %(chatbot_id)s
  and s.updated_at < now() - make_interval(days => %(days)s)
  and not exists (select from turns t where t.tenant_id = s.tenant_id and t.session_id = s.id
                  and t.state in ('accepted', 'running'))
order by s.updated_at
limit %(limit)s
for update of s skip locked;

-- name: old_visitors
-- They have no session any more.
select v.id
from visitors v
where v.tenant_id = %(tenant_id)s and v.chatbot_id = %(chatbot_id)s
  and v.last_seen_at < now() - make_interval(days => %(days)s)
  and not exists (select from sessions s where s.tenant_id = v.tenant_id and s.visitor_id = v.id
                  and s.id <> all(%(sessions)s::uuid[]))
order by v.last_seen_at
limit %(limit)s
for update of v skip locked;

-- name: unrelayed
-- Events about the ids that a consumer still has to see; one that nobody took within ten minutes never will be.
select count(*) as total
from outbox o
where o.tenant_id = %(tenant_id)s and o.created_at > now() - interval '10 minutes'
  and (%(whole)s or o.aggregate = any(%(aggregates)s) or o.payload->>'chatbot_id' = any(%(chatbots)s))
  and (o.published_at is null
       or (o.kind = 'message.completed' and not exists (
           select from handled_events h where h.consumer = 'usage' and h.event_id = o.id)));

-- name: delete_events
with gone as (
    delete from outbox o
    where o.tenant_id = %(tenant_id)s
      and (%(whole)s or o.aggregate = any(%(aggregates)s) or o.payload->>'chatbot_id' = any(%(chatbots)s))
    returning o.id
), handled as (
    delete from handled_events h
    where h.tenant_id = %(tenant_id)s and (%(whole)s or h.event_id in (select id from gone))
    returning h.event_id
)
select (select count(*) from gone) as outbox, (select count(*) from handled) as handled_events;

-- name: known_turns
-- Which of these turns the database has.
select id from turns where tenant_id = %(tenant_id)s and id = any(%(ids)s::uuid[]);

-- name: lone_people
-- Who belongs to this tenant and to no other.
select m.user_id as id
from memberships m
where m.tenant_id = %(tenant_id)s
  and not exists (select from memberships o where o.user_id = m.user_id and o.tenant_id <> m.tenant_id);

-- name: close_tenant
update tenants set erased_at = coalesce(erased_at, now()) where id = %(tenant_id)s;

-- name: end_access
with gone as (
    delete from memberships where tenant_id = %(tenant_id)s returning user_id
), tokens as (
    delete from refresh_tokens where tenant_id = %(tenant_id)s returning id
)
-- Sign-ins and API keys go with the memberships.
select (select count(*) from gone) as memberships, (select count(*) from tokens) as refresh_tokens,
       (select count(*) from sign_ins where tenant_id = %(tenant_id)s) as sign_ins,
       (select count(*) from api_keys where tenant_id = %(tenant_id)s) as api_keys;

-- name: delete_tenant_rows
select name, total from tenant_rows(%(tenant_id)s, true);

-- name: count_tenant_rows
select name, total from tenant_rows(%(tenant_id)s, false);

-- name: delete_mail
-- What waits to be sent to the people and to who was invited.
delete from mail_queue q
where q.about in (select id from invitations where tenant_id = %(tenant_id)s)
   or q.recipient in (select u.email::text from users u where u.id = any(%(people)s::uuid[]));

-- name: delete_people
-- Nobody who has joined another tenant meanwhile. What hangs on a person goes along.
with gone as (
    delete from users u
    where u.id = any(%(people)s::uuid[]) and not exists (select from memberships m where m.user_id = u.id)
    returning u.id
)
select (select count(*) from gone) as users,
       (select count(*) from account_links where user_id in (select id from gone)) as account_links,
       (select count(*) from totp_factors where user_id in (select id from gone)) as totp_factors,
       (select count(*) from recovery_codes where user_id in (select id from gone)) as recovery_codes,
       (select count(*) from external_identities where user_id in (select id from gone)) as external_identities,
       (select count(*) from staff where user_id in (select id from gone)) as staff;

-- name: count_people
select count(*) as total from users u
where u.id = any(%(people)s::uuid[]) and not exists (select from memberships m where m.user_id = u.id);

-- name: be_patient
-- A large tenant's rows take longer than a request may.
select set_config('statement_timeout', '15min', true);

-- name: delete_webhooks
-- Stripe's events hold names and addresses.
delete from webhook_inbox i
using tenants t
where t.id = %(tenant_id)s and t.stripe_customer_id is not null and i.processed_at is not null
  and position(t.stripe_customer_id in i.payload::text) > 0;

-- name: forget_tenant
update tenants set name = '', plan = 'free' where id = %(tenant_id)s;

-- name: forget_invoices
update invoices set hosted_url = null where tenant_id = %(tenant_id)s and hosted_url is not null;
