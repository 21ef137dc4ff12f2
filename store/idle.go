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

	frameSize = pageSize + 24 // a page in the log and its header: https://sqlite.org/fileformat2.html#the_write_ahead_log
)

// idle does a piece of what can wait, and tells when to do the next if there is more.
func (w *writer) idle() (wait time.Duration, more bool) {
	var err error
	began := time.Now()
	switch pages, _ := w.logged(); {
	case !w.stretched:
		w.stretched, more = true, true
		err = w.stretch()
	case w.olderThan != 0:
		more = true
		err = w.loadOlder(runsAtOnce)
	case w.digest.covered < w.seq && time.Until(w.digest.at) <= 0:
		more = true
		err = w.digestPiece()
		w.rest(time.Since(began))
	case pages >= checkpointIdle && pages != w.checkpointed:
		err = w.checkpoint()
		w.rest(time.Since(began)) // for the most part it moves what a digest has written
	case w.seen.old(w.windowStart()) || w.older.old(w.windowStart()):
		err = w.forget()
	}
	if !more && w.digest.covered < w.seq {
		wait, more = max(time.Until(w.digest.at), quiet), true
	}
	w.health.chore(err)
	return wait, more && err == nil && !w.health.corrupt()
}

// busy does what cannot wait any longer, between two batches.
func (w *writer) busy() {
	if w.seq-w.digest.covered > digestLimit {
		w.health.chore(w.digestPiece())
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
