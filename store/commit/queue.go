package commit

import (
	"errors"
	"sync"
)

const (
	// Limit is how many requests may wait. At it the queue refuses at once, for senders would time
	// out.
	Limit = 8192

	// othersPerBatch bounds what is written with the urgent requests of one batch, so that a storm
	// of others cannot hold up answers.
	othersPerBatch = 256
)

var (
	// ErrFull and ErrClosed say that the queue takes nothing: for now, and for good.
	ErrFull   = errors.New("too much waits to be written")
	ErrClosed = errors.New("it is closed")
)

// batch is what is committed together. The writer fills in the errors, then closes done.
type batch[R any] struct {
	requests []*R
	err      error   // of all of them
	errs     []error // of each, when they were written one by one
	done     chan struct{}
}

func newBatch[R any]() *batch[R] { return &batch[R]{done: make(chan struct{})} }

// list returns the requests; a nil batch has none.
func (b *batch[R]) list() []*R {
	if b == nil {
		return nil
	}
	return b.requests
}

// answer ends the wait of everybody in the batch.
func (b *batch[R]) answer(err error, errs []error) {
	if b != nil {
		b.err, b.errs = err, errs
		close(b.done)
	}
}

// result is what one of the requests is answered.
func (b *batch[R]) result(i int) error {
	if b.errs != nil {
		return b.errs[i]
	}
	return b.err
}

// chore is work that the writer does between two batches, in transactions of its own.
type chore struct {
	do   func(*Conn) error
	err  error
	done chan struct{}
}

// queue is where callers leave requests. The writer takes all that wait at once: while one batch
// is synced to disk, the next one forms.
type queue[R any] struct {
	wake     chan struct{} // holds a token while there may be something to take
	complete chan struct{} // signalled when as many urgent requests wait as expect was called for

	mu      sync.Mutex
	urgent  *batch[R]   // forming; nil when none waits
	others  []*batch[R] // forming in the last
	chores  []*chore
	waiting int // requests
	wanted  int // urgent requests that the writer waits for; 0 when it does not wait
	closed  bool
}

func newQueue[R any]() *queue[R] {
	return &queue[R]{wake: make(chan struct{}, 1), complete: make(chan struct{}, 1)}
}

// add queues r, and returns the batch that answers it and its place there.
func (q *queue[R]) add(r *R, urgent bool) (b *batch[R], place int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.refusal(); err != nil {
		return nil, 0, err
	}
	q.waiting++
	if urgent {
		if q.urgent == nil {
			q.urgent = newBatch[R]()
		}
		b = q.urgent
	} else {
		if n := len(q.others); n == 0 || len(q.others[n-1].requests) >= othersPerBatch {
			q.others = append(q.others, newBatch[R]())
		}
		b = q.others[len(q.others)-1]
	}
	b.requests = append(b.requests, r)
	if q.wanted > 0 && (!urgent || len(b.requests) >= q.wanted) {
		q.wanted = 0
		q.complete <- struct{}{}
	}
	if len(b.requests) == 1 {
		q.signal()
	}
	return b, len(b.requests) - 1, nil
}

func (q *queue[R]) addChore(do func(*Conn) error) (*chore, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, ErrClosed
	}
	c := &chore{do: do, done: make(chan struct{})}
	q.chores = append(q.chores, c)
	q.signal()
	return c, nil
}

// refusal says why nothing can be queued now, or nil. The caller holds the lock.
func (q *queue[R]) refusal() error {
	if q.closed {
		return ErrClosed
	}
	if q.waiting >= Limit {
		return ErrFull
	}
	return nil
}

func (q *queue[R]) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// expect returns a channel that is signalled once so many urgent requests wait, or any other does;
// nil when that is so now, or when nothing urgent waits. 0 calls it off.
func (q *queue[R]) expect(urgent int) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.complete:
	default:
	}
	q.wanted = 0
	if q.urgent == nil || len(q.urgent.requests) >= urgent || len(q.others) > 0 || q.closed {
		return nil
	}
	q.wanted = urgent
	return q.complete
}

func (q *queue[R]) urgentWaiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.urgent.list())
}

// take returns what is to be done next: the urgent requests, a batch of others and a chore, each
// nil when there is none. last is true when nothing is left and nothing will come.
func (q *queue[R]) take() (urgent, others *batch[R], c *chore, last bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	urgent, q.urgent = q.urgent, nil
	if len(q.others) > 0 {
		others, q.others = q.others[0], q.others[1:]
	}
	q.waiting -= len(urgent.list()) + len(others.list())
	if len(q.chores) > 0 {
		c, q.chores = q.chores[0], q.chores[1:]
	}
	left := len(q.others) > 0 || len(q.chores) > 0
	if left {
		q.signal()
	}
	return urgent, others, c, q.closed && !left
}

// close lets nothing more in.
func (q *queue[R]) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}
