-- What a document says about itself, where it came from, its language, and how it was cut and embedded.

alter table documents
    -- Flat: names with a text, a number or a yes or no.
    add column metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    add column language text,
    add column source text,
    -- The fingerprint of chunking and model; null for documents that are not ready, or from before this column.
    add column chunked_with text;
