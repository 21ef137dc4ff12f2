package sandbox

import (
	"cmp"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// room is a thread that has already dropped what no process of its kind may have, and waits for the
// function to run.
type room struct {
	rules *rules // a Landlock ruleset to enforce; nil for none
	err   error  // it cannot be used
	start chan func() error
	done  chan error
}

func newRoom(giveUp func() error) *room {
	r := &room{start: make(chan func() error), done: make(chan error, 1)}
	onThread(func() { r.done <- r.use(giveUp()) })
	return r
}

// newConfined makes a room for a [Policy]; the caller adds the policy's rules.
func newConfined(sockets bool) *room {
	r := newRoom(func() error { return giveUp(sockets) })
	r.rules, r.err = baseRules(sockets)
	return r
}

// newApart makes a room for an [Apart].
func newApart() *room {
	return newRoom(func() error { dropCapabilities(); return nil })
}

// run runs start in the room. A room is good for one run.
func (r *room) run(start func() error) error {
	r.start <- start
	return <-r.done
}

// use waits for the function to run, in the room's thread.
func (r *room) use(gaveUp error) error {
	start := <-r.start
	if err := cmp.Or(gaveUp, r.close()); err != nil {
		return fmt.Errorf("make the sandbox: %w", err)
	}
	return start()
}

// close confines the calling thread to the rules, for good.
func (r *room) close() error {
	if r.rules == nil {
		return r.err
	}
	defer unix.Close(r.rules.fd)
	if r.err != nil {
		return r.err
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(r.rules.fd), 0, 0); errno != 0 {
		return fmt.Errorf("landlock: %w", errno)
	}
	return nil
}

// spare keeps one room ready. Making one takes up to 0.8 ms, longer than the rest of a start, so
// the next one is made while nobody waits.
type spare struct {
	make   func() *room
	ready  chan *room
	making sync.Mutex
}

var (
	confined = &spare{make: func() *room { return newConfined(false) }, ready: make(chan *room, 1)}
	apart    = &spare{make: newApart, ready: make(chan *room, 1)}
)

// next returns a room for one run.
func (s *spare) next() *room {
	select {
	case r := <-s.ready:
		return r
	default:
		return s.make()
	}
}

// refill makes the next room.
func (s *spare) refill() {
	if !s.making.TryLock() {
		return
	}
	defer s.making.Unlock()
	if len(s.ready) > 0 {
		return
	}
	if r := s.make(); r.err == nil {
		s.ready <- r
	} else {
		_ = r.run(nil)
	}
}
