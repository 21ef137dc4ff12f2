package encodertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oncue/oncue/encoders"
)

func (b *bench) stoppedAtFirst() {
	if s := b.status(); !s.State.Gone() {
		b.Errorf("a fresh encoder is %+v; want it stopped", s)
	}
	b.stop()
	if s := b.status(); s.State != encoders.StateStopped {
		b.Errorf("stopped before any start, it is %+v", s)
	}
}

func (b *bench) startPublishes() {
	b.start()
	s := b.awaitPublishing()
	if s.Error != "" || s.Permanent {
		b.Errorf("publishing, yet with an error: %+v", s)
	}
	if b.h.EchoesRun && s.Run != b.Job.Run {
		b.Errorf("status is of run %q; want %q", s.Run, b.Job.Run)
	}
	b.awaitCopies(1)
}

func (b *bench) startTwice() {
	b.start()
	b.start() // while it is starting
	first := b.awaitPublishing()
	b.start() // while it is on
	again := b.awaitPublishing()
	if first.PID != again.PID {
		b.Errorf("a second start changed the process from %d to %d", first.PID, again.PID)
	}
	b.awaitCopies(1)
}

func (b *bench) stopEnds() {
	b.start()
	b.awaitPublishing()
	b.stop()
	if s := b.status(); s.State != encoders.StateStopped || s.Error != "" {
		b.Errorf("after a stop it is %+v", s)
	}
	b.awaitCopies(0)
	b.stop()
	b.start()
	b.stop() // while it is starting
	if s := b.status(); s.State != encoders.StateStopped {
		b.Errorf("stopped while starting, it is %+v", s)
	}
	b.awaitCopies(0)
}

func (b *bench) startAgain() {
	for _, run := range []string{"run1", "run2", "run3"} {
		b.Job.Run = run
		b.start()
		if s := b.awaitPublishing(); b.h.EchoesRun && s.Run != run {
			b.Errorf("status is of run %q; want %q", s.Run, run)
		}
		b.awaitCopies(1)
		b.stop()
	}
}

func (b *bench) anotherStream() {
	b.start()
	b.awaitPublishing()
	other := b.Job
	other.Name, other.Run = "foyer", "run2"
	ctx, cancel := context.WithTimeout(b.Context(), b.h.Live)
	defer cancel()
	err := b.Encoder.Start(ctx, other)
	if err != nil && !errors.Is(err, encoders.ErrBusy) {
		b.Errorf("start for another stream: %v; want ErrBusy", err)
	}
	if b.h.OneStream && err == nil {
		b.Error("start for another stream is taken while the first one is on")
	}
	b.awaitCopies(1)
}

func (b *bench) cancelled() {
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	b.soon("a start with a cancelled context", func() { _ = b.Encoder.Start(ctx, b.Job) })
	b.soon("a stop with a cancelled context", func() { _ = b.Encoder.Stop(ctx, b.Job) })
	b.soon("a status with a cancelled context", func() {
		if _, err := b.Encoder.Status(ctx, b.Job); err != nil && !errors.Is(err, context.Canceled) {
			b.Errorf("status with a cancelled context: %v", err)
		}
	})
	if w, ok := b.Encoder.(encoders.Watcher); ok {
		b.soon("a watch with a cancelled context", func() {
			if err := w.Watch(ctx, b.Job, func(encoders.Status) {}); !errors.Is(err, context.Canceled) {
				b.Errorf("watch with a cancelled context: %v", err)
			}
		})
	}
	b.stop()
	b.awaitCopies(0)
}

func (b *bench) watch() {
	w, ok := b.Encoder.(encoders.Watcher)
	if !ok {
		b.Skip("the driver is no Watcher")
	}
	v, second := b.open(w), b.open(w)
	gone := func(s encoders.Status) bool { return s.State.Gone() }
	publishing := func(s encoders.Status) bool { return s.State == encoders.StatePublishing }
	_, n := v.await("the stopped encoder at once", b.h.Soon, 0, gone)
	b.start()
	_, n = v.await("publishing", b.h.Live, n, publishing)
	second.await("publishing", b.h.Live, 0, publishing)
	late := b.open(w)
	late.await("the publishing encoder at once", b.h.Soon, 0, publishing)
	late.end()
	b.stop()
	v.await("the stop", b.h.Soon, n, gone)
	v.end()
	second.end()
}

// manyCallers reads an encoder during starts and stops, for the race detector.
func (b *bench) manyCallers() {
	ctx, cancel := context.WithCancel(b.Context())
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	for range 2 {
		readers.Go(func() {
			for ctx.Err() == nil {
				_, _ = b.Encoder.Status(ctx, b.Job)
				_ = b.outputs(ctx)
				select {
				case <-ctx.Done():
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
		if w, ok := b.Encoder.(encoders.Watcher); ok {
			readers.Go(func() { _ = w.Watch(ctx, b.Job, func(encoders.Status) {}) })
		}
	}
	for range 2 {
		b.start()
		b.awaitPublishing()
		b.stop()
	}
}

func (b *bench) reopen() {
	if b.Reopen == nil {
		b.Skip("the harness cannot reopen the box")
	}
	b.start()
	before := b.awaitPublishing()
	b.close()
	b.Encoder, b.closed = b.Reopen(b.T), false
	if r, ok := b.Encoder.(encoders.Readier); ok {
		r.KeepReady(b.Job, true)
	}
	after := b.awaitPublishing()
	if before.PID != after.PID || b.h.EchoesRun && after.Run != b.Job.Run {
		b.Errorf("the controller's restart changed %+v to %+v", before, after)
	}
	b.start()
	b.awaitCopies(1)
	b.stop()
	b.awaitCopies(0)
}

// closeEndsWaiting closes a stopped encoder that keeps something ready: nothing would ever end that
// afterwards.
func (b *bench) closeEndsWaiting() {
	if b.Waiting == nil {
		b.Skip("the harness has nothing that waits")
	}
	b.awaitWaiting(1)
	b.start()
	b.awaitPublishing()
	b.stop()
	b.awaitWaiting(1)
	b.close()
	b.awaitWaiting(0)
}

func (b *bench) awaitWaiting(want int) {
	b.Helper()
	b.await(fmt.Sprintf("left with %d processes kept ready", want), b.h.Live, func(encoders.Status) bool {
		return b.Waiting() == want
	})
}
