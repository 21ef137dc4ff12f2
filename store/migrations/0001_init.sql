-- Times are milliseconds since 1970 UTC, 0 for "none", unless the name says otherwise.

-- Hooks as received, in the order of their storing. Nothing but the primary key is kept up while hooks arrive: runs and terms follow in batches.
CREATE TABLE journal (
    seq      INTEGER PRIMARY KEY,
    received INTEGER NOT NULL,
    sent     INTEGER NOT NULL,
    account  TEXT NOT NULL,
    stream   TEXT NOT NULL,
    type     TEXT NOT NULL,
    event    TEXT NOT NULL,
    verdict  TEXT NOT NULL,
    note     TEXT NOT NULL,
    size     INTEGER NOT NULL,
    sum      BLOB,  -- SHA-256 of the body
    body     BLOB
) STRICT;

-- Every few thousand journal rows in a row: their times, and the first eight bytes of their sums, eight zeros where there is none.
CREATE TABLE runs (
    first    INTEGER PRIMARY KEY,
    last     INTEGER NOT NULL,
    oldest   INTEGER NOT NULL,
    newest   INTEGER NOT NULL,
    sums     BLOB NOT NULL  -- emptied once no duplicate can match it
) STRICT;

-- Where to find a word: "s/" + stream id, "t/" + type or event in lower case. Complete up to marks.digested.
CREATE TABLE terms (
    term     TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (term, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE streams (
    id       TEXT PRIMARY KEY,
    at       INTEGER NOT NULL,  -- nanoseconds
    state    BLOB NOT NULL
) STRICT;

CREATE TABLE history (
    seq        INTEGER PRIMARY KEY,
    stream     TEXT NOT NULL,
    at         INTEGER NOT NULL,
    from_phase TEXT NOT NULL,
    to_phase   TEXT NOT NULL,
    event      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    encoder    TEXT NOT NULL,
    deadline   INTEGER NOT NULL
) STRICT;
CREATE INDEX history_by_stream ON history (stream, seq);

CREATE TABLE settings (
    key      TEXT PRIMARY KEY,
    value    TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Single numbers: digested (the last journal row that terms covers), heartbeat (the last probe).
CREATE TABLE marks (
    name     TEXT PRIMARY KEY,
    value    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
