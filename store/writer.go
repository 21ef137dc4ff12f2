package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/oncue/oncue/controller"
)

const (
	// quiet is how long nothing must have come before the writer does what can wait.
	quiet = 20 * time.Millisecond

	// duplicateWindow is how long a body is remembered.
	duplicateWindow = 24 * time.Hour
)

// writer is the one goroutine that changes the database.
type writer struct {
	// set at construction
	queue   *queue
	health  *health
	now     func() time.Time
	walPath string
	settle  time.Duration             // how long work that can wait does wait after the file was opened
	room    func(*conn) (bool, error) // whether hooks may use what is free

	// owned by the goroutine, valid while one file is open
	conn         *conn
	seq          int64 // of the last journal row
	story        int64 // seq of the last history row
	digest       digest
	seen         seen
	older        seen  // of rows from before what load has read
	olderThan    int64 // they were received before then, ms; 0 when all of them are read
	olderRead    int64 // first of the last run of them that is read
	run          run
	runWritten   bool  // in the transaction under way
	stretched    bool  // the log was stretched
	checkpointed int64 // pages that a checkpoint left in the log
	gathering    gathering

	// scratch of one batch
	inserted []*hookRequest
	sums     map[identity]*hookRequest
	saves    map[string]*change
	stories  []controller.Transition
	rows     hookRows
}

func newWriter(q *queue, h *health, now func() time.Time, path string) *writer {
	return &writer{
		queue: q, health: h, now: now, walPath: path + "-wal",
		sums:  make(map[identity]*hookRequest),
		saves: make(map[string]*change),
	}
}

// serve writes into one open file until the queue is closed and empty (nil), or until the file turns out to be corrupt (errCorrupt).
func (w *writer) serve(rw *sql.DB) error {
	c, err := rw.Conn(context.Background())
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Raw(func(dc any) error {
		if w.conn, err = newConn(dc); err != nil {
			return err
		}
		defer w.conn.Close()
		if err := w.load(); faultOf(err) == faultRequest {
			return fmt.Errorf("%w: %w", errCorrupt, err) // what it must hold is not there
		} else if err != nil {
			return err
		}
		return w.loop()
	})
}

var errCorrupt = errors.New("the database is corrupt")

func (w *writer) loop() error {
	w.queue.signal() // the word of the last request, or of the end, may have woken the writer of a file before
	settled := time.Now().Add(w.settle)
	timer := time.NewTimer(max(w.settle, quiet))
	defer timer.Stop()
	for {
		select {
		case <-w.queue.wake:
		case <-timer.C:
			if wait, more := w.idle(); more {
				timer.Reset(wait)
			}
			continue
		}
		w.gathering.wait(w.queue)
		hooks, changes, chore, last := w.queue.take()
		if hooks != nil || changes != nil {
			w.commit(hooks, changes)
			w.gathering.answered(len(hooks.hookList()), w.queue)
		}
		if chore != nil {
			chore.err = chore.do(w.conn)
			w.health.chore(chore.err)
			close(chore.done)
		}
		if w.health.corrupt() {
			return errCorrupt
		}
		if last {
			return nil
		}
		w.busy()
		timer.Reset(max(time.Until(settled), quiet))
	}
}

// commit makes one transaction of what waits and answers everybody in it. When one request cannot be taken, the others still are.
func (w *writer) commit(hooks, changes *batch) {
	if hooks != nil {
		if ok, err := w.room(w.conn); err != nil || !ok {
			if err == nil {
				err = errReserved
			}
			hooks.refuse(err)
			hooks = nil
			defer w.health.wrote(err)
		}
	}
	err := w.conn.transaction(func() error { return w.apply(hooks, changes) })
	if faultOf(err) == faultRequest {
		err = w.conn.transaction(func() error { return w.applySingly(hooks, changes) })
	}
	w.health.wrote(err)
	if err != nil {
		w.begin()
		hooks.refuse(err)
		changes.refuse(err)
		return
	}
	hooks.answer()
	changes.answer()
	w.remember()
}

// remember takes over what the transaction has made true.
func (w *writer) remember() {
	if w.runWritten {
		w.run = run{sums: w.run.sums[:0]}
	}
	for _, r := range w.inserted {
		key := identityOf(&r.record).key()
		received := millis(r.record.Received)
		w.seq = r.seq
		w.seen.add(key, r.seq, received)
		w.run.add(key, r.seq, received)
	}
	w.story += int64(len(w.stories))
	w.inserted = w.inserted[:0]
	w.stories = w.stories[:0]
}

// apply writes a batch, in as few statements as possible.
func (w *writer) apply(hooks, changes *batch) error {
	w.begin()
	if err := w.writeRun(); err != nil {
		return err
	}
	for _, r := range hooks.hookList() {
		if err := w.number(r); err != nil {
			return err
		}
	}
	if err := w.rows.insert(w.conn, w.inserted); err != nil {
		return fmt.Errorf("store hooks: %w", err)
	}
	for _, r := range w.inserted {
		if r.saves() {
			w.save(r.with)
		}
	}
	for _, c := range changes.changeList() {
		c.err = nil
		if c.do == nil {
			w.save(c)
		} else if err := c.do(w.conn); err != nil {
			return err
		}
	}
	for _, c := range w.saves {
		if err := saveState(w.conn, c.save); err != nil {
			return err
		}
	}
	return insertStories(w.conn, w.story, w.stories)
}

// save puts a stream's state among those that the batch writes. Of one stream the last one wins.
func (w *writer) save(c *change) {
	w.saves[c.stream] = c
	w.stories = append(w.stories, c.story...)
}

// applySingly writes a batch with each request in a savepoint, and gives those that fail their own error.
func (w *writer) applySingly(hooks, changes *batch) error {
	w.begin()
	for _, r := range hooks.hookList() {
		inserted, stories := len(w.inserted), len(w.stories)
		err := w.savepoint(func() error {
			if err := w.number(r); err != nil {
				return err
			}
			if err := w.rows.insert(w.conn, w.inserted[inserted:]); err != nil || !r.saves() {
				return err
			}
			return w.saveSingly(r.with)
		})
		if faultOf(err) > faultRequest {
			return err
		}
		if err != nil {
			w.inserted, w.stories = w.inserted[:inserted], w.stories[:stories]
			delete(w.sums, identityOf(&r.record))
			r.seq, r.duplicate, r.err = 0, false, refused(err)
		}
	}
	for _, c := range changes.changeList() {
		stories := len(w.stories)
		err := w.savepoint(func() error {
			if c.do != nil {
				return c.do(w.conn)
			}
			return w.saveSingly(c)
		})
		if faultOf(err) > faultRequest {
			return err
		}
		c.err = nil
		if err != nil {
			w.stories = w.stories[:stories]
			c.err = refused(err)
		}
	}
	return nil
}

func (w *writer) saveSingly(c *change) error {
	if err := saveState(w.conn, c.save); err != nil {
		return err
	}
	first := w.story + int64(len(w.stories))
	w.stories = append(w.stories, c.story...)
	return insertStories(w.conn, first, c.story)
}

func (w *writer) begin() {
	w.runWritten = false
	w.inserted = w.inserted[:0]
	w.stories = w.stories[:0]
	clear(w.sums)
	clear(w.saves)
}

func (w *writer) savepoint(fn func() error) error {
	if err := w.conn.exec("SAVEPOINT one"); err != nil {
		return err
	}
	err := fn()
	if err != nil {
		if undo := w.conn.exec("ROLLBACK TO one"); undo != nil {
			return errors.Join(undo, err)
		}
	}
	return errors.Join(err, w.conn.exec("RELEASE one"))
}

// number gives r its place in the journal, or finds the row that it repeats.
func (w *writer) number(r *hookRequest) error {
	r.err, r.duplicate = nil, false
	if id := identityOf(&r.record); id.sum != ([32]byte{}) {
		all, n := id.earlier()
		for _, before := range all[:n] {
			if first, ok := w.sums[before]; ok {
				r.seq, r.duplicate = first.seq, true
				return nil
			}
		}
		seq, err := w.findDuplicate(&r.record)
		if err != nil {
			return err
		}
		if seq != 0 {
			r.seq, r.duplicate = seq, true
			return nil
		}
		w.sums[id] = r
	}
	r.seq = w.seq + int64(len(w.inserted)) + 1
	w.inserted = append(w.inserted, r)
	return nil
}

// refused is the one form of the store's errors: controller.ErrStore and the cause.
func refused(err error) error { return fmt.Errorf("%w: %w", controller.ErrStore, err) }
