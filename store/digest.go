package store

import (
	"database/sql/driver"
	"fmt"
	"time"
)

// The terms are an index by which readers find the hooks of a stream or a type. Hooks do not wait for it: it is written when the writer has time.

const (
	digestRows  = 1024    // journal rows for one piece of a digest, which must not hold the writer for long
	digestSpan  = 16_384  // rows that are sorted by term before they are written
	digestLimit = 512_000 // undigested rows at which digests go between batches

	// A piece is followed by a pause. Where a flood has left more than a span it is of so many times what the work took, so that it does not take a core
	// for minutes: until it has caught up, readers read through what it has not covered.
	digestPause     = time.Second
	digestPauseLong = 1000
	digestPauseMax  = 30 * time.Second
)

// digest is a span of journal rows on its way into the terms. The hooks of a flood are of many streams in turn, and a term of each stands on a page of
// its own: so a span is gathered in memory first, and a page written once for all rows that belong there.
type digest struct {
	covered  int64  // the last journal row that terms covers
	gathered int64  // the last that is in memory
	term     string // the last term that was written of the span, and its row; "" while none is
	seq      int64
	at       time.Time // not before then again
}

// rest puts the next piece off, after work of its kind that took so long.
func (w *writer) rest(took time.Duration) {
	pause := digestPause
	if w.seq-w.digest.covered > digestSpan {
		pause = min(max(digestPauseLong*took, digestPause), digestPauseMax)
	}
	w.digest.at = time.Now().Add(pause)
}

// digestPiece gathers the next rows of a span, or writes the next terms of one that is gathered.
func (w *writer) digestPiece() error {
	d := &w.digest
	if span := min(d.covered+digestSpan, w.seq); d.term == "" && d.gathered < span { // what comes while a span is written waits for the next
		upto := min(d.gathered+digestRows, span)
		err := w.conn.exec("INSERT OR IGNORE INTO fresh (term, seq)"+
			" SELECT 's/' || stream, seq FROM journal WHERE seq > ?1 AND seq <= ?2 AND stream <> '' UNION ALL"+
			" SELECT 't/' || lower(type), seq FROM journal WHERE seq > ?1 AND seq <= ?2 AND type <> '' UNION ALL"+
			" SELECT 't/' || lower(event), seq FROM journal WHERE seq > ?1 AND seq <= ?2 AND event <> ''", d.gathered, upto)
		if err != nil {
			return fmt.Errorf("gather a digest of the journal: %w", err)
		}
		if d.gathered = upto; upto < span {
			return nil
		}
	}
	next := *d
	err := w.conn.transaction(func() error { return w.writeTerms(&next) })
	if err != nil {
		return fmt.Errorf("digest the journal: %w", err)
	}
	*d = next
	return nil
}

// writeTerms writes the next terms of the gathered span, but for rows that retention has removed meanwhile. The mark is set with the last of them.
func (w *writer) writeTerms(d *digest) error {
	const terms = 3 * digestRows
	more := false
	from := *d
	err := w.conn.query("SELECT term, seq FROM fresh WHERE (term, seq) > (?, ?) ORDER BY term, seq LIMIT 1 OFFSET ?", []driver.Value{from.term, from.seq, int64(terms - 1)}, 2,
		func(row []driver.Value) error {
			d.term, more = row[0].(string)
			d.seq, _ = row[1].(int64)
			return nil
		})
	if err != nil {
		return err
	}
	err = w.conn.exec("INSERT OR IGNORE INTO terms (term, seq) SELECT term, seq FROM fresh"+
		" WHERE (term, seq) > (?, ?) AND seq >= (SELECT min(seq) FROM journal) ORDER BY term, seq LIMIT ?", from.term, from.seq, int64(terms))
	if err != nil || more {
		return err
	}
	d.covered, d.term, d.seq = d.gathered, "", 0
	if err := w.conn.exec("DELETE FROM fresh"); err != nil {
		return err
	}
	return setMark(w.conn, "digested", d.covered)
}

// loadDigest begins where the last writer of the file has stopped.
func (w *writer) loadDigest() error {
	covered, err := w.conn.number("SELECT value FROM marks WHERE name = 'digested'")
	if err != nil {
		return fmt.Errorf("load the marks: %w", err)
	}
	w.digest = digest{covered: covered, gathered: covered}
	if err := w.conn.exec("CREATE TEMP TABLE IF NOT EXISTS fresh (term TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (term, seq)) STRICT, WITHOUT ROWID"); err != nil {
		return fmt.Errorf("create the digest table: %w", err)
	}
	return nil
}
