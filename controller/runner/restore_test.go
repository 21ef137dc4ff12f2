package runner_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/runner"
)

// TestFileChangedWhileDown restarts the daemon with another file. Whatever runs is known by what it
// is, serves on where it can, and is stopped where it has to be.
func TestFileChangedWhileDown(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func() []runner.StreamSpec
		after  func() []runner.StreamSpec
		on     string // after the restart
	}{
		{"an encoder is taken out", func() []runner.StreamSpec {
			return []runner.StreamSpec{spec("lobby", "main", "backup")}
		},
			func() []runner.StreamSpec { return []runner.StreamSpec{spec("lobby", "main")} }, "main"},
		{"the encoder is another one", func() []runner.StreamSpec { return []runner.StreamSpec{spec("lobby", "cam")} },
			func() []runner.StreamSpec { return []runner.StreamSpec{spec("lobby", "new")} }, "new"},
		{"the encoder has another driver", func() []runner.StreamSpec { return []runner.StreamSpec{spec("lobby", "cam")} },
			func() []runner.StreamSpec {
				return []runner.StreamSpec{device(spec("lobby", "cam"), 0, "other", "cam")}
			}, "cam"},
		{"two streams swap their encoders", func() []runner.StreamSpec {
			return []runner.StreamSpec{spec("lobby", "a"), spec("foyer", "b")}
		},
			func() []runner.StreamSpec { return []runner.StreamSpec{spec("lobby", "b"), spec("foyer", "a")} }, "b"},
		{"another stream has the encoder now", func() []runner.StreamSpec {
			return []runner.StreamSpec{spec("lobby", "a"), spec("foyer", "b")}
		},
			func() []runner.StreamSpec {
				return []runner.StreamSpec{spec("lobby", "b"), spec("foyer", "a", "b")}
			}, "b"},
		{"the stream is gone", func() []runner.StreamSpec { return []runner.StreamSpec{spec("lobby", "cam")} },
			func() []runner.StreamSpec { return nil }, "cam"},
		{"the encoders change places", func() []runner.StreamSpec {
			return []runner.StreamSpec{spec("lobby", "main", "backup")}
		},
			func() []runner.StreamSpec { return []runner.StreamSpec{spec("lobby", "backup", "main")} }, "backup main"},
	} {
		for _, how := range []string{"reload", "restart"} {
			t.Run(c.name+", "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newRig(t, c.before()...)
					r.boot()
					r.live("lobby", "F1")
					if how == "reload" {
						r.reload(c.after()...)
					} else {
						r.end(false)
						r.specs = c.after()
						r.boot()
					}
					defer func() { r.end(false) }()
					r.pass(3 * time.Second)
					r.hook(controller.HookFeedEnded, "lobby", "F1") // of what had to be stopped
					r.hook(controller.HookFeedStarted, "lobby", "F2")
					r.wantOn(c.on)
					r.pass(time.Minute)
					r.wantOn(c.on)
					if v := r.view("lobby"); v.Phase != controller.PhaseLive {
						t.Errorf("lobby is %s: %s", v.Phase, v.Reason)
					}
					r.leave("lobby", "F2")
					r.wantOn("")
					if v, there := r.c.Stream("ACC/lobby"); there && v.Phase != controller.PhaseIdle {
						t.Errorf("lobby is %s: %s", v.Phase, v.Reason)
					}
					if c.on == "cam" && c.after() != nil { // what is new is used from the next start on
						r.live("lobby", "F3")
						r.wantOn("other:cam")
					}
				})
			})
		}
	}
}

// TestDatabaseReplaced: the database is replaced while the daemon works, and knows all streams
// again at once.
func TestDatabaseReplaced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		defer r.end(false)
		r.live("lobby", "F1")
		r.pass(time.Minute)
		if err := r.store.ForgetStream(context.Background(), "ACC/lobby"); err != nil {
			t.Fatal(err)
		}
		r.c.SaveAgain()
		synctest.Wait()
		if state := r.saved(); !strings.Contains(state, `"phase":"live"`) {
			t.Error(state)
		}
	})
}
