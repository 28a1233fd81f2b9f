-- name: daily
-- By day (UTC) and chatbot, newest first. Visitors are counted under HMAC-SHA256 pseudonyms (RFC 2104) of the month's
-- key, whose inner and outer pads come as parameters: the same person is another one in the next month.
with months as (
    select * from unnest(%(months)s::text[], %(inner)s::bytea[], %(outer)s::bytea[]) as m (month, inner_pad, outer_pad)
), sessions_by_day as (
    select (s.created_at at time zone 'utc')::date as day, s.chatbot_id, count(*) as sessions,
           count(distinct case when s.visitor_id is not null then
               sha256(m.outer_pad || sha256(m.inner_pad || uuid_send(s.visitor_id))) end) as visitors
    from sessions s
    join months m on m.month = to_char(s.created_at at time zone 'utc', 'YYYY-MM')
    where s.tenant_id = %(tenant_id)s and s.created_at >= %(since)s::date::timestamp at time zone 'utc'
      and s.created_at < (%(until)s::date + 1)::timestamp at time zone 'utc'
      and (%(chatbot_id)s::uuid is null or s.chatbot_id = %(chatbot_id)s::uuid)
    group by 1, 2
), turns_by_day as (
    select (t.created_at at time zone 'utc')::date as day, t.chatbot_id, count(*) as turns,
           count(*) filter (where t.state = 'completed') as completed,
           count(*) filter (where t.state = 'stopped') as stopped,
           count(*) filter (where t.state = 'interrupted') as interrupted,
           count(*) filter (where t.state = 'failed') as failed,
           count(*) filter (where t.plan_reason like 'cache: %%') as cached,
           count(*) filter (where f.rating = 'up') as rated_up,
           count(*) filter (where f.rating = 'down') as rated_down
    from turns t
    left join messages a on a.tenant_id = t.tenant_id and a.turn_id = t.id and a.role = 'assistant'
    left join feedback f on f.tenant_id = a.tenant_id and f.message_id = a.id
    where t.tenant_id = %(tenant_id)s and t.plan_reason is distinct from 'given'
      and t.created_at >= %(since)s::date::timestamp at time zone 'utc'
      and t.created_at < (%(until)s::date + 1)::timestamp at time zone 'utc'
      and (%(chatbot_id)s::uuid is null or t.chatbot_id = %(chatbot_id)s::uuid)
    group by 1, 2
), tokens_by_day as (
    select (l.created_at at time zone 'utc')::date as day, l.chatbot_id, sum(l.prompt_tokens)::bigint as prompt_tokens,
           sum(l.completion_tokens)::bigint as completion_tokens
    from usage_ledger l
    where l.tenant_id = %(tenant_id)s and l.created_at >= %(since)s::date::timestamp at time zone 'utc'
      and l.created_at < (%(until)s::date + 1)::timestamp at time zone 'utc'
      and (%(chatbot_id)s::uuid is null or l.chatbot_id = %(chatbot_id)s::uuid)
    group by 1, 2
)
select day, chatbot_id, coalesce(sessions, 0) as sessions, coalesce(visitors, 0) as visitors,
       coalesce(turns, 0) as turns, coalesce(completed, 0) as completed, coalesce(stopped, 0) as stopped,
       coalesce(interrupted, 0) as interrupted, coalesce(failed, 0) as failed, coalesce(cached, 0) as cached,
       coalesce(rated_up, 0) as rated_up,
       coalesce(rated_down, 0) as rated_down, coalesce(prompt_tokens, 0) as prompt_tokens,
       coalesce(completion_tokens, 0) as completion_tokens
from sessions_by_day
full join turns_by_day using (day, chatbot_id)
full join tokens_by_day using (day, chatbot_id)
order by day desc, chatbot_id;
