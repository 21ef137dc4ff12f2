package store

import (
	"time"
)

// write runs the writer, on one file after another should they turn out corrupt.
func (s *Store) write() {
	defer close(s.stopped)
	w := newWriter(s.queue, s.health, s.now, s.path)
	w.room, w.settle = s.room, s.options.Settle
	defer w.seen.clear()
	defer w.older.clear()
	for {
		err := errCorrupt
		if s.aside == "" {
			err = w.serve(s.handles.Load().rw)
		}
		if err == nil {
			return
		}
		if faultOf(err) == faultCorrupt {
			err = s.swap(err)
		}
		if err != nil && !s.refuseFor(err, time.Second) {
			return
		}
	}
}

// refuseFor answers what comes for so long that err is why, and reports whether more may come.
func (s *Store) refuseFor(err error, d time.Duration) bool {
	s.log.Error("store: nothing can be written", "error", err)
	s.health.wrote(err)
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case <-s.queue.wake:
		}
		hooks, changes, c, last := s.queue.take()
		hooks.refuse(err)
		changes.refuse(err)
		if c != nil {
			c.err = err
			close(c.done)
		}
		if last {
			return false
		}
	}
}
