package millicast

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/oncue/oncue/controller"
)

// late are the deliveries that are still followed after their sender was answered.
type late struct {
	ctx  context.Context // ends when Close gives them up
	stop context.CancelFunc

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

var errClosed = errors.New("the receiver is closed")

func newLate() *late {
	l := &late{}
	l.ctx, l.stop = context.WithCancel(context.Background())
	return l
}

// follow runs do aside, unless Close was called; then it returns false.
func (l *late) follow(do func(ctx context.Context)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.running.Go(func() { do(l.ctx) })
	}
	return !l.closed
}

// Close waits for the deliveries that are still followed, and gives them up when ctx ends. After it the
// Receiver uses neither journal nor machine by itself. Call it when no transport brings deliveries any more.
func (r *Receiver) Close(ctx context.Context) {
	l := r.late
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	stop := context.AfterFunc(ctx, l.stop)
	defer stop()
	l.running.Wait()
	r.held.close()
}

// unansweredLimit is how long the journal may take to tell what became of a delivery that could not wait for it.
const unansweredLimit = time.Minute

// takeUnanswered follows a delivery whose sender was told that it is not stored because storing took too
// long. It may be stored all the same, and then the machine must hear of it now, not after the next start.
// To append it again tells: it waits in line behind the first try, and finds it or stores the delivery after
// all.
func (r *Receiver) takeUnanswered(ctx context.Context, rec controller.Record, hook controller.Hook, d Delivery, key *key) {
	ctx, cancel := context.WithTimeout(ctx, unansweredLimit)
	defer cancel()
	if _, err := r.store(ctx, rec, nil, d, key); err != nil {
		r.lost(rec, d, err)
		return
	}
	if rec.Verdict == controller.Accepted {
		hook.Received = r.byMachine(d)
		r.machine.Deliver(hook)
	}
	r.log.Warn("a hook was stored after its sender was told otherwise",
		"stream", rec.Stream, "event", rec.Event, "received", d.Received, "took", r.now().Sub(d.Received))
}

func (r *Receiver) lost(rec controller.Record, d Delivery, err error) {
	r.log.Error("a signed hook is lost: the store did not take it in time",
		"stream", rec.Stream, "event", rec.Event, "received", d.Received, "error", err)
}
