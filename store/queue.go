package store

import (
	"errors"
	"slices"
	"sync"

	"github.com/oncue/oncue/controller"
)

const (
	// queueLimit is how many requests may wait for the writer. At it, the store refuses at once rather than let senders time out.
	queueLimit = 8192

	// changesPerBatch bounds what rides along with the hooks of one batch, so that a storm of state changes cannot hold up answers.
	changesPerBatch = 256
)

var (
	errQueueFull = errors.New("too much waits to be written")
	errClosed    = errors.New("it is closed")
)

// batch is what is committed together. The writer fills in the results, then closes done.
type batch struct {
	hooks   []*hookRequest
	changes []*change
	done    chan struct{}
}

// A nil batch is an empty one.

func (b *batch) hookList() []*hookRequest {
	if b == nil {
		return nil
	}
	return b.hooks
}

func (b *batch) changeList() []*change {
	if b == nil {
		return nil
	}
	return b.changes
}

func (b *batch) answer() {
	if b != nil {
		close(b.done)
	}
}

// refuse answers everybody in the batch that it was not written.
func (b *batch) refuse(err error) {
	err = refused(err)
	for _, r := range b.hookList() {
		r.seq, r.duplicate, r.err = 0, false, err
	}
	for _, c := range b.changeList() {
		c.err = err
	}
	b.answer()
}

// hookRequest asks to journal one hook.
type hookRequest struct {
	record controller.Record
	with   *change        // the state that it has led to; nil: none is to be saved
	before []*hookRequest // the others that have led to it: it is saved when all of them are stored

	seq       int64
	duplicate bool
	err       error
}

// saves reports whether the state that came with r is to be saved, now that r and those before it are numbered.
func (r *hookRequest) saves() bool {
	stored := func(h *hookRequest) bool { return !h.duplicate && h.err == nil }
	return r.with != nil && stored(r) && !slices.ContainsFunc(r.before, func(h *hookRequest) bool { return !stored(h) })
}

// change asks for any other write: a stream's state, a setting.
type change struct {
	stream string // the stream whose state it replaces; "" for others
	save   *controller.Saved
	story  []controller.Transition
	do     func(*conn) error // instead of save

	err error
}

// chore is work that the writer does between two batches, in transactions of its own.
type chore struct {
	do   func(*conn) error
	err  error
	done chan struct{}
}

// queue is where callers leave requests and the writer takes them, all that wait at once. So the batches form by themselves: while one is
// synced to disk, the next one gathers.
type queue struct {
	wake chan struct{} // holds one token while there may be something to take
	here chan struct{} // holds one token when what expect was called for is there

	mu      sync.Mutex
	hooks   *batch   // gathering
	changes []*batch // gathering in the last
	chores  []*chore
	waiting int // requests in hooks and changes
	wanted  int // hooks that the writer waits for; 0 when it does not
	closed  bool
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1), here: make(chan struct{}, 1)} }

// addHooks queues hooks, and returns the batch that answers them together.
func (q *queue) addHooks(hooks []*hookRequest) (*batch, error) {
	q.mu.Lock()
	if err := q.refuses(); err != nil {
		q.mu.Unlock()
		return nil, err
	}
	q.waiting += len(hooks)
	first := q.hooks == nil
	if first {
		q.hooks = &batch{done: make(chan struct{})}
	}
	b := q.hooks
	b.hooks = append(b.hooks, hooks...)
	if q.wanted > 0 && len(b.hooks) >= q.wanted {
		q.arrived()
	}
	q.mu.Unlock()
	if first {
		q.signal()
	}
	return b, nil
}

func (q *queue) addChange(c *change) (*batch, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.refuses(); err != nil {
		return nil, err
	}
	q.waiting++
	n := len(q.changes)
	if n == 0 || len(q.changes[n-1].changes) >= changesPerBatch {
		q.changes = append(q.changes, &batch{done: make(chan struct{})})
		n++
	}
	b := q.changes[n-1]
	b.changes = append(b.changes, c)
	if q.wanted > 0 {
		q.arrived()
	}
	q.signal()
	return b, nil
}

func (q *queue) addChore(do func(*conn) error) (*chore, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, errClosed
	}
	c := &chore{do: do, done: make(chan struct{})}
	q.chores = append(q.chores, c)
	q.signal()
	return c, nil
}

func (q *queue) refuses() error {
	if q.closed {
		return errClosed
	}
	if q.waiting >= queueLimit {
		return errQueueFull
	}
	return nil
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// expect returns a channel that has a token once so many hooks wait, or a change does; nil when that is so now, or nothing waits at all. 0 calls it off.
func (q *queue) expect(hooks int) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.here:
	default:
	}
	q.wanted = 0
	if q.hooks == nil || len(q.hooks.hooks) >= hooks || len(q.changes) > 0 || q.closed {
		return nil
	}
	q.wanted = hooks
	return q.here
}

// arrived tells who waits for hooks that they are there. The caller holds the lock.
func (q *queue) arrived() {
	q.wanted = 0
	q.here <- struct{}{}
}

func (q *queue) hooksWaiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.hooks.hookList())
}

// take returns what is to be done next: hooks, a batch of changes and a chore, each nil when there is none. last is true when nothing
// is left and nothing will come.
func (q *queue) take() (hooks, changes *batch, c *chore, last bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	hooks, q.hooks = q.hooks, nil
	if hooks != nil {
		q.waiting -= len(hooks.hooks)
	}
	if len(q.changes) > 0 {
		changes, q.changes = q.changes[0], q.changes[1:]
		q.waiting -= len(changes.changes)
	}
	if len(q.chores) > 0 {
		c, q.chores = q.chores[0], q.chores[1:]
	}
	if len(q.changes) > 0 || len(q.chores) > 0 {
		q.signal()
	}
	return hooks, changes, c, q.closed && len(q.changes) == 0 && len(q.chores) == 0
}

// close lets nothing more in.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}

// open says why nothing can be queued now, or nil.
func (q *queue) open() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.refuses()
}
