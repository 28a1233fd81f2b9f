-- name: insert
insert into mail_queue (id, kind, recipient, about, give_up_at)
values (%(id)s, %(kind)s, %(recipient)s, %(about)s, now() + make_interval(secs => %(seconds)s));

-- name: claim
-- The next attempt is set before this one is made: who dies in between loses nothing, and two never take the same.
-- 30 s, 1 min, 2 min … an hour.
update mail_queue
set attempts = attempts + 1,
    next_attempt_at = now() + least(interval '30 seconds' * pow(2, least(attempts, 10)), interval '1 hour')
where id in (
    select id from mail_queue
    where next_attempt_at <= now()
    order by next_attempt_at
    limit %(limit)s
    for update skip locked
)
returning id, kind, recipient, about, attempts, give_up_at <= now() as overdue;

-- name: delete
delete from mail_queue where id = %(id)s;
