-- name: set_tenant
-- Row-level security reads this setting until the transaction ends.
select set_config('app.tenant', %(tenant)s, true);

-- name: ping
select 1 as ok;
