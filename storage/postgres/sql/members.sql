-- name: role
select role from memberships where tenant_id = %(tenant_id)s and user_id = %(user_id)s;
