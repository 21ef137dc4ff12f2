package runner

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"time"

	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/encoders"
)

// caller makes a stream's calls to one encoder, one at a time, and posts their outcomes as events.
// start and stop are called by the stream's worker alone.
type caller struct {
	s           *stream
	dev         *device
	slot        chan struct{} // held during a Start or Stop
	cancelStart context.CancelFunc
}

// start begins a Start in the background, with the settings of e; StartDone follows.
func (c *caller) start(e machine.EncoderSpec, job encoders.Job, limit time.Duration) {
	ctx, cancel := context.WithTimeout(c.s.c.ctx, max(limit, time.Second))
	c.cancelStart = cancel
	c.s.c.calls.Go(func() {
		defer cancel()
		ev := machine.StartDone{Encoder: e.Name, Run: job.Run}
		select {
		case c.slot <- struct{}{}:
		case <-ctx.Done():
			ev.Err = "the encoder is still busy with an earlier call"
			c.done(ev)
			return
		}
		c.dev.renew(e)
		enc, err := c.dev.driver(e, job, true)
		if err == nil && e.Publishes != nil && !job.Publish.Set() {
			err = errNoToken
		}
		if err == nil {
			err = enc.Start(ctx, job)
		}
		if errors.Is(err, fs.ErrNotExist) && !encoders.IsPermanent(err) {
			c.dev.reopen() // its folder may be gone: it is made when the driver is opened
		}
		<-c.slot
		if err != nil {
			ev.Err, ev.Busy = err.Error(), errors.Is(err, encoders.ErrBusy)
			ev.Permanent, ev.Doubt = encoders.IsPermanent(err), doubtful(err)
		}
		c.done(ev)
	})
}

var errNoToken = errors.New("the publishing token is not there yet: the platform's API has given none so far")

// doubtful reports whether a call that failed may have reached the encoder all the same: time ran
// out while it waited for an answer.
func doubtful(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

// stop ends a Start in flight and begins a Stop; StopDone follows.
func (c *caller) stop(e machine.EncoderSpec, job encoders.Job, limit time.Duration) {
	if c.cancelStart != nil {
		c.cancelStart()
	}
	c.s.c.calls.Go(func() {
		ctx, cancel := context.WithTimeout(c.s.c.ctx, max(limit, time.Second))
		defer cancel()
		c.slot <- struct{}{}
		ev := machine.StopDone{Encoder: e.Name, Run: job.Run}
		enc, err := c.dev.driver(e, job, true)
		if err == nil {
			err = enc.Stop(ctx, job)
		} else {
			ev.Hopeless = encoders.IsPermanent(err)
		}
		<-c.slot
		if err != nil {
			ev.Err = err.Error()
		}
		c.done(ev)
	})
}

// done posts the outcome of a call, unless the controller is ending: that alone may have cut it
// short.
func (c *caller) done(ev machine.Event) {
	if c.s.c.ctx.Err() == nil {
		c.s.post(ev)
	}
}
