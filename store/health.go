package store

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/oncue/oncue/controller"
)

// fault says what an error of SQLite means for the store. Faults above faultRequest are the store's, not the request's.
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

// words says a fault so that a person knows where to look.
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
var errReserved = errors.New("what is free is kept for retention")

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

// health is what the last write says about the next.
type health struct {
	failed chan struct{} // holds a token after a write failed

	mu    sync.Mutex
	err   error // of the last write; nil when it went well
	fault fault
	full  error // the disk was full, and nobody has taken note yet
	sick  bool  // the file was found corrupt and is to be replaced
}

func newHealth() *health { return &health{failed: make(chan struct{}, 1)} }

// wrote takes note of how a batch went.
func (h *health) wrote(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err, h.fault = err, faultOf(err)
	h.sick = h.sick || h.fault == faultCorrupt
	if err == nil {
		return
	}
	if h.fault == faultFull {
		h.full = err
	}
	select {
	case h.failed <- struct{}{}:
	default:
	}
}

// chore takes note of how a chore went: it may find the file corrupt, but a chore that fails says nothing about hooks.
func (h *health) chore(err error) {
	if faultOf(err) == faultCorrupt {
		h.wrote(err)
	}
}

// replaced takes note of a new file.
func (h *health) replaced() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err, h.fault, h.sick = nil, faultNone, false
}

// takeFull returns the error of a full disk, once.
func (h *health) takeFull() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.full
	h.full = nil
	return err
}

func (h *health) corrupt() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sick
}

func (h *health) last() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// Ready says in plain words why hooks cannot be stored now, or nil. After a failed write it tries one, so it clears by itself.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.queue.open(); err != nil {
		return refused(err)
	}
	if err := s.health.last(); err == nil && !s.ballast.dropped.Load() {
		return nil
	}
	roomy := false
	err := s.change(ctx, &change{do: func(c *conn) (err error) {
		if roomy, err = s.room(c); err != nil {
			return err
		}
		return setMark(c, "heartbeat", s.now().UnixMilli())
	}})
	if err == nil && !roomy {
		err = errReserved
	}
	if err == nil {
		return nil
	}
	if f := faultOf(err); f > faultRequest {
		return fmt.Errorf("%w: %s (%w)", controller.ErrStore, f.words(), err)
	}
	return err
}

func setMark(c *conn, name string, value int64) error {
	return c.exec("INSERT INTO marks (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
}
