package runner_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/controller"
)

// TestWake: ten thousand pages of one stream are one lease, which is stored a few times.
func TestWake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.pattern = cameras
		r.boot()
		const hold = 30 * time.Second
		ctx := context.Background()
		before := r.commits
		var pages sync.WaitGroup
		for range 10_000 {
			pages.Go(func() {
				if err := r.c.Wake(ctx, "ACC/lobby", hold); err != nil {
					t.Error(err)
				}
			})
		}
		pages.Wait()
		v := r.view("lobby")
		if len(v.Demand) != 1 || v.Reason != "wanted by a page" || v.Phase != controller.PhaseStarting {
			t.Errorf("%s %s %+v", v.Phase, v.Reason, v.Demand)
		}
		if n := r.commits - before; n > 5 {
			t.Errorf("they took %d commits", n)
		}
		if _, err := r.demand("lobby", "a page", 0); err != nil { // somebody ends it, and pages still ask
			t.Fatal(err)
		}
		if err := r.c.Wake(ctx, "ACC/lobby", hold); err != nil || len(r.view("lobby").Demand) != 1 {
			t.Errorf("asked for anew: %v %+v", err, r.view("lobby").Demand)
		}
		r.pass(hold / 2)
		if err := r.c.Wake(ctx, "ACC/lobby", hold); err != nil {
			t.Fatal(err)
		}
		if left := time.Until(r.view("lobby").Demand[0].Until.Time); left < hold-time.Millisecond {
			t.Errorf("renewed, and wanted for %s more", left)
		}
		for i := range 3 {
			if err := r.c.Wake(ctx, controller.StreamID(fmt.Sprint("ACC/cam-", i)), hold); err != nil {
				t.Fatal(err)
			}
		}
		for _, tt := range []struct {
			id   controller.StreamID
			want error
		}{{"ACC/cam-9", controller.ErrFull}, {"ACC/loby", controller.ErrUnknownStream}} {
			if err := r.c.Wake(ctx, tt.id, hold); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v", tt.id, err)
			}
		}
		r.end(true)
	})
}

// TestFollow: who follows a stream hears of each phase; who does not read, of the newest.
func TestFollow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"), spec("stage", "box"))
		r.boot()
		ctx, cancel := context.WithCancel(context.Background())
		fast, slow := r.c.Follow(ctx, "ACC/lobby"), r.c.Follow(ctx, "ACC/lobby")
		var mu sync.Mutex
		var heard []controller.Situation
		go func() {
			for {
				select {
				case s := <-fast:
					mu.Lock()
					heard = append(heard, s)
					mu.Unlock()
				case <-ctx.Done():
					return
				}
			}
		}()
		r.pass(time.Second)
		r.live("lobby", "F1")
		r.hook(controller.HookAttempt, "stage") // of which they hear nothing
		r.leave("lobby", "F1")
		mu.Lock()
		want := []controller.Situation{{Phase: "idle"}, {Phase: "starting"}, {Phase: "live", Live: true},
			{Phase: "lingering", Live: true}, {Phase: "stopping"}, {Phase: "idle"}}
		if !slices.Equal(heard, want) {
			t.Errorf("heard %v", heard)
		}
		mu.Unlock()
		if s := <-slow; s.Phase != controller.PhaseIdle {
			t.Errorf("who was slow hears of %v", s)
		}
		cancel()
		r.end(true)
	})
}

// TestWaitsAreObserved: how long viewers waited reaches the metrics; names of a pattern are one.
func TestWaitsAreObserved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.pattern = cameras
		var mu sync.Mutex
		took := map[string][]time.Duration{}
		r.observe.Waited = func(account, stream string, until controller.WaitEnd, d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			what := fmt.Sprint(account, " ", stream, " ", until)
			took[what] = append(took[what], d.Round(100*time.Millisecond))
		}
		r.boot()
		for i, name := range []string{"lobby", "cam-1", "cam-2"} {
			r.live(name, fmt.Sprint("F", i)) // after a second
		}
		want := map[string][]time.Duration{}
		for until, d := range map[string]time.Duration{"start": 0, "live": time.Second, "viewer": time.Second} {
			want["ACC lobby "+until], want["ACC cam-* "+until] = []time.Duration{d}, []time.Duration{d, d}
		}
		if diff := cmp.Diff(want, took); diff != "" {
			t.Error(diff)
		}
		if w := r.view("cam-2").Waits; w == nil || *w.Last.LiveS < 1 || *w.Last.LiveS > 1.1 || w.Of != 1 {
			t.Errorf("%+v", w)
		}
		r.end(true)
	})
}
