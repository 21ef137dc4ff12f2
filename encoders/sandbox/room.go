package sandbox

import (
	"cmp"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// room is a thread that has given up what no process of its kind gets, and waits for what is to run
// in it.
type room struct {
	rules *rules // what it is held to as well; nil for nothing
	err   error  // it cannot be used
	start chan func() error
	done  chan error
}

func newRoom(giveUp func() error) *room {
	r := &room{start: make(chan func() error), done: make(chan error, 1)}
	onThread(func() { r.done <- r.use(giveUp()) })
	return r
}

// newConfined makes a room for a [Policy], confined but for what the policy adds.
func newConfined(sockets bool) *room {
	r := newRoom(func() error { return giveUp(sockets) })
	r.rules, r.err = baseRules(sockets)
	return r
}

// newApart makes a room for an [Apart].
func newApart() *room {
	return newRoom(func() error { dropCapabilities(); return nil })
}

// run runs start in the room, which is used up by it.
func (r *room) run(start func() error) error {
	r.start <- start
	return <-r.done
}

// use waits, in the room's thread, for what is to run there.
func (r *room) use(gaveUp error) error {
	start := <-r.start
	if err := cmp.Or(gaveUp, r.close()); err != nil {
		return fmt.Errorf("make the sandbox: %w", err)
	}
	return start()
}

// close confines the calling thread to the rules, for ever.
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

// spare keeps a room ready. Making one takes up to 0.8 ms, longer than the rest of a start, so the next
// one is made while nobody waits for it.
type spare struct {
	make   func() *room
	ready  chan *room
	making sync.Mutex
}

var (
	confined = &spare{make: func() *room { return newConfined(false) }, ready: make(chan *room, 1)}
	apart    = &spare{make: newApart, ready: make(chan *room, 1)}
)

// take returns a room for the caller to use up.
func (s *spare) take() *room {
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
