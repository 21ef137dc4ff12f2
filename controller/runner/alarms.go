package runner

import (
	"container/heap"
	"sync"
	"time"
)

// alarms rings once for each stream at its time. One heap and one timer serve all streams: a
// hundred thousand deadlines due at once are rung within milliseconds, and a stream that waits
// costs no goroutine.
type alarms struct {
	now  func() time.Time
	ring func(s *stream)

	mu    sync.Mutex
	queue alarmQueue
	timer *time.Timer
	armed time.Time // what timer waits for
	shut  bool
}

type alarm struct {
	at    time.Time
	s     *stream
	index int
}

func newAlarms(now func() time.Time, ring func(*stream)) *alarms {
	return &alarms{now: now, ring: ring}
}

// set moves the stream's alarm to at; the zero time takes it away.
func (a *alarms) set(s *stream, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	al := s.alarm
	switch {
	case a.shut:
		return
	case al == nil && at.IsZero():
		return
	case al == nil:
		s.alarm = &alarm{at: at, s: s}
		heap.Push(&a.queue, s.alarm)
	case at.IsZero():
		heap.Remove(&a.queue, al.index)
		s.alarm = nil
	case al.at.Equal(at):
		return
	default:
		al.at = at
		heap.Fix(&a.queue, al.index)
	}
	a.arm()
}

func (a *alarms) arm() {
	if len(a.queue) == 0 {
		return
	}
	first := a.queue[0].at
	if a.timer != nil && first.Equal(a.armed) {
		return
	}
	a.armed = first
	if wait := first.Sub(a.now()); a.timer == nil {
		a.timer = time.AfterFunc(wait, a.due)
	} else {
		a.timer.Reset(wait)
	}
}

// ringLate rings what is due although the timer has not fired.
func (a *alarms) ringLate() {
	a.mu.Lock()
	late := len(a.queue) > 0 && !a.now().Before(a.queue[0].at)
	a.mu.Unlock()
	if late {
		a.due()
	}
}

func (a *alarms) due() {
	var rung []*stream
	a.mu.Lock()
	now := a.now()
	for len(a.queue) > 0 && !now.Before(a.queue[0].at) && len(rung) < popsPerSweep {
		al := heap.Pop(&a.queue).(*alarm)
		al.s.alarm = nil
		rung = append(rung, al.s)
	}
	if len(rung) == popsPerSweep {
		rung = a.sweep(now, rung)
	}
	a.armed = time.Time{}
	if !a.shut {
		a.arm()
	}
	a.mu.Unlock()
	for _, s := range rung {
		a.ring(s)
	}
}

// popsPerSweep is how many alarms are taken off the heap one by one before all others that are due
// are taken at once: popping costs a hundred times more.
const popsPerSweep = 256

// sweep takes every alarm that is due out of the queue.
func (a *alarms) sweep(now time.Time, rung []*stream) []*stream {
	kept := a.queue[:0]
	for _, al := range a.queue {
		if now.Before(al.at) {
			al.index = len(kept)
			kept = append(kept, al)
			continue
		}
		al.s.alarm = nil
		rung = append(rung, al.s)
	}
	clear(a.queue[len(kept):])
	a.queue = kept
	heap.Init(&a.queue)
	return rung
}

// shift moves every alarm by as much as the machine's clock was moved.
func (a *alarms) shift(by time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, al := range a.queue {
		al.at = al.at.Add(by)
	}
	a.armed = time.Time{}
	if !a.shut {
		a.arm()
	}
}

func (a *alarms) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shut = true
	if a.timer != nil {
		a.timer.Stop()
	}
}

type alarmQueue []*alarm

func (q alarmQueue) Len() int           { return len(q) }
func (q alarmQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q alarmQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *alarmQueue) Push(x any) {
	al := x.(*alarm)
	al.index = len(*q)
	*q = append(*q, al)
}
func (q *alarmQueue) Pop() any {
	old := *q
	al := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return al
}
