-- name: count
select count(*) as total from chatbots where tenant_id = %(tenant_id)s;

-- name: insert
insert into chatbots (tenant_id, id, name)
values (%(tenant_id)s, %(id)s, %(name)s);

-- name: insert_config
insert into chatbot_configs (tenant_id, chatbot_id, version, config)
values (%(tenant_id)s, %(chatbot_id)s, %(version)s, %(config)s);

-- name: get
select b.tenant_id, b.id, b.name, b.version, b.knowledge_generation, b.knowledge_model, c.config, b.created_at,
       b.updated_at
from chatbots b
join chatbot_configs c on c.tenant_id = b.tenant_id and c.chatbot_id = b.id and c.version = b.version
where b.tenant_id = %(tenant_id)s and b.id = %(id)s;

-- name: lock
-- Two changes of one bot follow each other, so that versions have no gaps and no merge is lost.
select version from chatbots where tenant_id = %(tenant_id)s and id = %(id)s for update;

-- name: knowledge_changed
-- What was answered before is of another state of the documents.
update chatbots set knowledge_version = knowledge_version + 1 where tenant_id = %(tenant_id)s and id = %(id)s;

-- name: list
select b.tenant_id, b.id, b.name, b.version, b.knowledge_generation, b.knowledge_model, c.config, b.created_at,
       b.updated_at
from chatbots b
join chatbot_configs c on c.tenant_id = b.tenant_id and c.chatbot_id = b.id and c.version = b.version
where b.tenant_id = %(tenant_id)s
order by b.id;

-- name: set_version
update chatbots set version = %(version)s, updated_at = now()
where tenant_id = %(tenant_id)s and id = %(id)s;

-- name: list_versions
-- Newest first.
select version, config, created_at
from chatbot_configs
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s
order by version desc
limit %(limit)s;

-- name: version
select version, config, created_at
from chatbot_configs
where tenant_id = %(tenant_id)s and chatbot_id = %(chatbot_id)s and version = %(version)s;
