-- What could not be read of a document that is ready, and what was read off pictures of its pages.

alter table documents
    add column notice text,
    add column recognised_pages integer check (recognised_pages > 0),
    -- From 0 to 1.
    add column recognition_confidence real check (recognition_confidence between 0 and 1),
    add constraint documents_recognition check ((recognised_pages is null) = (recognition_confidence is null));
