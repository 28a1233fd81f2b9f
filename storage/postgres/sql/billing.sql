-- name: try_lock
-- One billing change per tenant at a time, to the end of the transaction; false when another one holds it.
select pg_try_advisory_xact_lock(hashtextextended('billing:' || %(tenant_id)s::text, 0)) as held;

-- name: lock
select pg_advisory_xact_lock(hashtextextended('billing:' || %(tenant_id)s::text, 0));

-- name: plan_key
select plan from tenants where id = %(tenant_id)s;

-- name: plan_key_locked
-- Holds the tenant's row against other counters, yet lets rows that refer to it be inserted.
select plan from tenants where id = %(tenant_id)s for no key update;

-- name: profile
-- Whom invoices go to: the tenant's name and the e-mail address of its first owner.
select t.name, u.email::text as email, t.stripe_customer_id as customer_id
from tenants t
left join lateral (
    select users.email
    from memberships m
    join users on users.id = m.user_id
    where m.tenant_id = t.id and m.role = 'owner'
    order by m.created_at
    limit 1
) u on true
where t.id = %(tenant_id)s;

-- name: customer_id
select stripe_customer_id as customer_id from tenants where id = %(tenant_id)s;

-- name: set_customer
update tenants set stripe_customer_id = %(customer_id)s where id = %(tenant_id)s;

-- name: tenant_of_customer
select id from tenants where stripe_customer_id = %(customer_id)s;

-- name: subscriptions
-- Newest first.
select stripe_subscription_id as id, plan, status, current_period_end, created_at
from subscriptions
where tenant_id = %(tenant_id)s
order by created_at desc, stripe_subscription_id desc;

-- name: save_subscription
-- No row comes back when nothing changed.
insert into subscriptions as s
    (tenant_id, stripe_subscription_id, plan, status, current_period_end, created_at)
values (%(tenant_id)s, %(id)s, %(plan)s, %(status)s, %(current_period_end)s, %(created_at)s)
on conflict (tenant_id, stripe_subscription_id) do update
set plan = excluded.plan,
    status = excluded.status,
    current_period_end = excluded.current_period_end,
    updated_at = now()
where (s.plan, s.status, s.current_period_end)
    is distinct from (excluded.plan, excluded.status, excluded.current_period_end)
returning stripe_subscription_id;

-- name: end_subscription
-- For a subscription that Stripe no longer knows.
update subscriptions set status = 'canceled', updated_at = now()
where tenant_id = %(tenant_id)s and stripe_subscription_id = %(id)s and status <> 'canceled'
returning stripe_subscription_id;

-- name: settle_plan
-- The plan of the newest paid subscription. One whose payment is overdue keeps the plan it gave, and gives no other.
update tenants t
set plan = coalesce(
    (
        select s.plan
        from subscriptions s
        where s.tenant_id = t.id
            and (s.status in ('active', 'trialing') or (s.status = 'past_due' and s.plan = t.plan))
        order by s.created_at desc
        limit 1
    ),
    %(free)s
)
where t.id = %(tenant_id)s
returning t.plan;

-- name: save_invoice
insert into invoices
    (tenant_id, stripe_invoice_id, number, status, currency, amount_due, amount_paid, hosted_url, created_at)
values
    (%(tenant_id)s, %(id)s, %(number)s, %(status)s, %(currency)s, %(amount_due)s, %(amount_paid)s, %(hosted_url)s,
     %(created_at)s)
on conflict (tenant_id, stripe_invoice_id) do update
set number = excluded.number,
    status = excluded.status,
    currency = excluded.currency,
    amount_due = excluded.amount_due,
    amount_paid = excluded.amount_paid,
    hosted_url = excluded.hosted_url,
    updated_at = now();

-- name: delete_invoice
-- Stripe deletes drafts only.
delete from invoices where tenant_id = %(tenant_id)s and stripe_invoice_id = %(id)s;

-- name: invoices
-- Newest first, with the time of the last look at each.
select stripe_invoice_id as id, number, status, currency, amount_due, amount_paid, hosted_url, created_at, updated_at
from invoices
where tenant_id = %(tenant_id)s
order by created_at desc, stripe_invoice_id desc
limit %(limit)s;

-- name: store_event
-- No row comes back for an event that is here already.
insert into webhook_inbox (id, kind, payload)
values (%(id)s, %(kind)s, %(payload)s)
on conflict (id) do nothing
returning id;

-- name: claim_event
-- The oldest event that is due: attempt n comes 5 * (2^n - 1) seconds after arrival. After sixteen attempts
-- (about four days) it stays for an operator to look at.
select id, kind, payload, attempts
from webhook_inbox
where processed_at is null
    and attempts < 16
    and id <> all(%(seen)s)
    and received_at + make_interval(secs => 5 * (power(2, attempts) - 1)) <= now()
order by received_at, id
limit 1
for update skip locked;

-- name: event_processed
update webhook_inbox
set processed_at = now(), attempts = attempts + 1, error = null
where id = %(id)s;

-- name: event_failed
update webhook_inbox
set attempts = attempts + 1, error = %(error)s
where id = %(id)s;
