package runner

import (
	"context"
	"sync"
	"time"
)

// workers are the goroutines at work on streams. One that is done takes the next stream: under a
// flood of hooks, making a goroutine for each and growing its stack would cost more than the work.
type workers struct {
	ctx  context.Context
	next chan *stream // to a worker that waits
	all  *sync.WaitGroup
}

// idleTimeout is how long a worker waits for more to do.
const idleTimeout = time.Second

func newWorkers(ctx context.Context) workers {
	return workers{ctx: ctx, next: make(chan *stream), all: &sync.WaitGroup{}}
}

// run gives the stream to an idle worker, or starts one. It never blocks.
func (w workers) run(s *stream) {
	select {
	case w.next <- s:
	default:
		w.all.Go(func() { w.work(s) })
	}
}

func (w workers) work(s *stream) {
	enough := time.NewTimer(idleTimeout)
	defer enough.Stop()
	for {
		s.work()
		select {
		case s = <-w.next:
			continue
		default:
		}
		enough.Reset(idleTimeout)
		select {
		case s = <-w.next:
		case <-enough.C:
			return
		case <-w.ctx.Done():
			return
		}
	}
}
