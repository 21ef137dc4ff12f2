package commit

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

// quiet is how long nothing must have come before the writer does what can wait.
const quiet = 20 * time.Millisecond

// Scope says whom an error of the database concerns.
type Scope int

const (
	OneRequest Scope = iota // the others of its batch can still be written
	Everybody               // nothing can be written now
	TheFile                 // it must be replaced: Serve returns the error
)

// Options say what the requests of a [Writer] mean. The functions are called on the goroutine of
// Serve, and all but Admit must be set.
type Options[R any] struct {
	// Write carries out a batch, urgent requests first, in the transaction under way. When it fails
	// with an error of scope OneRequest, all of it is undone, and Write is called with each request
	// alone. So it must forget what it did when it is called again with the same request.
	Write func(c *Conn, batch []*R) error
	Scope func(error) Scope
	// Admit says why urgent requests cannot be written now, or nil.
	Admit func(*Conn) error
	// Wrote is told how each batch went, and of each error for which Serve returns.
	Wrote func(error)
	// Roomy reports whether the disk has space for a longer log.
	Roomy func() (bool, error)

	LogPath     string        // the write-ahead log
	UpkeepAfter time.Duration // how long upkeep waits after the file was opened
}

// Writer commits the requests of many callers together. Do, Chore, Interrupt, Ready and Close may
// be called from any goroutine.
type Writer[R any] struct {
	Options[R]
	queue       *queue[R]
	interrupted chan error

	// owned by the goroutine of Serve
	conn      *Conn
	log       wal
	gathering gathering
}

// New returns a writer. Requests wait until Serve is called.
func New[R any](o Options[R]) *Writer[R] {
	return &Writer[R]{Options: o, queue: newQueue[R](), interrupted: make(chan error, 1)}
}

// Do has r written and returns once that is durable. Urgent requests are answered together, however
// many wait; of others a bounded number goes with them. When ctx ends first, Do returns its error,
// and r may be written all the same: the caller must leave r alone then.
func (w *Writer[R]) Do(ctx context.Context, r *R, urgent bool) error {
	b, place, err := w.queue.add(r, urgent)
	if err != nil {
		return err
	}
	select {
	case <-b.done:
		return b.result(place)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Chore has the writer do something between two batches, and waits for it. do begins transactions
// of its own; hooks wait as long as it takes.
func (w *Writer[R]) Chore(ctx context.Context, do func(*Conn) error) error {
	c, err := w.queue.addChore(do)
	if err != nil {
		return err
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ready says why nothing can be queued now, or nil.
func (w *Writer[R]) Ready() error {
	w.queue.mu.Lock()
	defer w.queue.mu.Unlock()
	return w.queue.refusal()
}

// Waiting returns how many requests wait.
func (w *Writer[R]) Waiting() int {
	w.queue.mu.Lock()
	defer w.queue.mu.Unlock()
	return w.queue.waiting
}

// Interrupt has Serve return err after the batch under way.
func (w *Writer[R]) Interrupt(err error) {
	select {
	case w.interrupted <- err:
	default:
	}
}

// Close lets no more requests in. Serve returns once those that wait are written.
func (w *Writer[R]) Close() { w.queue.close() }

// Refuse answers everything that comes within d with err, and reports whether more may come.
func (w *Writer[R]) Refuse(err error, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	w.queue.signal() // the end may have woken Serve already
	for {
		select {
		case <-timer.C:
			return true
		case <-w.queue.wake:
		}
		urgent, others, c, last := w.queue.take()
		urgent.answer(err, nil)
		others.answer(err, nil)
		if c != nil {
			c.err = err
			close(c.done)
		}
		if last {
			return false
		}
	}
}

// Serve writes into one open file until Close was called and nothing waits, and returns nil then.
// Otherwise it returns what keeps it from writing into this file; requests go on waiting.
func (w *Writer[R]) Serve(rw *sql.DB) error {
	select {
	case <-w.interrupted: // was about a file before
	default:
	}
	c, err := rw.Conn(context.Background())
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Raw(func(dc any) error {
		if w.conn, err = newConn(dc); err != nil {
			return err
		}
		defer w.conn.close()
		// What SQLite keeps to undo one statement goes to a file otherwise, which costs more than
		// the hooks.
		if _, err := w.conn.Number("PRAGMA temp_store = MEMORY"); err != nil {
			return err
		}
		if w.log, err = openWAL(w.conn, w.LogPath); err != nil {
			return err
		}
		return w.loop()
	})
}

func (w *Writer[R]) loop() error {
	w.queue.signal() // what has woken the writer of a file before may still wait
	begin := time.Now().Add(w.UpkeepAfter)
	timer := time.NewTimer(max(w.UpkeepAfter, quiet))
	defer timer.Stop()
	for {
		select {
		case err := <-w.interrupted:
			return err
		case <-timer.C:
			if err := w.broken(w.log.idle(w.Roomy)); err != nil {
				return err
			}
			continue
		case <-w.queue.wake:
		}
		w.gathering.wait(w.queue)
		urgent, others, chore, last := w.queue.take()
		if urgent != nil || others != nil {
			if err := w.broken(w.commit(urgent, others)); err != nil {
				return err
			}
			w.gathering.expected = len(urgent.list()) + w.queue.urgentWaiting()
		}
		if chore != nil {
			chore.err = chore.do(w.conn)
			close(chore.done)
			if err := w.broken(chore.err); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
		if err := w.broken(w.log.busy(len(urgent.list()) + len(others.list()))); err != nil {
			return err
		}
		timer.Reset(max(time.Until(begin), quiet))
	}
}

// broken returns an error only when the file must be replaced. Other errors of upkeep say nothing
// about requests.
func (w *Writer[R]) broken(err error) error {
	if err == nil || w.Scope(err) != TheFile {
		return nil
	}
	w.Wrote(err)
	return err
}

// commit makes one transaction of what waits, and answers everybody in it.
func (w *Writer[R]) commit(urgent, others *batch[R]) (err error) {
	if urgent != nil && w.Admit != nil {
		if err := w.Admit(w.conn); err != nil {
			urgent.answer(err, nil)
			defer w.Wrote(err)
			urgent = nil
		}
	}
	requests := urgent.list()
	if others != nil {
		requests = slices.Concat(requests, others.requests)
	}
	if len(requests) == 0 {
		return nil
	}
	var errs, errsOfOthers []error
	err = w.conn.Transaction(func() error { return w.Write(w.conn, requests) })
	if err != nil && w.Scope(err) == OneRequest {
		errs = make([]error, len(requests))
		err = w.conn.Transaction(func() error { return w.writeSingly(requests, errs) })
	}
	if err != nil {
		errs = nil
	}
	if errs != nil {
		errs, errsOfOthers = errs[:len(urgent.list())], errs[len(urgent.list()):]
	}
	w.Wrote(err)
	urgent.answer(err, errs)
	others.answer(err, errsOfOthers)
	return err
}

// writeSingly writes requests one by one, and fills in the error of each that cannot be written.
func (w *Writer[R]) writeSingly(requests []*R, errs []error) error {
	for i := range requests {
		err := w.conn.Savepoint(func() error { return w.Write(w.conn, requests[i:i+1]) })
		if err != nil && w.Scope(err) != OneRequest {
			return fmt.Errorf("write one request: %w", err)
		}
		errs[i] = err
	}
	return nil
}
