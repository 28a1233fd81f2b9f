-- name: lock_head
-- The chain's end, made where there is none, and nobody else's until the transaction ends. The clock is read after the
-- wait, so that times grow with the numbers.
insert into audit_heads (tenant_id, seq, hash) values (%(tenant_id)s, 0, %(first)s)
on conflict (tenant_id) do update set tenant_id = excluded.tenant_id
returning seq, hash, clock_timestamp() as at;

-- name: insert
insert into audit_events (tenant_id, seq, at, actor_kind, actor_id, action, target_kind, target_id, ip, request_id,
                          details, previous_hash, hash)
values (%(tenant_id)s, %(seq)s, %(at)s, %(actor_kind)s, %(actor_id)s, %(action)s, %(target_kind)s, %(target_id)s,
        %(ip)s, %(request_id)s, %(details)s, %(previous_hash)s, %(hash)s);

-- name: set_head
update audit_heads set seq = %(seq)s, hash = %(hash)s where tenant_id = %(tenant_id)s;

-- name: list
-- Newest first.
select tenant_id, seq, at, actor_kind, actor_id, action, target_kind, target_id, ip, request_id, details,
       previous_hash, hash
from audit_events
where tenant_id = %(tenant_id)s
  and (%(before)s::bigint is null or seq < %(before)s::bigint)
  and (%(action)s::text is null or action = %(action)s::text)
  and (%(actor_id)s::text is null or actor_id = %(actor_id)s::text)
order by seq desc
limit %(limit)s;

-- name: following
-- Oldest first.
select tenant_id, seq, at, actor_kind, actor_id, action, target_kind, target_id, ip, request_id, details,
       previous_hash, hash
from audit_events
where tenant_id = %(tenant_id)s and seq > %(after)s
order by seq
limit %(limit)s;

-- name: freeze
-- Every later statement of the transaction sees this moment.
set transaction isolation level repeatable read, read only;

-- name: head
select seq, hash from audit_heads where tenant_id = %(tenant_id)s;

-- name: tenants
-- Also those of which only rows or only a head is left. Jumps from tenant to tenant instead of reading every row.
with recursive found as (
    (select tenant_id from audit_events order by tenant_id limit 1)
    union all
    select (select e.tenant_id from audit_events e where e.tenant_id > f.tenant_id order by e.tenant_id limit 1)
    from found f
    where f.tenant_id is not null
)
select tenant_id from found where tenant_id is not null union select tenant_id from audit_heads order by tenant_id;

-- name: lock_anchors
-- Numbers follow each other: one anchor at a time, until the transaction ends.
select pg_try_advisory_xact_lock(7203483) as held;

-- name: unanchored
select tenant_id, seq, hash
from audit_heads
where anchored_hash is distinct from hash
order by tenant_id
limit %(limit)s;

-- name: newest_anchor
select number, key, mac from audit_anchors order by number desc limit 1;

-- name: anchors
select number, key, mac from audit_anchors order by number;

-- name: insert_anchor
insert into audit_anchors (number, key, mac) values (%(number)s, %(key)s, %(mac)s);

-- name: mark_anchored
-- By its hash: a head that went on meanwhile is anchored again.
update audit_heads h set anchored_hash = a.hash
from unnest(%(tenant_ids)s::uuid[], %(hashes)s::bytea[]) as a (tenant_id, hash)
where h.tenant_id = a.tenant_id;
