-- name: request
-- No row comes back while the same export is being made.
insert into exports (tenant_id, id, kind, subject, requested_by)
values (%(tenant_id)s, %(id)s, %(kind)s, %(subject)s, %(requested_by)s)
on conflict (tenant_id, kind, subject) where state in ('requested', 'running') do nothing
returning tenant_id, id, kind, subject, state, requested_by, requested_at, finished_at, expires_at, size, sha256,
          attempts;

-- name: open_one
select tenant_id, id, kind, subject, state, requested_by, requested_at, finished_at, expires_at, size, sha256, attempts
from exports
where tenant_id = %(tenant_id)s and kind = %(kind)s and subject = %(subject)s and state in ('requested', 'running');

-- name: get
select tenant_id, id, kind, subject, state, requested_by, requested_at, finished_at, expires_at, size, sha256, attempts
from exports
where tenant_id = %(tenant_id)s and id = %(id)s and (expires_at is null or expires_at > now());

-- name: list
-- Newest first, after the cursor.
select tenant_id, id, kind, subject, state, requested_by, requested_at, finished_at, expires_at, size, sha256, attempts
from exports
where tenant_id = %(tenant_id)s and (expires_at is null or expires_at > now())
  and (%(before)s::uuid is null or id < %(before)s::uuid)
order by id desc
limit %(limit)s;

-- name: claim
-- Across tenants, the one that waits for longest; one that was at work when its process ended comes first.
update exports e set state = 'running', attempts = e.attempts + 1
from (
    select tenant_id, id from exports
    where state in ('requested', 'running')
    order by state desc, requested_at, id
    limit 1
) next
where e.tenant_id = next.tenant_id and e.id = next.id
returning e.tenant_id, e.id, e.kind, e.subject, e.state, e.requested_by, e.requested_at, e.finished_at, e.expires_at,
          e.size, e.sha256, e.attempts;

-- name: finish
-- No row comes back for one that was erased meanwhile.
update exports
set state = 'done', finished_at = now(), expires_at = now() + make_interval(hours => %(hours)s), size = %(size)s,
    sha256 = %(sha256)s
where tenant_id = %(tenant_id)s and id = %(id)s and state = 'running'
returning id;

-- name: give_back
update exports
set state = case when attempts >= %(most)s then 'failed' else 'requested' end,
    finished_at = case when attempts >= %(most)s then now() end
where tenant_id = %(tenant_id)s and id = %(id)s and state = 'running';

-- name: expired
select tenant_id, id from exports where state = 'done' and expires_at <= now() order by expires_at limit %(limit)s;

-- name: delete
delete from exports where tenant_id = %(tenant_id)s and id = %(id)s;

-- name: be_patient
select set_config('statement_timeout', '15min', true);

-- name: freeze
-- Every file of the archive sees this moment.
set transaction isolation level repeatable read, read only;

-- name: stream
-- A file of an archive: one JSON object per row.
copy (select row_to_json(t)::text from ({query}) t) to stdout;
