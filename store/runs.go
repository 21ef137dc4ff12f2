package store

import (
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/oncue/oncue/controller"
)

// runLength is how many journal rows one row of runs describes.
const runLength = 8192

// run gathers the rows since the last row of runs.
type run struct {
	first, last    int64
	oldest, newest int64
	sums           []byte
}

func (r *run) add(key uint64, seq, received int64) {
	if len(r.sums) == 0 {
		r.first, r.oldest, r.newest = seq, received, received
	} else {
		for r.last++; r.last < seq; r.last++ {
			r.sums = binary.BigEndian.AppendUint64(r.sums, 0)
		}
	}
	r.last, r.oldest, r.newest = seq, min(r.oldest, received), max(r.newest, received)
	r.sums = binary.BigEndian.AppendUint64(r.sums, key)
}

// writeRun stores the gathered run once it is long enough. It is cleared when that has become true: see remember.
func (w *writer) writeRun() error {
	if len(w.run.sums) < runLength*8 {
		return nil
	}
	err := w.conn.exec("INSERT INTO runs (first, last, oldest, newest, sums) VALUES (?, ?, ?, ?, ?)",
		w.run.first, w.run.last, w.run.oldest, w.run.newest, w.run.sums)
	if err != nil {
		return fmt.Errorf("close a run of the journal: %w", err)
	}
	w.runWritten = true
	return nil
}

const (
	// recent is how far back the writer knows the sums before it serves. The rest of the day is read when there is time, or when a hook comes that
	// may be a duplicate of one from back then.
	recent = time.Hour

	// ahead is how far a sender's clock may be ahead of this one.
	ahead = 15 * time.Minute

	// runsAtOnce is how many runs are read in one piece of idle work.
	runsAtOnce = 4
)

// load reads what the writer must know of the file: the last numbers, and the latest sums.
func (w *writer) load() (err error) {
	w.seen.clear()
	w.older.clear()
	w.run, w.runWritten = run{}, false
	w.olderThan, w.olderRead = w.now().Add(-recent).UnixMilli(), 0
	w.stretched, w.checkpointed = false, 0
	if _, err := w.conn.number("PRAGMA wal_autocheckpoint = 0"); err != nil {
		return err
	}
	if _, err := w.conn.number("PRAGMA temp_store = MEMORY"); err != nil {
		return err
	}
	if _, err := w.conn.number(fmt.Sprintf("PRAGMA journal_size_limit = %d", 4*walPages*frameSize)); err != nil {
		return err
	}
	if w.story, err = w.conn.number("SELECT max(seq) FROM history"); err != nil {
		return fmt.Errorf("load the history: %w", err)
	}
	if err := w.loadDigest(); err != nil {
		return err
	}
	err = w.conn.query("SELECT first, newest, sums FROM runs WHERE newest >= ? ORDER BY first", []driver.Value{w.olderThan}, 3, func(row []driver.Value) error {
		_, err := w.seen.addRun(row)
		return err
	})
	if err != nil {
		return fmt.Errorf("load the runs: %w", err)
	}
	if w.seq, err = w.conn.number("SELECT max(last) FROM runs"); err != nil {
		return fmt.Errorf("load the runs: %w", err)
	}
	const rows = "SELECT seq, received, " + identityColumns + " FROM journal WHERE seq > ? ORDER BY seq"
	err = w.conn.query(rows, []driver.Value{w.seq}, 5, func(row []driver.Value) error {
		seq, received, _, err := integers(row, 2)
		if err != nil {
			return err
		}
		key := storedIdentity(row[2:]).key()
		w.seq = seq
		w.seen.add(key, seq, received)
		w.run.add(key, seq, received)
		return nil
	})
	if err != nil {
		return fmt.Errorf("load the journal's end: %w", err)
	}
	return nil
}

// loadOlder reads the next runs from before what load has read.
func (w *writer) loadOlder(limit int) error {
	n := 0
	err := w.conn.query("SELECT first, newest, sums FROM runs WHERE newest >= ? AND newest < ? AND first > ? ORDER BY first LIMIT ?",
		[]driver.Value{w.windowStart(), w.olderThan, w.olderRead, int64(limit)}, 3, func(row []driver.Value) (err error) {
			n++
			w.olderRead, err = w.older.addRun(row)
			return err
		})
	if err != nil {
		return fmt.Errorf("load the older runs: %w", err)
	}
	if n < limit {
		w.olderThan = 0
	}
	return nil
}

// addRun adds the sums of a row of runs, which is first, newest, sums, and returns first.
func (s *seen) addRun(row []driver.Value) (int64, error) {
	first, newest, _, err := integers(row, 2)
	if err != nil {
		return 0, err
	}
	sums, _ := row[2].([]byte)
	for i := 0; i+8 <= len(sums); i += 8 {
		s.add(binary.BigEndian.Uint64(sums[i:]), first+int64(i/8), newest)
	}
	return first, nil
}

// lookBack reads all older runs if r may be a duplicate of a hook in them. One that says when it was sent was not received long before.
func (w *writer) lookBack(r *controller.Record) error {
	for w.olderThan != 0 && (r.Sent.IsZero() || r.Sent.Add(-ahead).UnixMilli() < w.olderThan) {
		if err := w.loadOlder(runsAtOnce); err != nil {
			return err
		}
	}
	return nil
}

// findDuplicate returns the seq of the row that r repeats and that was received within the window, 0 if none.
func (w *writer) findDuplicate(r *controller.Record) (int64, error) {
	if err := w.lookBack(r); err != nil {
		return 0, err
	}
	id := identityOf(r)
	all, n := id.earlier()
	keys := make([]uint64, 0, len(all)+1)
	for _, before := range all[:n] {
		keys = append(keys, before.key())
	}
	if plain := plainKey(id.sum); id.picture {
		keys = append(keys, plain) // an older version has stored it so
	}
	for _, key := range keys {
		seq, err := w.findRow(key, id, millis(r.Received))
		if err != nil {
			return 0, fmt.Errorf("look for a duplicate: %w", err)
		}
		if seq != 0 {
			return seq, nil
		}
	}
	return 0, nil
}

// findRow returns the seq of a row that is kept under the key and that a delivery repeats, 0 if none.
func (w *writer) findRow(key uint64, id identity, received int64) (found int64, err error) {
	match := func(seq int64) bool {
		var same bool
		if same, err = w.repeats(seq, key, id, received); same {
			found = seq
		}
		return same || err != nil
	}
	if !w.seen.find(key, match) {
		w.older.find(key, match)
	}
	return found, err
}

// repeats asks the journal. A row that retention has removed already is vouched for by its run, which has
// the key.
func (w *writer) repeats(seq int64, key uint64, id identity, received int64) (same bool, err error) {
	window := duplicateWindow.Milliseconds()
	gone := true
	const row = "SELECT received, " + identityColumns + " FROM journal WHERE seq = ?"
	err = w.conn.query(row, []driver.Value{seq}, 4, func(row []driver.Value) error {
		gone = false
		at, _, _, err := integers(row, 1)
		of := storedIdentity(row[1:])
		same = of.sum == id.sum && of.picture == id.picture && (id.aside || !of.aside) &&
			received-at < window && at-received < window
		return err
	})
	if err != nil || !gone {
		return same, err
	}
	of := w.run
	if len(of.sums) == 0 || seq < of.first {
		err = w.conn.query("SELECT first, newest, sums FROM runs WHERE first <= ? ORDER BY first DESC LIMIT 1", []driver.Value{seq}, 3, func(row []driver.Value) error {
			of.first, of.newest, _, err = integers(row, 2)
			of.sums, _ = row[2].([]byte)
			return err
		})
	}
	at := (seq - of.first) * 8
	return at >= 0 && at+8 <= int64(len(of.sums)) && binary.BigEndian.Uint64(of.sums[at:]) == key && received-of.newest < window, err
}

// identityColumns of the journal are what storedIdentity reads.
const identityColumns = "sum, body IS NULL, verdict"

func storedIdentity(row []driver.Value) (id identity) {
	if sum, ok := row[0].([]byte); ok && len(sum) == len(id.sum) {
		id.sum = [32]byte(sum)
	}
	id.picture = row[1] == int64(1)
	id.aside = row[2] != string(controller.Accepted)
	return id
}
