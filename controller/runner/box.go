package runner

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"sync"
	"time"

	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/encoders"
)

// box is one encoder in the hands of one stream: it runs the calls, one at a time, and turns what
// comes of them into events.
type box struct {
	s    *stream
	dev  *device
	slot chan struct{} // held during a Start or Stop

	mu          sync.Mutex
	cancelStart context.CancelFunc
}

// start begins a Start with the present settings; StartDone follows.
func (b *box) start(e machine.EncoderSpec, job encoders.Job, limit time.Duration) {
	ctx, cancel := context.WithTimeout(b.s.c.ctx, max(limit, time.Second))
	b.mu.Lock()
	b.cancelStart = cancel
	b.mu.Unlock()
	b.s.c.calls.Go(func() {
		defer cancel()
		ev := machine.StartDone{Encoder: e.Name, Run: job.Run}
		select {
		case b.slot <- struct{}{}:
		case <-ctx.Done():
			ev.Err = "the encoder is still busy with an earlier call"
			b.done(ev)
			return
		}
		b.dev.renew(e)
		enc, err := b.dev.driver(e, job, true)
		if err == nil && e.Publishes != nil && !job.Publish.Set() {
			err = errNoToken
		}
		if err == nil {
			err = enc.Start(ctx, job)
		}
		if errors.Is(err, fs.ErrNotExist) && !encoders.IsPermanent(err) {
			b.dev.again() // its folder may be gone: it is made when the driver is opened
		}
		<-b.slot
		if err != nil {
			ev.Err, ev.Busy = err.Error(), errors.Is(err, encoders.ErrBusy)
			ev.Permanent, ev.Doubt = encoders.IsPermanent(err), doubtful(err)
		}
		b.done(ev)
	})
}

var errNoToken = errors.New("the publishing token is not there yet: the platform's API has given none so far")

// doubtful reports whether a call that failed may have been heard all the same: time ran out while
// it waited for an answer.
func doubtful(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

// stop ends a Start in flight and begins a Stop; StopDone follows.
func (b *box) stop(e machine.EncoderSpec, job encoders.Job, limit time.Duration) {
	b.mu.Lock()
	if b.cancelStart != nil {
		b.cancelStart()
	}
	b.mu.Unlock()
	b.s.c.calls.Go(func() {
		ctx, cancel := context.WithTimeout(b.s.c.ctx, max(limit, time.Second))
		defer cancel()
		b.slot <- struct{}{}
		ev := machine.StopDone{Encoder: e.Name, Run: job.Run}
		enc, err := b.dev.driver(e, job, true)
		if err == nil {
			err = enc.Stop(ctx, job)
		} else {
			ev.Hopeless = encoders.IsPermanent(err)
		}
		<-b.slot
		if err != nil {
			ev.Err = err.Error()
		}
		b.done(ev)
	})
}

// done posts the end of a call, but not one that only the controller's own end cut short.
func (b *box) done(ev machine.Event) {
	if b.s.c.ctx.Err() == nil {
		b.s.post(ev)
	}
}
