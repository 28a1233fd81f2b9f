-- name: claim_epoch
-- A host takes the tenant: every earlier host's epoch is stale from here on.
insert into tenant_epochs (tenant_id, host) values (%(tenant_id)s, %(host)s)
on conflict (tenant_id) do update
    set epoch = tenant_epochs.epoch + 1, host = excluded.host, updated_at = now()
returning epoch;

-- name: tenant_plan
select plan from tenants where id = %(tenant_id)s;

-- name: open_session
-- What a socket needs to know.
select s.chatbot_id, c.name as chatbot_name, f.config, s.visitor_id, t.plan,
       s.visitor_id is null or not coalesce((f.config #>> '{privacy,consent_required}')::boolean, false)
           or exists (select from consents a where a.tenant_id = s.tenant_id and a.visitor_id = s.visitor_id
                      and a.policy_version = f.config #>> '{privacy,policy_version}') as consented
from sessions s
join chatbots c on c.tenant_id = s.tenant_id and c.id = s.chatbot_id
join chatbot_configs f on f.tenant_id = c.tenant_id and f.chatbot_id = c.id and f.version = c.version
join tenants t on t.id = s.tenant_id
where s.tenant_id = %(tenant_id)s and s.id = %(session_id)s;

-- name: accept
-- One round trip for a question: the fence (held to the end of the transaction, so that a claim waits for the commit
-- or the commit sees the claim), the session, the turn that this client id made before, the turn whose question is
-- edited or answered again, and, where nothing stands against it, the new turn with its question.
with held as materialized (
    select epoch from tenant_epochs where tenant_id = %(tenant_id)s and epoch = %(epoch)s for share
), place as (
    select s.id, s.chatbot_id, s.head_turn_id, s.closed_at, s.locale, s.visitor_id, v.external_id as visitor_name,
           v.sealed_attributes, c.name, c.version, c.knowledge_generation, c.knowledge_model, c.knowledge_version,
           f.config,
           s.visitor_id is null or not coalesce((f.config #>> '{privacy,consent_required}')::boolean, false)
               or exists (select from consents a where a.tenant_id = s.tenant_id and a.visitor_id = s.visitor_id
                          and a.policy_version = f.config #>> '{privacy,policy_version}') as consented
    from sessions s
    join chatbots c on c.tenant_id = s.tenant_id and c.id = s.chatbot_id
    join chatbot_configs f on f.tenant_id = c.tenant_id and f.chatbot_id = c.id and f.version = c.version
    left join visitors v on v.tenant_id = s.tenant_id and v.id = s.visitor_id
    where s.tenant_id = %(tenant_id)s and s.id = %(session_id)s
), known as (
    select id, state, user_message_id
    from turns
    where tenant_id = %(tenant_id)s and session_id = %(session_id)s and client_id = %(client_id)s
), origin as (
    select t.id, t.parent_turn_id, t.user_message_id, m.content, m.sealed
    from turns t
    join messages m on m.tenant_id = t.tenant_id and m.id = t.user_message_id
    where t.tenant_id = %(tenant_id)s and t.session_id = %(session_id)s
      and (t.id = %(regenerates)s::uuid or (t.user_message_id = %(edits)s::uuid and m.turn_id = t.id))
), turn as (
    insert into turns (tenant_id, id, session_id, chatbot_id, config_version, client_id, user_message_id,
                       parent_turn_id, epoch, state, formed)
    select %(tenant_id)s, %(id)s, place.id, place.chatbot_id, place.version, %(client_id)s,
           case when %(regenerates)s::uuid is null then %(message_id)s else origin.user_message_id end,
           case when origin.id is null then place.head_turn_id else origin.parent_turn_id end,
           held.epoch, %(state)s, %(formed)s
    from held
    cross join place
    left join origin on true
    where %(admitted)s and place.closed_at is null and place.consented
      and not exists (select from known)
      and (%(regenerates)s::uuid is null and %(edits)s::uuid is null or origin.id is not null)
    returning id, user_message_id
), message as (
    insert into messages (tenant_id, id, session_id, turn_id, role, sealed)
    select %(tenant_id)s, turn.user_message_id, %(session_id)s, turn.id, 'user', %(sealed)s
    from turn
    where %(regenerates)s::uuid is null
), touched as (
    -- The first question names a session that has no title.
    update sessions s
    set updated_at = now(), head_turn_id = turn.id,
        locale = case when %(locale)s = '' then s.locale else %(locale)s end,
        sealed_title = case when s.title = '' then coalesce(s.sealed_title, %(sealed_title)s) end
    from turn
    where s.tenant_id = %(tenant_id)s and s.id = %(session_id)s
)
select held.epoch, t.plan, place.chatbot_id, place.name as chatbot_name, place.version, place.config, place.closed_at,
       place.consented, place.knowledge_generation, place.knowledge_model, place.knowledge_version, place.visitor_id,
       place.visitor_name, place.sealed_attributes,
       case when %(locale)s = '' then place.locale else %(locale)s end as locale,
       known.id as known_id, known.state as known_state, known.user_message_id as known_message_id,
       turn.id as turn_id, turn.user_message_id, origin.id as origin_id, origin.user_message_id as origin_message_id,
       origin.content as origin_content, origin.sealed as origin_sealed
from tenants t
left join held on true
left join place on true
left join known on true
left join turn on true
left join origin on true
where t.id = %(tenant_id)s;

-- name: history
-- The answered exchanges above a turn on its own branch, newest first, as many as its configuration may make use of,
-- and where it sums conversations up what was summed up.
with recursive wanted as materialized (
    select f.config #>> '{context,strategy}' as strategy
    from turns t
    join chatbot_configs f on f.tenant_id = t.tenant_id and f.chatbot_id = t.chatbot_id and f.version = t.config_version
    where t.tenant_id = %(tenant_id)s and t.id = %(turn_id)s
), line as (
    select id, parent_turn_id, user_message_id, 0 as depth
    from turns
    where tenant_id = %(tenant_id)s and id = %(turn_id)s
    union all
    select t.id, t.parent_turn_id, t.user_message_id, line.depth + 1
    from line
    join turns t on t.tenant_id = %(tenant_id)s and t.id = line.parent_turn_id
    where line.depth < (select case strategy when 'summary' then %(summarized)s when 'recall' then %(recalled)s
                                             else %(sliding)s end from wanted)
)
select line.id as turn_id, q.id as question_id, q.content as question, q.sealed as sealed_question,
       a.id as answer_id, a.content as answer, a.sealed as sealed_answer, y.sealed as sealed_summary
from line
join messages q on q.tenant_id = %(tenant_id)s and q.id = line.user_message_id
join messages a on a.tenant_id = %(tenant_id)s and a.turn_id = line.id and a.role = 'assistant'
left join session_summaries y on y.tenant_id = %(tenant_id)s and y.turn_id = line.id
    and (select strategy from wanted) = 'summary'
where line.depth > 0 and a.withheld_at is null and q.withheld_at is null
order by line.depth;

-- name: begin
-- A turn that waited in the queue starts.
update turns set state = 'running'
where tenant_id = %(tenant_id)s and id = %(id)s and epoch = %(epoch)s and state = 'accepted';

-- name: open_turns
-- Turns without an end, with what it takes to run them again.
select t.id, t.session_id, t.chatbot_id, t.epoch, t.formed, m.id as message_id, m.content, m.sealed, f.config,
       c.name as chatbot_name, c.knowledge_generation, c.knowledge_model, s.locale, s.visitor_id, v.sealed_attributes
from turns t
join sessions s on s.tenant_id = t.tenant_id and s.id = t.session_id
left join visitors v on v.tenant_id = s.tenant_id and v.id = s.visitor_id
join chatbots c on c.tenant_id = t.tenant_id and c.id = t.chatbot_id
join messages m on m.tenant_id = t.tenant_id and m.id = t.user_message_id
join chatbot_configs f on f.tenant_id = t.tenant_id and f.chatbot_id = t.chatbot_id and f.version = t.config_version
where t.tenant_id = %(tenant_id)s and t.state in ('accepted', 'running')
order by t.id;

-- name: adopt
-- Take an open turn of an earlier epoch over.
update turns set epoch = %(epoch)s, state = %(state)s
where tenant_id = %(tenant_id)s and id = %(id)s and state in ('accepted', 'running')
  and exists (select from tenant_epochs where tenant_id = %(tenant_id)s and epoch = %(epoch)s)
returning id;

-- name: end_turn
-- Fenced: another host's claim waits for this transaction, or makes it touch nothing.
with held as materialized (
    select epoch from tenant_epochs where tenant_id = %(tenant_id)s and epoch = %(epoch)s for share
)
update turns
set state = %(state)s, model = %(model)s, plan_reason = %(plan_reason)s, error_code = %(error_code)s, ended_at = now()
where tenant_id = %(tenant_id)s and id = %(id)s and epoch = (select epoch from held)
  and state in ('accepted', 'running')
returning id;

-- name: insert_answer
insert into messages (tenant_id, id, session_id, turn_id, role, sealed)
values (%(tenant_id)s, %(id)s, %(session_id)s, %(turn_id)s, 'assistant', %(sealed)s);

-- name: insert_citation
insert into citations (tenant_id, message_id, position, document_id, page, span_start, span_end, sealed)
values (%(tenant_id)s, %(message_id)s, %(position)s, %(document_id)s, %(page)s, %(span_start)s, %(span_end)s,
        %(sealed)s);

-- name: ended_turn
-- A finished turn with its answer, for a client that comes back after it ended.
select t.id, t.epoch, t.state, t.model, t.plan_reason, t.error_code, t.guard_verdict, m.id as message_id, m.content,
       m.sealed, m.withheld_at,
       coalesce(u.prompt_tokens, 0) as prompt_tokens, coalesce(u.completion_tokens, 0) as completion_tokens,
       coalesce(u.cached_tokens, 0) as cached_tokens
from turns t
left join messages m on m.tenant_id = t.tenant_id and m.turn_id = t.id and m.role = 'assistant'
left join usage_ledger u on u.tenant_id = t.tenant_id and u.turn_id = t.id
where t.tenant_id = %(tenant_id)s and t.id = %(id)s and t.session_id = %(session_id)s;

-- name: citations_of
select position, document_id, document_name, page, section, span_start, span_end, snippet, sealed
from citations
where tenant_id = %(tenant_id)s and message_id = %(message_id)s
order by position;

-- name: tenants_with_open_turns
-- Across tenants: where a turn has no end, which turns, or a call beside turns is lost; and the tenant's plan.
select tenants.id as tenant_id, coalesce(t.turns, '{}') as turns, c.tenant_id is not null as lost_calls, tenants.plan
from (
    select tenant_id, array_agg(id) as turns
    from turns
    where state in ('accepted', 'running')
    group by tenant_id
) t
full join (
    select distinct tenant_id from open_calls where at < now() - make_interval(secs => %(seconds)s)
) c on c.tenant_id = t.tenant_id
join tenants on tenants.id = coalesce(t.tenant_id, c.tenant_id);
