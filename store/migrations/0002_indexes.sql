-- Ordinary indexes find what runs was for, and 0003 what terms was for. They are made so that hooks of
-- one time stand on few pages, however many hooks are stored.

CREATE INDEX journal_by_received ON journal (received);

-- Of a duplicate: it says the same time. The headers of a picture, its time among them, are signed
-- by nobody.
CREATE INDEX journal_by_body ON journal (iif(body IS NULL, 0, sent), substr(sum, 1, 8));

-- Hooks that retention has removed within the day, which still have duplicates.
CREATE TABLE swept (
    seq      INTEGER PRIMARY KEY,
    received INTEGER NOT NULL,
    sent     INTEGER NOT NULL,  -- as in journal_by_body; -1: an older version did not keep it
    key      BLOB NOT NULL      -- the first eight bytes of the sum; see identity.key
) STRICT;
CREATE INDEX swept_by_body ON swept (sent, key);

-- Until now they were in runs. A run is read in pieces, for each look into it reads all of it.
WITH RECURSIVE
    n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i < 255),
    kept(seq) AS (SELECT coalesce((SELECT min(seq) FROM journal), 1 << 62)),
    piece(first, received, sums) AS MATERIALIZED (
        SELECT first + i * 64, newest, substr(sums, i * 512 + 1, 512) FROM runs, n, kept
        WHERE newest > unixepoch() * 1000 - 86400000 AND first < kept.seq AND i * 512 < length(sums))
INSERT INTO swept
    SELECT first + i, received, -1, substr(sums, i * 8 + 1, 8) FROM piece, n, kept
    WHERE i * 8 < length(sums) AND first + i < kept.seq AND substr(sums, i * 8 + 1, 8) <> zeroblob(8);

DROP TABLE runs;
DROP TABLE terms;
DROP TABLE marks;
