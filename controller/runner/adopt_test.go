package runner_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/runner"
	"github.com/oncue/oncue/encoders"
)

// TestStoreLost: the store is lost, or another one is put in its place, while encoders run: shared
// ones, those of a pattern, and those of streams that the configuration does not have. All are
// found; those that nobody needs are stopped.
func TestStoreLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("one", "shared"), spec("two", "shared"), spec("gone", "old"), spec("moved", "before"))
		r.pattern = cameras
		r.boot()
		for i, name := range []string{"one", "cam-1", "gone", "moved"} {
			r.live(name, fmt.Sprint("F", i))
		}
		r.end(false)
		r.loseStore(t)
		r.specs = []runner.StreamSpec{spec("one", "shared"), spec("two", "shared"), spec("moved", "after")}
		r.boot()
		defer r.end(false)
		r.pass(2 * time.Second)
		for _, name := range []string{"one", "cam-1"} {
			if v := r.view(name); !v.Managed || v.Starts != 0 || v.Encoders[0].State != encoders.StatePublishing {
				t.Errorf("%s: %+v", name, v)
			}
		}
		if v := r.view("two"); v.Phase != controller.PhaseIdle || v.Encoders[0].State != encoders.StateStopped {
			t.Errorf("two is shown with one's run: %s, %+v", v.Phase, v.Encoders[0])
		}
		r.hook(controller.HookAttempt, "two") // one is found idle, and gives way
		r.pass(time.Second)
		r.want("two", controller.PhaseStarting)
		if v := r.view("one"); v.Encoders[0].State != encoders.StateStopped {
			t.Errorf("one: %+v", v.Encoders[0])
		}
		r.pass(2 * time.Minute)
		r.wantOn("")
		if _, there := r.c.Stream("ACC/gone"); there {
			t.Error("the stream that nobody knows is not forgotten")
		}
	})
}

// TestForgottenAfterASlowStart: streams that are over before the folders of their encoders are read
// are forgotten afterwards: one that is not in the file any more, and one of a pattern that was
// idle for long.
func TestForgottenAfterASlowStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("gone", "old"))
		r.pattern = cameras
		r.boot()
		for i, name := range []string{"gone", "cam-1"} {
			r.live(name, fmt.Sprint("F", i))
			r.leave(name, fmt.Sprint("F", i))
		}
		r.end(false)
		r.pass(time.Hour)
		r.specs, r.slowLeft = nil, 10*time.Second
		r.boot()
		defer r.end(false)
		r.pass(20 * time.Second)
		for _, id := range []string{"ACC/gone", "ACC/cam-1"} {
			if v, there := r.c.Stream(controller.StreamID(id)); there {
				t.Errorf("%s is not forgotten: %+v", id, v)
			}
		}
	})
}
