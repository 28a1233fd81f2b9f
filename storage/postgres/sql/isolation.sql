-- name: readable_tables
-- What the present role may select from.
select c.relname::text as name
from pg_class c
where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace and not c.relispartition
  and has_table_privilege(c.oid, 'select')
order by c.relname;

-- name: foreign_rows
-- Of one table, filled in by its name: rows of the foreign tenant, and rows that hold one of the words.
select count(*) as total
from {table} as t
where t::text ilike any (%(patterns)s) or to_jsonb(t) ->> 'tenant_id' = %(foreign)s;
