-- Every page that a batch of hooks changes costs its senders time: eight hooks change nine pages with
-- these indexes, three of them with the hooks themselves, and changed 17 with the earlier ones.

DROP INDEX IF EXISTS journal_by_stream; -- in blocks of 4,096 rows
DROP INDEX IF EXISTS journal_by_type;
DROP INDEX IF EXISTS journal_by_event;

-- Of a stream, in each block of 512 rows: with the stream first, each hook of a flood would change
-- a page of its own.
CREATE INDEX journal_by_stream ON journal (seq >> 9, stream);

-- A flood is of attempts, which are found by reading the journal from its end.
CREATE INDEX journal_by_type ON journal (lower(type))
    WHERE type <> 'viewerConnection' OR event <> 'ViewerAttempt';
CREATE INDEX journal_by_event ON journal (lower(event))
    WHERE type <> 'viewerConnection' OR event <> 'ViewerAttempt';
