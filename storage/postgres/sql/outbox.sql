-- name: append
insert into outbox (tenant_id, kind, aggregate, payload)
values (%(tenant_id)s, %(kind)s, %(aggregate)s, %(payload)s)
returning id;

-- name: lock_relay
-- The relay is the only one to publish; the lock is held to the end of the transaction.
select pg_try_advisory_xact_lock(7203482) as held;

-- name: unpublished
-- Commit order may differ from id order: a row of a transaction still open is published in a later round.
select id, tenant_id, kind, aggregate, payload, created_at
from outbox
where published_at is null
order by id
limit %(limit)s;

-- name: wait_for_relay
-- A round that is under way has marked what it published once this returns.
select pg_advisory_xact_lock(7203482);

-- name: publish_again
-- Not what its consumer has recorded as handled: consumers take one event after the other, and new ones would wait
-- behind an hour of them.
update outbox o set published_at = null
where published_at > now() - interval '1 hour'
  and not exists (select from handled_events h where h.consumer = any(%(consumers)s) and h.event_id = o.id);

-- name: mark_published
update outbox set published_at = now() where id = any(%(ids)s);

-- name: trim
delete from outbox where published_at < now() - interval '7 days';
