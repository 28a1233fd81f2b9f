-- name: insert_entry
-- One row per turn, whatever is retried.
insert into usage_ledger (tenant_id, turn_id, chatbot_id, session_id, model, kind, prompt_tokens, completion_tokens,
                          cached_tokens, embedded_tokens, cost_micro, calls)
values (%(tenant_id)s, %(turn_id)s, %(chatbot_id)s, %(session_id)s, %(model)s, %(kind)s, %(prompt_tokens)s,
        %(completion_tokens)s, %(cached_tokens)s, %(embedded_tokens)s, %(cost_micro)s, %(calls)s);

-- name: tokens_this_month
select coalesce(sum(prompt_tokens + completion_tokens + embedded_tokens), 0)::bigint as tokens
from usage_ledger
where tenant_id = %(tenant_id)s and created_at >= date_trunc('month', now() at time zone 'utc') at time zone 'utc';

-- name: month
-- A row per bot, and one without a bot when there is none.
select now() as now, l.chatbot_id, coalesce(sum(prompt_tokens + completion_tokens + embedded_tokens), 0)::bigint as tokens,
       coalesce(sum(cost_micro), 0)::bigint as cost_micro
from (select) as one
left join usage_ledger l
    on l.tenant_id = %(tenant_id)s and l.created_at >= date_trunc('month', now() at time zone 'utc') at time zone 'utc'
group by l.chatbot_id;

-- name: terms
select t.plan, e.epoch, c.version, f.config->'budget' as budget
from tenants t
left join tenant_epochs e on e.tenant_id = t.id
left join chatbots c on c.tenant_id = t.id and c.id = %(chatbot_id)s
left join chatbot_configs f on f.tenant_id = c.tenant_id and f.chatbot_id = c.id and f.version = c.version
where t.id = %(tenant_id)s;

-- name: visitor_today
-- By way of the visitor's conversations: the ledger does not know who asked.
select coalesce(sum(l.prompt_tokens + l.completion_tokens + l.embedded_tokens), 0)::bigint as tokens
from sessions s
join turns t on t.tenant_id = s.tenant_id and t.session_id = s.id
join usage_ledger l on l.tenant_id = t.tenant_id and l.turn_id = t.id
where s.tenant_id = %(tenant_id)s and s.visitor_id = %(visitor_id)s
  and t.created_at >= (date_trunc('day', now() at time zone 'utc') - interval '1 day') at time zone 'utc'
  and l.created_at >= date_trunc('day', now() at time zone 'utc') at time zone 'utc';

-- name: used
-- By day (UTC), newest first. Rows from before calls were kept are one answer each.
select (l.created_at at time zone 'utc')::date as day, l.chatbot_id, l.kind as use,
       coalesce(c.kind, 'answer') as kind, coalesce(c.model, l.model) as model, count(*) as calls,
       sum(case when l.calls is null then l.prompt_tokens else coalesce(c.prompt, 0) end)::bigint as prompt_tokens,
       sum(case when l.calls is null then l.completion_tokens
                else coalesce(c.completion, 0) end)::bigint as completion_tokens,
       sum(case when l.calls is null then l.cached_tokens else coalesce(c.cached, 0) end)::bigint as cached_tokens,
       sum(coalesce(c.embedded, 0))::bigint as embedded_tokens,
       sum(case when l.calls is null then l.cost_micro else coalesce(c.cost, 0) end)::bigint as cost_micro
from usage_ledger l
left join lateral jsonb_to_recordset(l.calls)
    as c (kind text, model text, prompt bigint, completion bigint, cached bigint, embedded bigint, cost bigint) on true
where l.tenant_id = %(tenant_id)s and l.created_at >= %(since)s::date::timestamp at time zone 'utc'
  and l.created_at < (%(until)s::date + 1)::timestamp at time zone 'utc'
  and (%(chatbot_id)s::uuid is null or l.chatbot_id = %(chatbot_id)s::uuid)
  and (l.calls is null or c.kind is not null)
group by 1, 2, 3, 4, 5
order by 1 desc, 2, 3, 4, 5;

-- name: count_turns
-- Each event is counted the first time that its consumer has it. Rows are taken in one order, for batches run beside
-- each other; a tenant that is gone has no sums.
with given as (
    select * from unnest(%(ids)s::bigint[], %(tenants)s::uuid[], %(days)s::date[], %(chatbots)s::uuid[],
                         %(prompt)s::bigint[], %(completion)s::bigint[], %(embedded)s::bigint[], %(cost)s::bigint[])
        as g (event_id, tenant_id, day, chatbot_id, prompt, completion, embedded, cost)
), fresh as (
    insert into handled_events (consumer, event_id, tenant_id)
    select %(consumer)s, event_id, tenant_id from given
    on conflict do nothing
    returning event_id
)
insert into usage_daily (tenant_id, day, chatbot_id, turns, prompt_tokens, completion_tokens, embedded_tokens, cost_micro)
select g.tenant_id, g.day, g.chatbot_id, count(*), sum(g.prompt), sum(g.completion), sum(g.embedded), sum(g.cost)
from given g
join fresh using (event_id)
join tenants t on t.id = g.tenant_id
group by g.tenant_id, g.day, g.chatbot_id
order by g.tenant_id, g.day, g.chatbot_id
on conflict (tenant_id, day, chatbot_id) do update
set turns = usage_daily.turns + excluded.turns,
    prompt_tokens = usage_daily.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = usage_daily.completion_tokens + excluded.completion_tokens,
    embedded_tokens = usage_daily.embedded_tokens + excluded.embedded_tokens,
    cost_micro = usage_daily.cost_micro + excluded.cost_micro;

-- name: add_today
-- Tokens that no turn of a conversation used.
insert into usage_daily (tenant_id, day, chatbot_id, prompt_tokens, completion_tokens, embedded_tokens, cost_micro)
values (%(tenant_id)s, (now() at time zone 'utc')::date, %(chatbot_id)s, %(prompt_tokens)s, %(completion_tokens)s,
        %(embedded_tokens)s, %(cost_micro)s)
on conflict (tenant_id, day, chatbot_id) do update
set prompt_tokens = usage_daily.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = usage_daily.completion_tokens + excluded.completion_tokens,
    embedded_tokens = usage_daily.embedded_tokens + excluded.embedded_tokens,
    cost_micro = usage_daily.cost_micro + excluded.cost_micro;
