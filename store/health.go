package store

import (
	"context"
	"errors"
	"sync"
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

// health is what the last write says about the next.
type health struct {
	mu    sync.Mutex
	err   error // of the last write; nil when it went well
	fault fault
	sick  bool // the file was found corrupt and is to be replaced
}

// wrote takes note of how a batch went.
func (h *health) wrote(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err, h.fault = err, faultOf(err)
	h.sick = h.sick || h.fault == faultCorrupt
}

// chore takes note of how a chore went: it may find the file corrupt, but a chore that fails says nothing about hooks.
func (h *health) chore(err error) {
	if faultOf(err) == faultCorrupt {
		h.wrote(err)
	}
}

func (h *health) corrupt() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sick
}

func (h *health) last() (error, fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err, h.fault
}

// Ready says in plain words why hooks cannot be stored now, or nil. After a failed write it tries one, so it clears by itself.
func (s *Store) Ready(ctx context.Context) error {
	if s.queue.full() {
		return refused(errQueueFull)
	}
	if err, _ := s.health.last(); err == nil {
		return nil
	}
	err := s.change(ctx, &change{do: func(c *conn) error { return setMark(c, "heartbeat", s.now().UnixMilli()) }})
	if err == nil {
		return nil
	}
	if last, f := s.health.last(); last != nil {
		return refused(errors.Join(errors.New(f.words()), last))
	}
	return err
}

func setMark(c *conn, name string, value int64) error {
	return c.exec("INSERT INTO marks (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
}
