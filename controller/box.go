package controller

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/oncue/oncue/encoders"
)

// box is one encoder in the hands of one stream: it runs the calls, one at a time, and turns what comes of them into events.
type box struct {
	s    *stream
	spec EncoderSpec
	slot chan struct{} // held during a Start or Stop

	mu          sync.Mutex
	cancelStart context.CancelFunc
	endWatch    context.CancelFunc
	watched     string // run that the watch is for
}

// start begins a Start; StartDone follows.
func (b *box) start(job encoders.Job, limit time.Duration) {
	ctx, cancel := context.WithTimeout(b.s.c.ctx, max(limit, time.Second))
	b.mu.Lock()
	b.cancelStart = cancel
	b.mu.Unlock()
	b.s.c.calls.Go(func() {
		defer cancel()
		select {
		case b.slot <- struct{}{}:
		case <-ctx.Done():
			b.done(StartDone{Encoder: b.spec.Name, Run: job.Run, Err: "the encoder is still busy with an earlier call"})
			return
		}
		ev := StartDone{Encoder: b.spec.Name, Run: job.Run}
		enc, err := b.s.c.driver(b.spec, job)
		if err == nil {
			err = enc.Start(ctx, job)
		}
		<-b.slot
		if err != nil {
			ev.Err, ev.Permanent, ev.Doubt = err.Error(), encoders.IsPermanent(err), doubtful(err)
		}
		b.done(ev)
	})
}

// doubtful reports whether a call that failed may have been heard all the same: time ran out while it waited for an answer.
func doubtful(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.As(err, &timeout) && timeout.Timeout()
}

// stop ends a Start in flight and begins a Stop; StopDone follows.
func (b *box) stop(job encoders.Job, limit time.Duration) {
	b.mu.Lock()
	if b.cancelStart != nil {
		b.cancelStart()
	}
	b.mu.Unlock()
	b.s.c.calls.Go(func() {
		ctx, cancel := context.WithTimeout(b.s.c.ctx, max(limit, time.Second))
		defer cancel()
		b.slot <- struct{}{}
		ev := StopDone{Encoder: b.spec.Name, Run: job.Run}
		enc, err := b.s.c.driver(b.spec, job)
		if err != nil {
			ev.Hopeless = true
		} else {
			err = enc.Stop(ctx, job)
		}
		<-b.slot
		if err != nil {
			ev.Err = err.Error()
		}
		b.done(ev)
	})
}

// done posts the end of a call, but not one that only the controller's own end cut short.
func (b *box) done(ev Event) {
	if b.s.c.ctx.Err() == nil {
		b.s.post(ev)
	}
}

// watch sees to it that the encoder is watched for the run.
func (b *box) watch(job encoders.Job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.endWatch != nil && b.watched == job.Run {
		return
	}
	if b.endWatch != nil {
		b.endWatch()
	}
	ctx, cancel := context.WithCancel(b.s.c.ctx)
	b.endWatch, b.watched = cancel, job.Run
	b.s.c.calls.Go(func() { b.look(ctx, job) })
}

// rest ends the watch.
func (b *box) rest() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.endWatch != nil {
		b.endWatch()
		b.endWatch, b.watched = nil, ""
	}
}

func (b *box) look(ctx context.Context, job encoders.Job) {
	report := func(st encoders.Status) {
		if ctx.Err() == nil {
			b.s.saw(b.spec.Name, st)
		}
	}
	enc, err := b.s.c.driver(b.spec, job)
	if err != nil {
		report(encoders.Status{State: encoders.StateUnknown, Error: err.Error()})
		return
	}
	if w, ok := enc.(encoders.Watcher); ok {
		_ = w.Watch(ctx, job, report)
		return
	}
	poll(ctx, enc, job, report)
}

// lookEvery is how often a driver that cannot watch is asked.
const lookEvery = time.Second

func poll(ctx context.Context, enc encoders.Encoder, job encoders.Job, report func(encoders.Status)) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if st, err := enc.Status(ctx, job); err == nil {
			report(st)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
