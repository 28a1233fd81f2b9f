-- name: get
select config, base_version, updated_at from chatbot_drafts
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s;

-- name: put
insert into chatbot_drafts (tenant_id, chatbot_id, base_version, config)
values (%(tenant_id)s, %(chatbot_id)s, %(base_version)s, %(config)s)
on conflict (tenant_id, chatbot_id) do update
    set base_version = excluded.base_version, config = excluded.config, updated_at = now()
returning config, base_version, updated_at;

-- name: delete
delete from chatbot_drafts where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s;

-- name: gate
select question_set_id, mode, rules from publish_gates
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s;

-- name: put_gate
insert into publish_gates (tenant_id, chatbot_id, question_set_id, mode, rules)
values (%(tenant_id)s, %(chatbot_id)s, %(question_set_id)s, %(mode)s, %(rules)s)
on conflict (tenant_id, chatbot_id) do update
    set question_set_id = excluded.question_set_id, mode = excluded.mode, rules = excluded.rules, updated_at = now();

-- name: delete_gate
delete from publish_gates where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s;
