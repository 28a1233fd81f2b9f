-- name: open
-- Nothing when another host has the tenant.
insert into open_calls (tenant_id, id, chatbot_id, kind, model, epoch, prompt_tokens, completion_tokens, cost_micro)
select tenant_id, %(id)s, %(chatbot_id)s, %(kind)s, %(model)s, epoch, %(prompt_tokens)s, %(completion_tokens)s,
       %(cost_micro)s
from tenant_epochs
where tenant_id = %(tenant_id)s and epoch = %(epoch)s;

-- name: close
delete from open_calls where tenant_id = %(tenant_id)s and id = %(id)s;

-- name: take_lost
-- Those that nobody ends any more: their host lost the tenant, or they are older than any call may get.
delete from open_calls
where tenant_id = %(tenant_id)s and (epoch < %(epoch)s or at < now() - make_interval(secs => %(seconds)s))
returning id, chatbot_id, kind, model, prompt_tokens, completion_tokens, cost_micro;
