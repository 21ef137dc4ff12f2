package millicast

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/oncue/oncue/controller"
)

// arrivals announces deliveries to those who wait for one of a stream.
type arrivals struct {
	waiting atomic.Int32 // how many wait: while nobody does, deliveries do not lock mu
	mu      sync.Mutex
	streams map[controller.StreamID][]chan controller.Record
}

// Expect returns a channel that gets the next verified delivery that names the stream, whatever its
// verdict. Call cancel when done.
func (r *Receiver) Expect(account, name string) (arrived <-chan controller.Record, cancel func()) {
	a, id, ch := &r.arrivals, controller.JoinID(account, name), make(chan controller.Record, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.streams == nil {
		a.streams = map[controller.StreamID][]chan controller.Record{}
	}
	a.streams[id] = append(a.streams[id], ch)
	a.waiting.Add(1)
	return ch, sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.streams[id] = slices.DeleteFunc(a.streams[id], func(c chan controller.Record) bool { return c == ch })
		if len(a.streams[id]) == 0 {
			delete(a.streams, id)
		}
		a.waiting.Add(-1)
	})
}

func (a *arrivals) announce(rec controller.Record) {
	if a.waiting.Load() == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ch := range a.streams[rec.Stream] {
		select {
		case ch <- rec:
		default: // it has one already
		}
	}
}
