package commit

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
)

const (
	// walPages is how long the write-ahead log is made in advance. Overwriting costs an fsync half
	// of what growing the file does, for the file system has no new size and blocks to record.
	walPages = 4096

	checkpointIdle = 512              // pages in the log that are worth a checkpoint when nothing waits
	checkpointBusy = walPages * 7 / 8 // and when something does

	// looksAfter is after how many requests a busy writer asks how long the log is. To ask costs as
	// much as to write two hooks, and a request adds three pages at most on average.
	looksAfter = 128

	// PageSize is that of the database.
	PageSize  = 4096
	frameSize = PageSize + 24 // https://sqlite.org/fileformat2.html#the_write_ahead_log

	// LogSize is the length in bytes to which the log is made in advance.
	LogSize = walPages * frameSize
)

// wal looks after the write-ahead log of one open file.
type wal struct {
	conn         *Conn
	path         string
	preallocated bool
	checkpointed int64 // pages that were in the log at the last checkpoint
	unseen       int   // requests since the last look at its length
}

// openWAL takes checkpoints over from SQLite, which would make them while somebody waits.
func openWAL(c *Conn, path string) (wal, error) {
	if _, err := c.Number("PRAGMA wal_autocheckpoint = 0"); err != nil {
		return wal{}, err
	}
	if _, err := c.Number(fmt.Sprintf("PRAGMA journal_size_limit = %d", 4*LogSize)); err != nil {
		return wal{}, err
	}
	return wal{conn: c, path: path}, nil
}

// idle does what can wait until nothing else is to be done.
func (l *wal) idle(roomy func() (bool, error)) error {
	var err error
	if !l.preallocated {
		l.preallocated = true
		err = l.preallocate(roomy)
	}
	return errors.Join(err, l.checkpointAt(checkpointIdle))
}

// busy does what is due even under load, after so many requests more.
func (l *wal) busy(requests int) error {
	if l.unseen += requests; l.unseen < looksAfter {
		return nil
	}
	return l.checkpointAt(checkpointBusy)
}

// checkpointAt moves the log into the file once it has so many pages more than at the last
// checkpoint, or has begun anew and has so many. It goes as far as readers let it, and does not
// disturb them. The next batch then begins the log anew, unless a reader still needs it.
func (l *wal) checkpointAt(least int64) error {
	l.unseen = 0
	pages, err := l.checkpoint("NOOP")
	if err != nil {
		return err
	}
	if pages < l.checkpointed {
		l.checkpointed = 0
	}
	if pages-l.checkpointed < least {
		return nil
	}
	l.checkpointed = pages
	if _, err := l.checkpoint("PASSIVE"); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// checkpoint makes one of the given kind and returns how many pages the log holds.
func (l *wal) checkpoint(kind string) (pages int64, err error) {
	err = l.conn.Query("PRAGMA wal_checkpoint("+kind+")", nil, 3, func(row []driver.Value) error {
		pages, _ = row[1].(int64)
		return nil
	})
	return pages, err
}

// preallocate writes zeros behind the log's end. SQLite does not take them for pages.
func (l *wal) preallocate(roomy func() (bool, error)) error {
	f, err := os.OpenFile(l.path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() >= LogSize {
		return err
	}
	if ok, err := roomy(); err != nil || !ok {
		return err
	}
	zeros := make([]byte, 64*frameSize) // a piece, for the whole would stay in the process's memory
	for at := info.Size(); at < LogSize; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), LogSize-at)], at); err != nil {
			return errors.Join(fmt.Errorf("preallocate the write-ahead log: %w", err), f.Truncate(info.Size()))
		}
	}
	return f.Sync()
}
