package runner_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/runner"
	"github.com/oncue/oncue/encoders"
)

// TestSharedEncoder: one OBS for two streams. The second viewer waits, is told for whom, and is
// served when the first stream lingers.
func TestSharedEncoder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("gala", "obs"), spec("talk", "obs"))
		r.boot()
		defer r.end(false)
		r.live("gala", "F1")
		r.hook(controller.HookAttempt, "talk")
		r.want("talk", controller.PhaseWaiting)
		if v := r.view("talk"); v.WaitsFor == nil || *v.WaitsFor != "ACC/gala" {
			t.Errorf("talk waits for %v", v.WaitsFor)
		}
		r.hook(controller.HookNoViewers, "gala")
		r.pass(time.Second)
		r.want("talk", controller.PhaseStarting)
		if v := r.view("gala"); v.Encoders[0].State != encoders.StateStopped {
			t.Errorf("gala's encoder is %s", v.Encoders[0].State)
		}
		r.hook(controller.HookFeedEnded, "gala", "F1")
		r.want("gala", controller.PhaseIdle)
		r.hook(controller.HookFeedStarted, "talk", "F2")
		r.want("talk", controller.PhaseLive)
	})
}

// TestWaiterLeaves: a viewer who waited and went away does not cost the holder its time.
func TestWaiterLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("gala", "obs"), spec("talk", "obs"))
		r.boot()
		defer r.end(false)
		r.live("gala", "F1")
		r.hook(controller.HookAttempt, "talk")
		r.pass(50 * time.Second)
		r.want("talk", controller.PhaseIdle)
		r.hook(controller.HookNoViewers, "gala")
		r.pass(time.Second)
		r.want("gala", controller.PhaseLingering)
	})
}

func TestRunningLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("a", "cam-a"), spec("b", "cam-b"), spec("c", "cam-c"))
		r.limits.Running = 2
		r.boot()
		defer r.end(false)
		r.live("a", "FA")
		r.live("b", "FB")
		r.hook(controller.HookAttempt, "c")
		r.want("c", controller.PhaseWaiting)
		if reason := r.view("c").Reason; !strings.Contains(reason, "the limit of 2 running encoders") {
			t.Errorf("reason: %s", reason)
		}
		r.hook(controller.HookNoViewers, "a")
		r.pass(time.Second)
		r.want("c", controller.PhaseStarting)
		r.want("b", controller.PhaseLive)
	})
}

// TestRank: when not all can run, those of the best rank do, whoever came first and whoever
// watches, and no more is ended for them than their cost needs.
func TestRank(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ranked := func(name string, rank, cost int) runner.StreamSpec {
			s := spec(name, "cam-"+name)
			s.Policy.Rank, s.Policy.Encoders[0].Cost = rank, cost
			return s
		}
		r := newRig(t, ranked("main", 1, 3), ranked("side", 2, 2), ranked("small", 3, 1), ranked("late", 3, 2))
		r.limits.Cost = 5
		r.boot()
		defer r.end(false)
		r.live("small", "F1")
		r.live("side", "F2")
		r.live("late", "F3")
		r.hook(controller.HookAttempt, "main")
		r.want("main", controller.PhaseStarting)
		r.wantOn("cam-main cam-side")
		told, err := r.c.History(t.Context(), "ACC/late", 10, 0)
		if err != nil || !slices.ContainsFunc(told, func(tr controller.Transition) bool {
			return tr.Reason == "makes room for ACC/main, which has a better rank"
		}) {
			t.Errorf("late tells %v, %v", told, err)
		}
		r.hook(controller.HookFeedStarted, "main", "F4")
		r.hook(controller.HookFirstViewer, "main")
		r.hook(controller.HookFeedEnded, "late", "F3")
		r.hook(controller.HookFeedEnded, "small", "F1")
		r.hook(controller.HookAttempt, "late") // its viewers come back, and wait
		r.pass(time.Second)
		r.want("late", controller.PhaseWaiting)
		if why := r.view("late").Reason; !strings.Contains(why, "the limit of cost 5, of which it needs 2") {
			t.Errorf("late waits because of %s", why)
		}
		r.hook(controller.HookAttempt, "small") // nor does one that would fit go before it
		r.pass(time.Second)
		r.want("small", controller.PhaseWaiting)
		r.leave("side", "F2")
		r.pass(time.Second)
		r.wantOn("cam-late cam-main")
	})
}

// TestWaiterGetsAnotherEncoder: a stream that waits for a shared encoder is given its own; the
// shared one goes on to serve the others.
func TestWaiterGetsAnotherEncoder(t *testing.T) {
	for _, how := range []string{"another encoder", "another device", "no stream"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, spec("one", "shared"), spec("two", "shared"))
				r.boot()
				defer r.end(false)
				r.live("one", "F1")
				r.hook(controller.HookAttempt, "two")
				r.want("two", controller.PhaseWaiting)
				switch how {
				case "another encoder":
					r.reload(spec("one", "shared"), spec("two", "own"))
				case "another device":
					r.reload(spec("one", "shared"), device(spec("two", "shared"), 0, "fake", "own"))
				default:
					r.reload(spec("one", "shared"))
				}
				r.leave("one", "F1")
				r.pass(2 * time.Minute)
				r.live("one", "F2")
				r.wantOn("shared")
			})
		})
	}
}

// TestReleaseAndClaimAtOnce: the end of a stop and a person's "on" meet while the disk is slow. The
// stream runs with a claim, and another one waits.
func TestReleaseAndClaimAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("one", "shared"), spec("two", "shared"))
		r.boot()
		defer r.end(false)
		r.live("one", "F1")
		r.hook(controller.HookNoViewers, "one")
		free := r.blockStates()
		r.pass(20 * time.Second) // the stop waits for its commit
		go r.c.SetMode(context.Background(), "ACC/one",
			controller.ModeRequest{Mode: controller.ModeOn}) //nolint:errcheck // the claims tell
		synctest.Wait()
		close(free)
		r.pass(2 * time.Second)
		r.hook(controller.HookFeedStarted, "one", "F2")
		r.hook(controller.HookAttempt, "two")
		r.pass(time.Second)
		if v := r.view("two"); v.Phase != controller.PhaseWaiting || v.WaitsFor == nil || *v.WaitsFor != "ACC/one" {
			t.Errorf("two is %s: %s", v.Phase, v.Reason)
		}
		r.pass(2 * time.Minute)
		r.want("one", controller.PhaseLive)
		r.wantOn("shared")
		if n := r.starts("shared"); n != 2 {
			t.Errorf("%d starts", n)
		}
	})
}

// TestConfiguredFirst: strangers' names do not take all places under limits.running, and give up
// theirs to a configured stream as long as nobody has watched them.
func TestConfiguredFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"), spec("foyer", "cam2"))
		r.pattern = cameras
		r.limits.Running = 3
		r.boot()
		defer r.end(false)
		for i := range 3 {
			r.hook(controller.HookAttempt, fmt.Sprint("cam-", i))
		}
		r.pass(time.Second)
		if n := len(strings.Fields(r.on())); n != 2 {
			t.Errorf("%d of a pattern run; 2 of 3 places are theirs", n)
		}
		r.hook(controller.HookAttempt, "lobby")
		r.hook(controller.HookAttempt, "foyer")
		r.pass(2 * time.Second)
		if on := r.on(); !strings.HasPrefix(on, "cam cam2") {
			t.Errorf("on are %s", on)
		}
	})
}
