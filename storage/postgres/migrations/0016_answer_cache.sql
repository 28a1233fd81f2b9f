-- Answers are kept in Redis for questions that are asked again. They are of one state of the bot's documents, which has
-- a number: whoever changes what a search of them finds counts it on in the same transaction, the bot's row held first.

alter table chatbots add column knowledge_version bigint not null default 0 check (knowledge_version >= 0);
