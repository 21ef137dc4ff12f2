package store

import "fmt"

const (
	checkpointIdle = 1000 // pages in the write-ahead log that are worth a checkpoint when nothing else is to be done
	checkpointBusy = 4000 // and when something is

	digestRows  = 1024    // journal rows for one digest, which must not hold the writer for long
	digestLimit = 512_000 // undigested rows at which digests go between batches
)

// idle does a piece of what can wait, and reports whether there is more.
func (w *writer) idle() bool {
	if w.digested < w.seq {
		err := w.digest()
		w.health.chore(err)
		return err == nil && !w.health.corrupt()
	}
	return false
}

// busy does what cannot wait any longer, between two batches.
func (w *writer) busy() {
	if w.seq-w.digested > digestLimit {
		w.health.chore(w.digest())
	}
}

// digest adds the terms of the next rows.
func (w *writer) digest() error {
	upto := min(w.digested+digestRows, w.seq)
	err := w.conn.transaction(func() error {
		err := w.conn.exec("INSERT OR IGNORE INTO terms (term, seq) SELECT * FROM ("+
			"SELECT 's/' || stream, seq FROM journal WHERE seq > ?1 AND seq <= ?2 AND stream <> '' UNION ALL "+
			"SELECT 't/' || lower(type), seq FROM journal WHERE seq > ?1 AND seq <= ?2 AND type <> '' UNION ALL "+
			"SELECT 't/' || lower(event), seq FROM journal WHERE seq > ?1 AND seq <= ?2 AND event <> '') ORDER BY 1, 2", w.digested, upto)
		if err != nil {
			return err
		}
		return setMark(w.conn, "digested", upto)
	})
	if err != nil {
		return fmt.Errorf("digest the journal: %w", err)
	}
	w.digested = upto
	return nil
}
