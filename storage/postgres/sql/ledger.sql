-- name: insert_entry
-- One row per turn, whatever is retried.
insert into usage_ledger (tenant_id, turn_id, chatbot_id, session_id, model, prompt_tokens, completion_tokens,
                          cached_tokens, cost_micro)
values (%(tenant_id)s, %(turn_id)s, %(chatbot_id)s, %(session_id)s, %(model)s, %(prompt_tokens)s,
        %(completion_tokens)s, %(cached_tokens)s, %(cost_micro)s);

-- name: tokens_this_month
select coalesce(sum(prompt_tokens + completion_tokens), 0)::bigint as tokens
from usage_ledger
where tenant_id = %(tenant_id)s and created_at >= date_trunc('month', now() at time zone 'utc') at time zone 'utc';

-- name: count_turns
-- Each event is counted the first time that its consumer has it. Rows are taken in one order, for batches run beside
-- each other; a tenant that is gone has no sums.
with given as (
    select * from unnest(%(ids)s::bigint[], %(tenants)s::uuid[], %(days)s::date[], %(chatbots)s::uuid[],
                         %(prompt)s::bigint[], %(completion)s::bigint[], %(cost)s::bigint[])
        as g (event_id, tenant_id, day, chatbot_id, prompt, completion, cost)
), fresh as (
    insert into handled_events (consumer, event_id, tenant_id)
    select %(consumer)s, event_id, tenant_id from given
    on conflict do nothing
    returning event_id
)
insert into usage_daily (tenant_id, day, chatbot_id, turns, prompt_tokens, completion_tokens, cost_micro)
select g.tenant_id, g.day, g.chatbot_id, count(*), sum(g.prompt), sum(g.completion), sum(g.cost)
from given g
join fresh using (event_id)
join tenants t on t.id = g.tenant_id
group by g.tenant_id, g.day, g.chatbot_id
order by g.tenant_id, g.day, g.chatbot_id
on conflict (tenant_id, day, chatbot_id) do update
set turns = usage_daily.turns + excluded.turns,
    prompt_tokens = usage_daily.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = usage_daily.completion_tokens + excluded.completion_tokens,
    cost_micro = usage_daily.cost_micro + excluded.cost_micro;

-- name: add_today
-- Tokens that no turn of a conversation used.
insert into usage_daily (tenant_id, day, chatbot_id, prompt_tokens, completion_tokens, cost_micro)
values (%(tenant_id)s, (now() at time zone 'utc')::date, %(chatbot_id)s, %(prompt_tokens)s, %(completion_tokens)s,
        %(cost_micro)s)
on conflict (tenant_id, day, chatbot_id) do update
set prompt_tokens = usage_daily.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = usage_daily.completion_tokens + excluded.completion_tokens,
    cost_micro = usage_daily.cost_micro + excluded.cost_micro;

-- name: daily
select day, chatbot_id, turns, prompt_tokens, completion_tokens, cost_micro
from usage_daily
where tenant_id = %(tenant_id)s
order by day desc, chatbot_id
limit %(limit)s;
