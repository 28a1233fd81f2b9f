-- Whether a turn's answer has to be JSON: the form itself lives with the running turn, and a turn that has lost it is not
-- run again as text.

alter table turns add column formed boolean not null default false;
