-- name: visitor_visitor
select id, chatbot_id, external_id, sealed_attributes as sealed, created_at, last_seen_at from visitors
where tenant_id = %(tenant_id)s and id = %(subject)s

-- name: visitor_consents
select id, chatbot_id, policy_version, ip, at from consents
where tenant_id = %(tenant_id)s and visitor_id = %(subject)s order by id

-- name: visitor_sessions
select id, chatbot_id, title, sealed_title as sealed, head_turn_id, locale, closed_at, created_at, updated_at
from sessions
where tenant_id = %(tenant_id)s and visitor_id = %(subject)s order by id

-- name: visitor_messages
select m.id, m.session_id, m.turn_id, t.parent_turn_id, m.role, m.content, m.sealed, t.state, t.model, m.created_at
from messages m
join sessions s on s.tenant_id = m.tenant_id and s.id = m.session_id
join turns t on t.tenant_id = m.tenant_id and t.id = m.turn_id
where m.tenant_id = %(tenant_id)s and s.visitor_id = %(subject)s order by m.id

-- name: visitor_turn_traces
select r.turn_id, t.session_id, r.sealed, r.expires_at
from turn_traces r
join turns t on t.tenant_id = r.tenant_id and t.id = r.turn_id
join sessions s on s.tenant_id = t.tenant_id and s.id = t.session_id
where r.tenant_id = %(tenant_id)s and s.visitor_id = %(subject)s order by r.turn_id

-- name: visitor_session_summaries
select y.session_id, y.turn_id, y.sealed, y.model, y.created_at
from session_summaries y
join sessions s on s.tenant_id = y.tenant_id and s.id = y.session_id
where y.tenant_id = %(tenant_id)s and s.visitor_id = %(subject)s order by y.turn_id

-- name: visitor_citations
select m.session_id, c.message_id, c.position, c.document_id, c.document_name, c.page, c.section, c.span_start,
       c.span_end, c.snippet, c.sealed
from citations c
join messages m on m.tenant_id = c.tenant_id and m.id = c.message_id
join sessions s on s.tenant_id = m.tenant_id and s.id = m.session_id
where c.tenant_id = %(tenant_id)s and s.visitor_id = %(subject)s order by c.message_id, c.position

-- name: visitor_feedback
select f.message_id, f.rating, f.comment, f.sealed_comment as sealed, f.created_at, f.updated_at
from feedback f
join messages m on m.tenant_id = f.tenant_id and m.id = f.message_id
join sessions s on s.tenant_id = m.tenant_id and s.id = m.session_id
where f.tenant_id = %(tenant_id)s and s.visitor_id = %(subject)s order by f.message_id

-- name: visitor_evaluation_questions
select q.id, q.session_id, q.rating, q.sealed, q.created_at
from evaluation_questions q
join sessions s on s.tenant_id = q.tenant_id and s.id = q.session_id
where q.tenant_id = %(tenant_id)s and s.visitor_id = %(subject)s order by q.id

-- name: member_user
select id, email::text as email, created_at from users where id = %(subject)s

-- name: member_memberships
select tenant_id, role, created_at from memberships where tenant_id = %(tenant_id)s and user_id = %(subject)s

-- name: member_sign_ins
select id, method, user_agent, ip, created_at, last_used_at, expires_at, ended_at from sign_ins
where tenant_id = %(tenant_id)s and user_id = %(subject)s order by id

-- name: member_api_keys
select id, name, scopes, prefix, created_at, rotated_at, expires_at, last_used_at, revoked_at from api_keys
where tenant_id = %(tenant_id)s and created_by = %(subject)s order by id

-- name: member_audit_events
select seq, at, action, target_kind, target_id, ip, request_id, details from audit_events
where tenant_id = %(tenant_id)s and actor_kind = 'user' and actor_id = %(subject)s::text order by seq

-- name: tenant_tenant
select id, name, plan, created_at from tenants where id = %(tenant_id)s

-- name: tenant_members
select u.id, u.email::text as email, m.role, m.created_at
from memberships m join users u on u.id = m.user_id
where m.tenant_id = %(tenant_id)s order by u.id

-- name: tenant_api_keys
select id, created_by, name, scopes, prefix, created_at, rotated_at, expires_at, last_used_at, revoked_at from api_keys
where tenant_id = %(tenant_id)s order by id

-- name: tenant_chatbots
select id, name, version, created_at, updated_at from chatbots where tenant_id = %(tenant_id)s order by id

-- name: tenant_chatbot_configs
select chatbot_id, version, config, created_at from chatbot_configs
where tenant_id = %(tenant_id)s order by chatbot_id, version

-- name: tenant_chatbot_drafts
select chatbot_id, base_version, config, updated_at from chatbot_drafts
where tenant_id = %(tenant_id)s order by chatbot_id

-- name: tenant_publish_gates
select chatbot_id, question_set_id, mode, rules, updated_at from publish_gates
where tenant_id = %(tenant_id)s order by chatbot_id

-- name: tenant_question_sets
select id, chatbot_id, name, revision, created_at, updated_at from question_sets
where tenant_id = %(tenant_id)s order by id

-- name: tenant_evaluation_questions
select id, question_set_id, source, rating, answerable, session_id, sealed, created_at from evaluation_questions
where tenant_id = %(tenant_id)s order by id

-- name: tenant_expected_passages
select question_id, position, document_id, span_start, span_end, sealed from expected_passages
where tenant_id = %(tenant_id)s order by question_id, position

-- name: tenant_evaluations
select id, chatbot_id, question_set_id, revision, mode, version, config, state, reason, questions, summary,
       requested_by, requested_at, started_at, finished_at
from evaluations where tenant_id = %(tenant_id)s order by id

-- name: tenant_evaluation_results
select evaluation_id, question_id, scores, passages, sealed, error, model, prompt_tokens, completion_tokens,
       cached_tokens, cost_micro, retrieval_ms, total_ms, created_at
from evaluation_results where tenant_id = %(tenant_id)s order by evaluation_id, question_id

-- name: tenant_documents
select id, chatbot_id, name, media_type, size, content_hash, status, reason, pages, chunks, sealed_version,
       metadata, language, source, chunked_with, notice, recognised_pages, recognition_confidence, created_at, updated_at
from documents where tenant_id = %(tenant_id)s order by id

-- name: tenant_ingestion_jobs
select id, chatbot_id, name, kind, source, replaces, state, reason, requested_by, found, unchanged, ready, failed, chunks,
       created_at, started_at, sealed_at, ended_at
from ingestion_jobs where tenant_id = %(tenant_id)s order by id

-- name: tenant_ingestion_job_items
select job_id, document_id, name, state, reason, chunks, at from ingestion_job_items
where tenant_id = %(tenant_id)s order by job_id, key

-- name: tenant_visitors
select id, chatbot_id, external_id, sealed_attributes as sealed, created_at, last_seen_at from visitors
where tenant_id = %(tenant_id)s order by id

-- name: tenant_consents
select id, chatbot_id, visitor_id, policy_version, ip, at from consents where tenant_id = %(tenant_id)s order by id

-- name: tenant_sessions
select id, chatbot_id, visitor_id, title, sealed_title as sealed, head_turn_id, locale, closed_at, created_at,
       updated_at
from sessions
where tenant_id = %(tenant_id)s order by id

-- name: tenant_turns
select id, session_id, chatbot_id, config_version, client_id, user_message_id, parent_turn_id, state, model,
       plan_reason, error_code, created_at, ended_at
from turns where tenant_id = %(tenant_id)s order by id

-- name: tenant_turn_traces
select turn_id, sealed, expires_at from turn_traces where tenant_id = %(tenant_id)s order by turn_id

-- name: tenant_messages
select id, session_id, turn_id, role, content, sealed, created_at, delivered_at from messages
where tenant_id = %(tenant_id)s order by id

-- name: tenant_session_summaries
select session_id, turn_id, sealed, model, created_at from session_summaries
where tenant_id = %(tenant_id)s order by turn_id

-- name: tenant_citations
select m.session_id, c.message_id, c.position, c.document_id, c.document_name, c.page, c.section, c.span_start,
       c.span_end, c.snippet, c.sealed
from citations c
join messages m on m.tenant_id = c.tenant_id and m.id = c.message_id
where c.tenant_id = %(tenant_id)s order by c.message_id, c.position

-- name: tenant_feedback
select message_id, rating, comment, sealed_comment as sealed, created_at, updated_at from feedback
where tenant_id = %(tenant_id)s order by message_id

-- name: tenant_reviews
select id, chatbot_id, session_id, turn_id, message_id, place, check_name, outcome, score, state, note, decided_by,
       decided_at, created_at
from reviews where tenant_id = %(tenant_id)s order by id

-- name: tenant_usage_ledger
select turn_id, chatbot_id, session_id, kind, model, prompt_tokens, completion_tokens, cached_tokens, embedded_tokens,
       cost_micro, calls, created_at
from usage_ledger where tenant_id = %(tenant_id)s order by turn_id

-- name: tenant_usage_daily
select day, chatbot_id, turns, prompt_tokens, completion_tokens, embedded_tokens, cost_micro from usage_daily
where tenant_id = %(tenant_id)s order by day, chatbot_id

-- name: tenant_budget_notices
select id, chatbot_id, budget, level, period, most, used, at from budget_notices where tenant_id = %(tenant_id)s order by id

-- name: tenant_subscriptions
select stripe_subscription_id, plan, status, current_period_end, created_at, updated_at from subscriptions
where tenant_id = %(tenant_id)s order by created_at

-- name: tenant_invoices
select stripe_invoice_id, number, status, currency, amount_due, amount_paid, hosted_url, created_at from invoices
where tenant_id = %(tenant_id)s order by created_at

-- name: tenant_audit_events
select seq, at, actor_kind, actor_id, action, target_kind, target_id, ip, request_id, details,
       encode(previous_hash, 'hex') as previous_hash, encode(hash, 'hex') as hash
from audit_events where tenant_id = %(tenant_id)s order by seq

-- name: tenant_erasures
select id, kind, subject, chatbot_id, state, requested_by, requested_at, finished_at, counts, receipt from erasures
where tenant_id = %(tenant_id)s order by id
