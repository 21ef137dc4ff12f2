package runner_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/oncue/oncue/controller"
)

// TestWatch: readers see every change once, resume where they were, and are cut off when they do
// not read.
func TestWatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		defer r.end(false)
		ctx, cancel := context.WithCancel(context.Background())
		changes := r.c.Watch(ctx, 0)
		r.hook(controller.HookAttempt, "lobby")
		first := <-changes
		if first.Stream == nil || first.Stream.Phase != controller.PhaseStarting {
			t.Fatalf("%+v", first)
		}
		cancel()
		synctest.Wait()
		r.hook(controller.HookFeedStarted, "lobby", "F1")
		ctx, cancel = context.WithCancel(context.Background())
		defer cancel()
		again := r.c.Watch(ctx, first.ID)
		last := first.ID
		for len(again) > 0 {
			ch := <-again
			if ch.ID <= last {
				t.Errorf("change %d after %d", ch.ID, last)
			}
			last = ch.ID
		}
		for i := range 2000 {
			r.c.Recorded(controller.Record{Seq: int64(i)})
		}
		n := 0
		for range again {
			n++
		}
		if n == 0 || n > 1000 {
			t.Errorf("a reader who does not read got %d changes", n)
		}
	})
}
