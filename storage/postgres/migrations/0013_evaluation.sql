-- Question sets, evaluations and their results, drafts of configurations, and publish gates.

create table question_sets (
    tenant_id uuid not null,
    id uuid not null,
    chatbot_id uuid not null,
    name text not null,
    -- Grows whenever questions come or go: evaluations of one revision asked the same.
    revision integer not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, chatbot_id) references chatbots (tenant_id, id) on delete cascade
);
create index question_sets_of_bot on question_sets (tenant_id, chatbot_id, id);

-- The question, the conversation before it and the expected answers, together and sealed. One that somebody asked goes
-- with the conversation it was asked in.
create table evaluation_questions (
    tenant_id uuid not null,
    id uuid not null,
    question_set_id uuid not null,
    source text not null check (source in ('upload', 'conversation')),
    rating text check (rating in ('up', 'down')),
    answerable boolean not null,
    session_id uuid,
    sealed bytea not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    check ((source = 'conversation') = (session_id is not null)),
    foreign key (tenant_id, question_set_id) references question_sets (tenant_id, id) on delete cascade,
    foreign key (tenant_id, session_id) references sessions (tenant_id, id) on delete cascade
);
create index evaluation_questions_of_set on evaluation_questions (tenant_id, question_set_id, id);
create index evaluation_questions_of_session on evaluation_questions (tenant_id, session_id) where session_id is not null;

-- Where the answer stands. What is quoted of a document goes with the document; name and snippet are sealed together.
create table expected_passages (
    tenant_id uuid not null,
    question_id uuid not null,
    position integer not null,
    document_id uuid,
    span_start integer,
    span_end integer,
    sealed bytea not null,
    primary key (tenant_id, question_id, position),
    check ((span_start is null) = (span_end is null)),
    foreign key (tenant_id, question_id) references evaluation_questions (tenant_id, id) on delete cascade,
    foreign key (tenant_id, document_id) references documents (tenant_id, id) on delete cascade
);
create index expected_passages_of_document on expected_passages (tenant_id, document_id) where document_id is not null;

-- A durable job with the configuration as it was. The numbers outlive the question set.
create table evaluations (
    tenant_id uuid not null,
    id uuid not null,
    chatbot_id uuid not null,
    question_set_id uuid,
    revision integer not null,
    mode text not null check (mode in ('retrieval', 'answers')),
    -- Null for a draft.
    version integer,
    config jsonb not null,
    knowledge text not null,
    state text not null default 'requested' check (state in ('requested', 'running', 'completed', 'failed', 'cancelled')),
    reason text,
    attempts integer not null default 0,
    questions integer not null,
    summary jsonb,
    requested_by text not null,
    requested_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    next_try_at timestamptz not null default now(),
    primary key (tenant_id, id),
    check ((state = 'completed') = (summary is not null)),
    foreign key (tenant_id, chatbot_id) references chatbots (tenant_id, id) on delete cascade,
    foreign key (tenant_id, question_set_id) references question_sets (tenant_id, id)
        on delete set null (question_set_id)
);
create index evaluations_of_bot on evaluations (tenant_id, chatbot_id, id);
create index evaluations_of_set on evaluations (tenant_id, question_set_id, id) where question_set_id is not null;
create index evaluations_waiting on evaluations (requested_at) where state in ('requested', 'running');

-- What came of each question: places of passages, scores, and the answer, which is sealed.
create table evaluation_results (
    tenant_id uuid not null,
    evaluation_id uuid not null,
    question_id uuid not null,
    scores jsonb not null,
    passages jsonb not null,
    sealed bytea,
    error text,
    model text not null default '',
    prompt_tokens bigint not null default 0,
    completion_tokens bigint not null default 0,
    cached_tokens bigint not null default 0,
    cost_micro bigint not null default 0,
    retrieval_ms integer not null default 0,
    total_ms integer not null default 0,
    created_at timestamptz not null default now(),
    primary key (tenant_id, evaluation_id, question_id),
    foreign key (tenant_id, evaluation_id) references evaluations (tenant_id, id) on delete cascade,
    foreign key (tenant_id, question_id) references evaluation_questions (tenant_id, id) on delete cascade
);
create index evaluation_results_of_question on evaluation_results (tenant_id, question_id);

-- A configuration that is not live.
create table chatbot_drafts (
    tenant_id uuid not null,
    chatbot_id uuid not null,
    base_version integer not null,
    config jsonb not null,
    updated_at timestamptz not null default now(),
    primary key (tenant_id, chatbot_id),
    foreign key (tenant_id, chatbot_id) references chatbots (tenant_id, id) on delete cascade
);

-- What a draft has to reach. A set that a gate asks is not deleted; it goes with its bot.
create table publish_gates (
    tenant_id uuid not null,
    chatbot_id uuid not null,
    question_set_id uuid not null,
    mode text not null check (mode in ('retrieval', 'answers')),
    rules jsonb not null,
    updated_at timestamptz not null default now(),
    primary key (tenant_id, chatbot_id),
    foreign key (tenant_id, chatbot_id) references chatbots (tenant_id, id) on delete cascade,
    foreign key (tenant_id, question_set_id) references question_sets (tenant_id, id) on delete cascade
);
create index publish_gates_of_set on publish_gates (tenant_id, question_set_id);

do $$
declare
    t text;
begin
    foreach t in array array[
        'question_sets', 'evaluation_questions', 'expected_passages', 'evaluations', 'evaluation_results',
        'chatbot_drafts', 'publish_gates'
    ] loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format(
            'create policy tenant on %I to loquent_app using (tenant_id = (select app_tenant())) with check (tenant_id = (select app_tenant()))',
            t
        );
        execute format('create policy system on %I to loquent_system using (true) with check (true)', t);
    end loop;
end $$;

grant select, insert, update, delete on
    question_sets, evaluation_questions, expected_passages, evaluations, evaluation_results, chatbot_drafts,
    publish_gates
    to loquent_app, loquent_system;
