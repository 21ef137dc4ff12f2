-- Fewer pages again: eight hooks changed nine with the indexes before, and change seven with
-- these. Hooks of a time are searched from the newest on, which needs no index.

DROP INDEX journal_by_received;

-- In blocks of 128 rows, which are one page and not four.
DROP INDEX journal_by_stream;
CREATE INDEX journal_by_stream ON journal (seq >> 7, stream);
