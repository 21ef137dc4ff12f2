package encodertest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/encoders"
)

// bench is one part of the suite at work.
type bench struct {
	*testing.T
	Rig
	h      Harness
	broken bool // the box can no longer be stopped
	closed bool
}

// end stops the encoder, unless its box was broken on purpose, and closes it.
func (b *bench) end() {
	if !b.broken && !b.closed {
		ctx, cancel := context.WithTimeout(context.Background(), b.h.Gone)
		defer cancel()
		if err := b.Encoder.Stop(ctx, b.Job); err != nil {
			b.Errorf("stop at the end: %v", err)
		}
	}
	b.close()
}

func (b *bench) close() {
	if c, ok := b.Encoder.(encoders.Closer); ok && !b.closed {
		if err := c.Close(); err != nil {
			b.Errorf("close: %v", err)
		}
	}
	b.closed = true
}

func (b *bench) start() {
	b.Helper()
	b.startJob(b.Job)
}

func (b *bench) startJob(job encoders.Job) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), b.h.Live)
	defer cancel()
	if err := b.Encoder.Start(ctx, job); err != nil {
		b.Fatalf("start: %v", err)
	}
}

func (b *bench) stop() {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), b.h.Gone)
	defer cancel()
	if err := b.Encoder.Stop(ctx, b.Job); err != nil {
		b.Fatalf("stop: %v", err)
	}
}

func (b *bench) status() encoders.Status {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), b.h.Soon)
	defer cancel()
	s, err := b.Encoder.Status(ctx, b.Job)
	if err != nil {
		b.Fatalf("status: %v", err)
	}
	if s.At.IsZero() {
		b.Errorf("status does not say when it was taken: %+v", s)
	}
	return s
}

// await returns the first status that ok accepts.
func (b *bench) await(what string, limit time.Duration, ok func(encoders.Status) bool) encoders.Status {
	b.Helper()
	end := time.After(limit)
	for {
		s := b.status()
		if ok(s) {
			return s
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-end:
			b.Fatalf("not %s within %v; it is %+v", what, limit, s)
		}
	}
}

func (b *bench) awaitPublishing() encoders.Status {
	b.Helper()
	return b.await("publishing", b.h.Live, func(s encoders.Status) bool { return s.State == encoders.StatePublishing })
}

// awaitCopies waits for the box to hold n copies; boxes may notice later than the driver.
func (b *bench) awaitCopies(n int) {
	b.Helper()
	if b.Copies == nil {
		return
	}
	b.await("seen at the box as it should", b.h.Soon, func(encoders.Status) bool { return b.Copies() == n })
}

// soon runs call, which must return within Soon.
func (b *bench) soon(what string, call func()) {
	b.Helper()
	done := make(chan struct{})
	go func() { defer close(done); call() }()
	select {
	case <-done:
	case <-time.After(b.h.Soon):
		b.Fatalf("%s does not return within %v", what, b.h.Soon)
	}
}

// view is one Watch at work.
type view struct {
	b      *bench
	cancel context.CancelFunc
	ended  chan error

	mu     sync.Mutex
	seen   []encoders.Status
	inside bool
	fresh  chan struct{}
}

func (b *bench) open(w encoders.Watcher) *view {
	ctx, cancel := context.WithCancel(b.Context())
	v := &view{b: b, cancel: cancel, ended: make(chan error, 1), fresh: make(chan struct{}, 1)}
	go func() { v.ended <- w.Watch(ctx, b.Job, v.report) }()
	return v
}

func (v *view) report(s encoders.Status) {
	v.mu.Lock()
	if v.inside {
		v.b.Error("watch reports while a report is under way")
	}
	v.inside = true
	v.seen = append(v.seen, s)
	v.mu.Unlock()
	select {
	case v.fresh <- struct{}{}:
	default:
	}
	v.mu.Lock()
	v.inside = false
	v.mu.Unlock()
}

// await returns the first report at or after from that ok accepts, and the index after it.
func (v *view) await(what string, limit time.Duration, from int, ok func(encoders.Status) bool) (encoders.Status, int) {
	v.b.Helper()
	end := time.After(limit)
	for {
		v.mu.Lock()
		seen := v.seen
		v.mu.Unlock()
		for ; from < len(seen); from++ {
			if ok(seen[from]) {
				return seen[from], from + 1
			}
		}
		select {
		case <-v.fresh:
		case <-end:
			v.b.Fatalf("watch does not report %s within %v; it reported %+v", what, limit, seen)
		}
	}
}

// end cancels the watch, which must say so.
func (v *view) end() {
	v.b.Helper()
	v.cancel()
	select {
	case err := <-v.ended:
		if !errors.Is(err, context.Canceled) {
			v.b.Errorf("watch ended with %v; want the context's error", err)
		}
	case <-time.After(v.b.h.Soon):
		v.b.Fatalf("watch does not end with its context within %v", v.b.h.Soon)
	}
}
