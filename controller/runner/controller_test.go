package runner_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

func TestCycle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		defer r.end(false)
		r.want("lobby", controller.PhaseIdle)
		r.live("lobby", "F1")
		v := r.view("lobby")
		if len(v.Feeds) != 1 || v.Encoders[0].State != encoders.StatePublishing || !v.Wanted || !v.Managed || v.Starts != 1 {
			t.Errorf("%+v", v)
		}
		r.hook(controller.HookNoViewers, "lobby")
		r.want("lobby", controller.PhaseLingering)
		r.pass(21 * time.Second)
		r.want("lobby", controller.PhaseStopping) // the platform's word of the feed's end is missing
		r.hook(controller.HookFeedEnded, "lobby", "F1")
		r.want("lobby", controller.PhaseIdle)
		history, err := r.c.History(context.Background(), "ACC/lobby", 100, 0)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := len(history) - 1; i >= 0; i-- {
			got = append(got, fmt.Sprintf("%s>%s %s", history[i].From, history[i].To, history[i].Event))
		}
		want := "idle>starting ViewerAttempt, starting>live started, live>live FirstViewerConnection, " +
			"live>lingering NoActiveViewers, lingering>stopping timer, stopping>idle ended"
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("history: %s\nwant:    %s", s, want)
		}
	})
}

// TestAdoption: a controller that comes back finds its encoder running: no second start, and the
// deadline of before.
func TestAdoption(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		r.live("lobby", "F1")
		r.hook(controller.HookNoViewers, "lobby")
		before := r.view("lobby")
		r.pass(5 * time.Second)
		r.end(false)
		r.pass(5 * time.Second)
		r.boot()
		r.pass(time.Second)
		after := r.view("lobby")
		if after.Phase != controller.PhaseLingering ||
			after.Deadline.Time.Sub(before.Deadline.Time).Abs() > time.Millisecond || after.Starts != 1 {
			t.Errorf("before %s until %v, after %s until %v, %d starts", before.Phase, before.Deadline, after.Phase,
				after.Deadline, after.Starts)
		}
		if n := r.boxes["cam"].Starts(); n != 1 {
			t.Errorf("the box was started %d times", n)
		}
		r.pass(15 * time.Second)
		if st := r.view("lobby").Encoders[0].State; st != encoders.StateStopped {
			t.Errorf("the encoder is %s after the deadline", st)
		}
		r.end(false)
	})
}

// TestOnExitStop: with on_exit: stop nothing runs after the end, and the next start brings it back
// while it is wanted.
func TestOnExitStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		r.live("lobby", "F1")
		box := r.boxes["cam"]
		r.end(true)
		if st, _ := box.Status(context.Background(), encoders.Job{}); !st.State.Gone() {
			t.Fatalf("the encoder is %s after the end", st.State)
		}
		r.boot()
		r.pass(time.Second)
		if n := r.boxes["cam"].Starts(); n != 2 {
			t.Errorf("somebody still watches, and the box was started %d times", n)
		}
		r.end(false)
	})
}

var errDiskFull = fmt.Errorf("disk full: %w", controller.ErrStore)

// TestStoreDown: encoders do not depend on a disk. What could not be saved is saved later.
func TestStoreDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		r.refuses(errDiskFull)
		for _, kind := range []controller.HookKind{controller.HookAttempt, controller.HookFeedStarted,
			controller.HookFirstViewer} {
			_, h := r.sent(kind, "lobby", "F1")
			r.c.Deliver(h) // it was stored before the disk was full
			r.pass(time.Second)
		}
		r.want("lobby", controller.PhaseLive)
		r.refuses(nil)
		r.pass(10 * time.Second)
		if state := r.saved(); !strings.Contains(state, `"phase":"live"`) {
			t.Error(state)
		}
		r.end(false)
	})
}
