package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/store/commit"
)

// fault says what an error of SQLite means for the store. Faults above faultRequest are the
// store's, not the request's.
type fault int

const (
	faultNone    fault = iota
	faultRequest       // this one request cannot be taken; the next one can
	faultFull
	faultLocked
	faultDisk
	faultAccess
	faultMemory
	faultCorrupt
)

// words describes a fault so that a person knows where to look.
func (f fault) words() string {
	switch f {
	case faultFull:
		return "the disk is full"
	case faultLocked:
		return "the database is locked by another process"
	case faultDisk:
		return "the disk reports an error"
	case faultAccess:
		return "the database cannot be opened for writing"
	case faultMemory:
		return "out of memory"
	case faultCorrupt:
		return "the database is corrupt; it is moved aside and replaced"
	}
	return "the last write failed"
}

// errReserved says that the free space is not for hooks.
var errReserved = errors.New("the free space is reserved for retention")

// errCorrupt is in the chain of damage that the store finds and not SQLite.
var errCorrupt = errors.New("the database is corrupt")

// faultOf says what an error means for the store.
func faultOf(err error) fault {
	switch {
	case err == nil:
		return faultNone
	case errors.Is(err, errCorrupt):
		return faultCorrupt
	case errors.Is(err, errReserved):
		return faultFull
	}
	return driverFault(err)
}

// scopeOf says whom an error concerns.
func scopeOf(err error) commit.Scope {
	switch f := faultOf(err); {
	case f == faultCorrupt:
		return commit.TheFile
	case f > faultRequest:
		return commit.Everybody
	}
	return commit.OneRequest
}

// health is what the last write says about the next.
type health struct {
	failed chan struct{} // holds a token after a write failed

	mu   sync.Mutex
	err  error // of the last write; nil when it went well
	full error // the disk was full, and relieve has not run yet
}

func newHealth() *health { return &health{failed: make(chan struct{}, 1)} }

// wrote records how a batch went.
func (h *health) wrote(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = err
	if err == nil {
		return
	}
	if faultOf(err) == faultFull {
		h.full = err
	}
	select {
	case h.failed <- struct{}{}:
	default:
	}
}

// replaced records that there is a new file.
func (h *health) replaced() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = nil
}

// takeFull returns the error of a full disk, once.
func (h *health) takeFull() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.full
	h.full = nil
	return err
}

func (h *health) last() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// Ready says in plain words why hooks cannot be stored now, or nil. After a failed write it tries
// one, so it clears by itself.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.writer.Ready(); err != nil {
		return refused(err)
	}
	if err := s.health.last(); err == nil && !s.ballast.dropped.Load() {
		return nil
	}
	var reserved error
	err := s.writer.Do(ctx, &request{do: func(c *commit.Conn) error {
		reserved = s.admit(c)
		return tryHook(c, s.now())
	}}, false)
	if err == nil {
		err = reserved
	}
	if err == nil || err == ctx.Err() { //nolint:errorlint // as in do
		return err
	}
	if f := faultOf(err); f > faultRequest {
		err = fmt.Errorf("%s (%w)", f.words(), err)
	}
	return refused(err)
}

// tryHook writes all that a hook takes, and leaves nothing of it.
func tryHook(c *commit.Conn, now time.Time) error {
	r := controller.Record{Received: now, Sent: now, Body: make([]byte, 256)}
	in := insertion{conn: c}
	got, err := in.place(&r)
	if err == nil {
		err = in.insert()
	}
	if err == nil {
		err = c.Exec("DELETE FROM journal WHERE seq = ?", got.Seq)
	}
	return err
}
