package runner

import (
	"context"
	"time"
)

// workers are the goroutines at work on streams. One that is done takes the next stream: under a flood of hooks, making a goroutine for each and growing its
// stack would cost more than the work.
type workers struct {
	ctx  context.Context
	next chan *stream // to a worker that waits
}

// rest is how long a worker waits for more to do.
const rest = time.Second

func newWorkers(ctx context.Context) workers {
	return workers{ctx: ctx, next: make(chan *stream)}
}

// run has somebody work on the stream. It never blocks.
func (w workers) run(s *stream) {
	select {
	case w.next <- s:
	default:
		go w.work(s)
	}
}

func (w workers) work(s *stream) {
	enough := time.NewTimer(rest)
	defer enough.Stop()
	for {
		s.work()
		select {
		case s = <-w.next:
			continue
		default:
		}
		enough.Reset(rest)
		select {
		case s = <-w.next:
		case <-enough.C:
			return
		case <-w.ctx.Done():
			return
		}
	}
}
