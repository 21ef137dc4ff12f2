package millicast

import (
	"context"
	"errors"
	"sync"
	"time"
)

// late runs what is still to be done for deliveries whose sender has had its answer.
type late struct {
	ctx  context.Context // ends when Close stops waiting
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

// run runs do in the background. After Close it does nothing and returns false.
func (l *late) run(do func(ctx context.Context)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.running.Go(func() { do(l.ctx) })
	}
	return !l.closed
}

// Close waits until no delivery is followed any more, or until ctx ends, which cancels them. Then
// the Receiver no longer uses journal and controller by itself. Call it when no transport brings
// deliveries any more.
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

// followLimit is how long the store may take to answer for a delivery whose sender has left.
const followLimit = time.Minute

// follow finds out what became of a delivery whose sender was told that it is not stored, because
// storing took too long. It may be stored all the same, and then the controller must act on it now,
// not after the next start. Appending it again answers that: the second attempt queues behind the
// first, and either is its duplicate or stores the delivery after all.
func (r *Receiver) follow(in incoming) {
	running := r.late.run(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, followLimit)
		defer cancel()
		if _, err := r.append(ctx, &in); err != nil {
			r.logLost(in, err)
			return
		}
		if in.acts() {
			in.hook.Received = r.byController(in.Received)
			r.controller.Deliver(in.hook)
		}
		r.log.Warn("a hook was stored after its sender was told that it is not", "stream", in.record.Stream,
			"event", in.record.Event, "received", in.Received, "took", r.now().Sub(in.Received))
	})
	if !running {
		r.logLost(in, errClosed)
	}
}

func (r *Receiver) logLost(in incoming, err error) {
	r.log.Error("a signed hook is lost: the store did not accept it in time", "stream", in.record.Stream,
		"event", in.record.Event, "received", in.Received, "error", err)
}
