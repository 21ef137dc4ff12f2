package store

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	// walPages is how far the write-ahead log is stretched in advance. Overwriting costs an fsync half of what growing the file does, for the
	// file system has no new size and blocks to record.
	walPages = 4096

	checkpointIdle = 512              // pages in the log that are worth a checkpoint when nothing else is to be done
	checkpointBusy = walPages * 7 / 8 // and when something is

	digestRows  = 1024    // journal rows for one digest, which must not hold the writer for long
	digestLimit = 512_000 // undigested rows at which digests go between batches

	// A digest is followed by a pause. Where a flood has left more than digestFew pieces it is of so many times what the digest took, so that it does
	// not take a core for minutes: until it has caught up, readers read through what it has not covered.
	digestFew       = 16
	digestPause     = time.Second
	digestPauseLong = 400
	digestPauseMax  = 30 * time.Second

	frameSize = pageSize + 24 // a page in the log and its header: https://sqlite.org/fileformat2.html#the_write_ahead_log
)

// idle does a piece of what can wait, and tells when to do the next if there is more.
func (w *writer) idle() (wait time.Duration, more bool) {
	var err error
	switch pages, _ := w.logged(); {
	case !w.stretched:
		w.stretched, more = true, true
		err = w.stretch()
	case w.olderThan != 0:
		more = true
		err = w.loadOlder(runsAtOnce)
	case w.digested < w.seq && time.Until(w.digestAt) <= 0:
		more = true
		pause, began := digestPause, time.Now()
		err = w.digest()
		if w.seq-w.digested > digestFew*digestRows {
			pause = min(max(digestPauseLong*time.Since(began), digestPause), digestPauseMax)
		}
		w.digestAt = time.Now().Add(pause)
	case pages >= checkpointIdle && pages != w.checkpointed:
		err = w.checkpoint()
	case w.seen.old(w.windowStart()) || w.older.old(w.windowStart()):
		err = w.forget()
	}
	if !more && w.digested < w.seq {
		wait, more = max(time.Until(w.digestAt), quiet), true
	}
	w.health.chore(err)
	return wait, more && err == nil && !w.health.corrupt()
}

// busy does what cannot wait any longer, between two batches.
func (w *writer) busy() {
	if w.seq-w.digested > digestLimit {
		w.health.chore(w.digest())
	}
	if pages, err := w.logged(); err != nil {
		w.health.chore(err)
	} else if pages >= w.checkpointed+checkpointBusy || pages >= checkpointBusy && pages < w.checkpointed {
		w.health.chore(w.checkpoint())
	}
}

func (w *writer) windowStart() int64 { return w.now().Add(-duplicateWindow).UnixMilli() }

// logged returns how many pages the write-ahead log holds.
func (w *writer) logged() (pages int64, err error) {
	err = w.conn.query("PRAGMA wal_checkpoint(NOOP)", nil, 3, func(row []driver.Value) error {
		pages, _ = row[1].(int64)
		return nil
	})
	return pages, err
}

// checkpoint moves the log into the file, as far as readers let it. They are not disturbed; the next batch then starts the log anew.
func (w *writer) checkpoint() error {
	err := w.conn.query("PRAGMA wal_checkpoint(PASSIVE)", nil, 3, func(row []driver.Value) error {
		logged, _ := row[1].(int64)
		done, _ := row[2].(int64)
		w.checkpointed = 0
		if done < logged {
			w.checkpointed = logged // a reader is in the way: try again once as much has been added
		}
		return nil
	})
	if err != nil {
		w.checkpointed, _ = w.logged()
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// stretch writes zeros behind the log's end. SQLite takes them for what they are, not frames.
func (w *writer) stretch() error {
	f, err := os.OpenFile(w.walPath, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() >= walPages*frameSize {
		return err
	}
	if free, total, err := freeSpace(w.walPath); err != nil || free < reserveMinFree || free < total/reserveShare {
		return err
	}
	zeros := make([]byte, 64*frameSize)
	for at := info.Size(); at < walPages*frameSize; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), walPages*frameSize-at)], at); err != nil {
			return errors.Join(fmt.Errorf("stretch the write-ahead log: %w", err), f.Truncate(info.Size()))
		}
	}
	return f.Sync()
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

// forget drops the sums that no hook can be a duplicate of any more.
func (w *writer) forget() error {
	before := w.windowStart()
	w.seen.forget(before)
	w.older.forget(before)
	err := w.conn.transaction(func() error {
		return w.conn.exec("UPDATE runs SET sums = x'' WHERE newest < ? AND sums <> x''", before)
	})
	if err != nil {
		return fmt.Errorf("forget old sums: %w", err)
	}
	return nil
}
