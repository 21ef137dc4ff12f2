package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/oncue/oncue/store/commit"
)

// Policy bounds what is kept. Zero fields do not bound.
type Policy struct {
	Journal  time.Duration // age of hooks
	History  time.Duration // age of transitions
	MaxBytes int64         // of the database; the oldest hooks go first, then the oldest transitions
}

// Swept says what a sweep removed.
type Swept struct {
	Hooks, Transitions int
	Pages              int // given back to the file system
}

const (
	sweepRows = 500                   // at most in one transaction
	sweepHold = 20 * time.Millisecond // a transaction that took longer makes the next one smaller

	vacuumPages = 128  // in one transaction
	sparePages  = 1024 // free pages left in the file, for they are about to be used again
)

// Keep has the store check its size by itself from now on, whenever it has grown by a tenth, and
// sets the policy for when the disk fills up. The next Sweep removes what is too old.
func (s *Store) Keep(p Policy) { s.policy.Store(&p) }

// Sweep removes what the policy does not keep, in transactions so small that hooks hardly wait, and
// gives the space back. It sets the policy as Keep does. The newest hook and the newest transition
// always stay, for numbers go on from them.
func (s *Store) Sweep(ctx context.Context, p Policy) (Swept, error) {
	s.Keep(p)
	var done Swept
	var err error
	if p.Journal > 0 {
		done.Hooks, err = s.sweepTable(ctx, sweepJournal, s.now().Add(-p.Journal), nil)
	}
	if err == nil && p.History > 0 {
		done.Transitions, err = s.sweepTable(ctx, sweepHistory, s.now().Add(-p.History), nil)
	}
	if err == nil {
		_, err = s.sweepTable(ctx, sweepSwept, s.now().Add(-duplicateWindow), nil)
	}
	if err == nil && p.MaxBytes > 0 {
		err = s.sweepBySize(ctx, p.MaxBytes, &done)
	}
	if err == nil {
		done.Pages, err = s.vacuum(ctx, p.spare())
	}
	if err == nil && s.ballast.dropped.Load() { // the disk was full: the log may have what was free
		err = s.writer.Chore(ctx, func(c *commit.Conn) error { return c.Exec("PRAGMA wal_checkpoint(TRUNCATE)") })
	}
	if err != nil {
		return done, fmt.Errorf("sweep the store: %w", err)
	}
	return done, nil
}

// spare is how many free pages stay in the file.
func (p Policy) spare() int64 {
	if p.MaxBytes > 0 {
		return min(sparePages, p.MaxBytes/commit.PageSize/10)
	}
	return sparePages
}

// sized is what the store looked like after its last sweep for the sake of size.
type sized struct {
	policy *Policy
	bytes  int64
}

// keepSize sweeps by size once the store has grown by a tenth since the last time, or the policy
// has changed.
func (s *Store) keepSize(ctx context.Context, last *sized) error {
	p := s.policy.Load()
	if p == nil || p.MaxBytes <= 0 {
		return nil
	}
	if p != last.policy {
		*last = sized{policy: p}
	}
	used, err := s.used(ctx)
	if err != nil || used <= p.MaxBytes || used < last.bytes+last.bytes/10 {
		return nil // a file that cannot be read is looked after elsewhere
	}
	last.bytes = used // should this fail, it is not tried again every second
	var done Swept
	if err := s.sweepBySize(ctx, p.MaxBytes, &done); err != nil {
		return err
	}
	if done.Pages, err = s.vacuum(ctx, p.spare()); err != nil {
		return err
	}
	last.bytes, err = s.used(ctx)
	s.log.Debug("store: it had grown beyond its bound", "swept", done, "bytes", last.bytes)
	return err
}

const pagesInUse = "SELECT (SELECT page_count FROM pragma_page_count)" +
	" - (SELECT freelist_count FROM pragma_freelist_count)"

// used returns the bytes of the database that hold something, those in the log included.
func (s *Store) used(ctx context.Context) (bytes int64, err error) {
	if err := s.reader().QueryRowContext(ctx, pagesInUse).Scan(&bytes); err != nil {
		return 0, s.readError("read the size", err)
	}
	return bytes * commit.PageSize, nil
}

func (s *Store) sweepBySize(ctx context.Context, limit int64, done *Swept) error {
	far := s.now().AddDate(1000, 0, 0)
	tooBig := func(c *commit.Conn) (bool, error) {
		used, err := c.Number(pagesInUse)
		return used*commit.PageSize > limit, err
	}
	n, err := s.sweepTable(ctx, sweepJournal, far, tooBig)
	done.Hooks += n
	if err == nil {
		_, err = s.sweepTable(ctx, sweepSwept, far, tooBig)
	}
	if err == nil {
		n, err = s.sweepTable(ctx, sweepHistory, far, tooBig)
		done.Transitions += n
	}
	return err
}

// sweepTable removes rows from a table's old end while they are older than before and more, if
// given, says so.
func (s *Store) sweepTable(ctx context.Context, sweep sweeper, before time.Time,
	more func(*commit.Conn) (bool, error)) (total int, err error) {
	rows := sweepRows
	for {
		var n int
		start := s.now()
		err := s.writer.Chore(ctx, func(c *commit.Conn) error {
			if more != nil {
				if ok, err := more(c); err != nil || !ok {
					return err
				}
			}
			start = s.now()
			return c.Transaction(func() (err error) {
				n, err = sweep(c, rows, before.UnixMilli(), s.now())
				return err
			})
		})
		if err != nil {
			return total, err
		}
		total += n
		if n < rows {
			return total, nil
		}
		if took := s.now().Sub(start); took > sweepHold {
			rows = max(rows/2, 10)
		} else if took < sweepHold/2 {
			rows = min(rows*2, sweepRows)
		}
	}
}

// sweeper removes at most limit rows from the old end, up to the first that is not older than
// before, and returns how many.
type sweeper func(c *commit.Conn, limit int, before int64, now time.Time) (int, error)

// oldest returns the last of the rows to remove and their number. A row from the future was stored
// under a wrong clock, and goes as well: otherwise it would keep everything behind it for as long.
func oldest(c *commit.Conn, query string, limit int, before int64, now time.Time) (last int64, n int, err error) {
	future := now.Add(24 * time.Hour).UnixMilli()
	stop := false
	err = c.Query(query, []driver.Value{int64(limit)}, 2, func(row []driver.Value) error {
		seq, isSeq := row[0].(int64)
		at, isTime := row[1].(int64)
		if !isSeq || !isTime { // a damaged file can hold anything
			return fmt.Errorf("%w: a row's number is a %T, its time a %T", errCorrupt, row[0], row[1])
		}
		stop = stop || at >= before && at <= future
		if !stop {
			last, n = seq, n+1
		}
		return nil
	})
	return last, n, err
}

func sweepJournal(c *commit.Conn, limit int, before int64, now time.Time) (int, error) {
	const rows = "SELECT seq, received FROM journal WHERE seq < (SELECT max(seq) FROM journal) ORDER BY seq LIMIT ?"
	last, n, err := oldest(c, rows, limit, before, now)
	if err != nil || n == 0 {
		return 0, err
	}
	if err := rememberSwept(c, last, now); err != nil {
		return 0, err
	}
	return n, c.Exec("DELETE FROM journal WHERE seq <= ?", last)
}

// sweepSwept forgets hooks that were removed from the journal before.
func sweepSwept(c *commit.Conn, limit int, before int64, now time.Time) (int, error) {
	last, n, err := oldest(c, "SELECT seq, received FROM swept ORDER BY seq LIMIT ?", limit, before, now)
	if err != nil || n == 0 {
		return 0, err
	}
	return n, c.Exec("DELETE FROM swept WHERE seq <= ?", last)
}

func sweepHistory(c *commit.Conn, limit int, before int64, now time.Time) (int, error) {
	const rows = "SELECT seq, at FROM history WHERE seq < (SELECT max(seq) FROM history) ORDER BY seq LIMIT ?"
	last, n, err := oldest(c, rows, limit, before, now)
	if err != nil || n == 0 {
		return 0, err
	}
	return n, c.Exec("DELETE FROM history WHERE seq <= ?", last)
}

// vacuum gives free pages back to the file system, all but spare.
func (s *Store) vacuum(ctx context.Context, spare int64) (total int, err error) {
	for {
		var given int64
		err := s.writer.Chore(ctx, func(c *commit.Conn) error {
			free, err := c.Number("PRAGMA freelist_count")
			if given = min(free-spare, vacuumPages); err != nil || given <= 0 {
				return err
			}
			// It gives a row for each page, and a row has no columns.
			pragma := fmt.Sprintf("PRAGMA incremental_vacuum(%d)", given)
			return c.Query(pragma, nil, 0, func([]driver.Value) error { return nil })
		})
		if err != nil || given <= 0 {
			return total, err
		}
		total += int(given)
	}
}
