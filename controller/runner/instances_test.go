package runner_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/controller/runner"
	"github.com/oncue/oncue/encoders"
)

// These tests change the file under what runs: by a reload, and while the daemon is down.

// device has an encoder of the spec be another instance.
func device(s runner.StreamSpec, encoder int, driver, name string) runner.StreamSpec {
	s.Policy.Encoders[encoder].Instance = machine.Instance{Driver: driver, Device: name}
	return s
}

// byHand has people press the buttons of the spec's boxes.
func byHand(s runner.StreamSpec) runner.StreamSpec {
	for i := range s.Policy.Encoders {
		s.Policy.Encoders[i].Watched = true
	}
	return s
}

// TestOwnEntryOfACamera gives one camera of a pattern an entry of its own while it is live, and
// takes it away again: there is never a second copy, and what was started is what is stopped.
func TestOwnEntryOfACamera(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.pattern = cameras
		r.boot()
		defer r.end(false)
		r.live("cam-1", "F1")
		r.reload(spec("cam-1", "nvr"))
		r.wantOn("nvr@cam-1")
		r.want("cam-1", controller.PhaseLive)
		if v := r.view("cam-1"); v.Starts != 1 || !v.Encoders[0].Outdated {
			t.Errorf("%d starts, %+v", v.Starts, v.Encoders)
		}
		r.leave("cam-1", "F1")
		r.wantOn("")
		r.want("cam-1", controller.PhaseIdle)
		r.pass(time.Minute)
		r.live("cam-1", "F2")
		r.wantOn("nvr")
		r.reload()
		r.wantOn("nvr")
		r.leave("cam-1", "F2")
		r.wantOn("")
	})
}

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
		free := r.holdStates()
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

// TestPersonsShow: a person has switched the box on before oncue has looked, or on a box that
// streams share. No viewer and no end of an audience cuts that.
func TestPersonsShow(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprint("shared ", shared), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				specs := []runner.StreamSpec{byHand(spec("lobby", "obs"))}
				if shared {
					specs = append(specs, byHand(spec("foyer", "obs")))
				}
				r := newRig(t, specs...)
				r.boot()
				defer r.end(false)
				r.pass(time.Second)
				r.boxes["obs"].PressStart()
				r.hook(controller.HookAttempt, "lobby") // at once
				for range 8 {
					r.pass(10 * time.Second)
					r.hook(controller.HookAttempt, "lobby")
				}
				r.wantOn("obs")
				v := r.view("lobby")
				want := map[bool]controller.Phase{false: controller.PhaseLive, true: controller.PhaseWaiting}[shared]
				if v.Phase != want || !strings.Contains(v.Reason, "started by somebody else") {
					t.Errorf("lobby is %s: %s", v.Phase, v.Reason)
				}
				if r.starts("obs") != 0 {
					t.Errorf("%d starts", r.starts("obs"))
				}
				r.hook(controller.HookFirstViewer, "lobby")
				r.hook(controller.HookNoViewers, "lobby")
				r.pass(5 * time.Minute)
				r.wantOn("obs")
				r.boxes["obs"].PressStop()
				r.pass(5 * time.Second)
				r.hook(controller.HookAttempt, "lobby")
				r.pass(2 * time.Second)
				r.want("lobby", controller.PhaseStarting)
				r.wantOn("obs")
			})
		})
	}
}

// TestSharedWhileByHand: a box becomes shared while a person uses it. When he stops, viewers of
// both are served.
func TestSharedWhileByHand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, byHand(spec("lobby", "obs")))
		r.boot()
		defer r.end(false)
		r.pass(time.Second)
		r.boxes["obs"].PressStart()
		r.pass(3 * time.Second)
		r.want("lobby", controller.PhaseLive)
		r.reload(byHand(spec("lobby", "obs")), byHand(spec("foyer", "obs")))
		r.boxes["obs"].PressStop()
		r.pass(3 * time.Second)
		r.want("lobby", controller.PhaseIdle)
		r.live("lobby", "F1")
		if v := r.view("foyer"); v.Phase != controller.PhaseIdle || v.Encoders[0].State != encoders.StateStopped {
			t.Errorf("a run of lobby is shown as foyer's: %s, %+v", v.Phase, v.Encoders[0])
		}
		r.leave("lobby", "F1")
		r.live("foyer", "F2")
	})
}

// TestNewSettingsOfASharedEncoder are used from its next start on, by whichever stream that is.
func TestNewSettingsOfASharedEncoder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		versioned := func(v string) []runner.StreamSpec {
			list := []runner.StreamSpec{spec("one", "shared"), spec("two", "shared")}
			for i := range list {
				list[i].Policy.Encoders[0].Version = v
			}
			return list
		}
		r := newRig(t, versioned("1")...)
		r.boot()
		defer r.end(false)
		r.live("one", "F1")
		r.reload(versioned("2")...)
		r.wantOn("shared")
		r.leave("one", "F1")
		r.live("two", "F2")
		if last := r.opened[len(r.opened)-1]; last.Version != "2" || len(r.opened) != 2 {
			t.Errorf("opened: %+v", r.opened)
		}
	})
}

// TestFailoverReordered: the list of encoders changes under the one in use, which serves on.
func TestFailoverReordered(t *testing.T) {
	failover := func(names ...string) runner.StreamSpec {
		s := spec("lobby", names...)
		s.Policy.Several, s.Policy.FailoverAfter = machine.Failover, 1
		return s
	}
	for _, after := range [][]string{{"c", "a", "b"}, {"b", "c"}, {"b"}, {"a", "c", "b"}} {
		t.Run(strings.Join(after, " "), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, failover("a", "b", "c"))
				r.boot()
				defer r.end(false)
				r.live("lobby", "F1")
				r.boxes["a"].Die(errors.New("it died"))
				r.hook(controller.HookFeedEnded, "lobby", "F1")
				r.pass(5 * time.Second)
				r.hook(controller.HookFeedStarted, "lobby", "F2")
				r.wantOn("b")
				r.reload(failover(after...))
				r.pass(time.Minute)
				r.wantOn("b")
				if n := r.starts("b"); n != 1 {
					t.Errorf("%d starts of b", n)
				}
			})
		})
	}
}

// TestDriverDoesNotOpenAtFirst: a disk that is full for a moment is no mistake of the
// configuration.
func TestDriverDoesNotOpenAtFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, byHand(spec("lobby", "cam")))
		r.opensNot(errors.New("no space left on device"))
		r.boot()
		defer r.end(false)
		r.hook(controller.HookAttempt, "lobby")
		r.pass(time.Second / 2)
		if v := r.view("lobby"); v.Phase != controller.PhaseBackoff || !strings.Contains(v.Reason, "no space left") {
			t.Errorf("lobby is %s: %s", v.Phase, v.Reason)
		}
		r.opensNot(nil)
		r.pass(5 * time.Second)
		r.wantOn("cam")
	})
}

// opensNot has no driver open, or again with nil.
func (r *rig) opensNot(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.openErr = err
}

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

// TestClockStepThenRestart: a viewer is in, the clock is set, and the daemon is restarted: the
// journal's hooks are taken again, and he is not cut off.
func TestClockStepThenRestart(t *testing.T) {
	for _, by := range []time.Duration{4 * time.Minute, -4 * time.Minute, 24 * time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, spec("lobby", "cam"))
				r.boot()
				r.live("lobby", "F1")
				r.wall.Store(int64(by))
				r.pass(5 * time.Second)
				r.end(false)
				r.boot()
				defer r.end(false)
				r.pass(3 * time.Minute)
				r.want("lobby", controller.PhaseLive)
				r.wantOn("cam")
			})
		})
	}
}

// TestClockStepAndSchedule: the clock is set into a window, and out of it.
func TestClockStepAndSchedule(t *testing.T) {
	bubble(t, func(t *testing.T) { // at midnight
		s := spec("show", "cam")
		s.Policy.Schedule = schedule(t, machine.ScheduleLine{Cron: "0 2 * * *", For: time.Hour, Do: controller.ModeOn})
		r := newRig(t, s)
		r.boot()
		defer r.end(false)
		r.pass(time.Second)
		r.wantOn("")
		r.wall.Store(int64(150 * time.Minute))
		r.pass(5 * time.Second)
		r.wantOn("cam")
		r.hook(controller.HookFeedStarted, "show", "F1")
		r.wall.Store(0)
		r.pass(30 * time.Second)
		r.wantOn("")
	})
}

// TestScheduleOfAPattern counts for each of its streams.
func TestScheduleOfAPattern(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		off := schedule(t, machine.ScheduleLine{Cron: "0 0 * * *", For: time.Hour, Do: controller.ModeOff})
		r.pattern = func(n string) runner.StreamSpec {
			s := cameras(n)
			s.Policy.Schedule = off
			return s
		}
		r.boot()
		defer r.end(false)
		r.hook(controller.HookAttempt, "cam-1")
		r.pass(10 * time.Second)
		if v := r.view("cam-1"); v.Phase != controller.PhaseIdle || v.Reason != "the schedule says off" {
			t.Errorf("%s: %s", v.Phase, v.Reason)
		}
		r.pass(time.Hour)
		r.hook(controller.HookAttempt, "cam-1")
		r.pass(time.Second)
		r.wantOn("nvr@cam-1")
	})
}

// TestNamesOfAPattern: names that strangers ask for are bounded, and forgotten when nobody can need
// them any more.
func TestNamesOfAPattern(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.pattern = cameras
		r.boot()
		defer func() { r.end(false) }()
		for i := range 20 {
			r.hook(controller.HookAttempt, fmt.Sprint("cam-", i))
		}
		r.pass(time.Second)
		if n := len(strings.Fields(r.on())); n != 3 {
			t.Errorf("%d names run; 3 may", n)
		}
		if n := len(r.noticed("pattern_full")); n != 1 {
			t.Errorf("told %d times that there are too many", n)
		}
		r.pass(2 * time.Minute)
		r.wantOn("")
		for i := range 20 { // idle ones make way
			r.hook(controller.HookAttempt, fmt.Sprint("cam-", 100+i))
			r.pass(2 * time.Minute)
		}
		if n := len(r.c.Streams()); n > 4 {
			t.Errorf("%d streams are kept", n)
		}
		if n := len(r.noticed("pattern_full")); n != 1 {
			t.Errorf("told %d times that there are too many", n)
		}
		r.live("cam-7", "F1")
		r.pass(30 * time.Minute)
		if v := r.c.Streams(); len(v) != 2 {
			t.Errorf("half an hour later there are %d streams", len(v))
		}
		r.want("cam-7", controller.PhaseLive) // watched, so kept
		r.leave("cam-7", "F1")
		r.pass(30 * time.Minute)
		if _, there := r.c.Stream("ACC/cam-7"); there {
			t.Error("it is not forgotten")
		}
		if story, err := r.c.History(context.Background(), "ACC/cam-7", 10, 0); err != nil || len(story) == 0 {
			t.Errorf("its history is gone: %v", err)
		}
		if all, err := r.store.LoadStreams(context.Background()); err != nil || len(all) > 1 {
			t.Errorf("%d rows are kept, %v", len(all), err)
		}
		r.live("cam-7", "F2") // and it can come again
		r.wantOn("nvr@cam-7")
	})
}

// TestConfiguredFirst: strangers' names do not take all places under limits.running, and give up
// theirs to a configured stream as long as nobody has watched them.
func TestConfiguredFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"), spec("foyer", "cam2"))
		r.pattern = cameras
		r.running = 3
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

func (r *rig) noticed(kind string) (n []controller.Notice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, notice := range r.notices {
		if notice.Kind == kind {
			n = append(n, notice)
		}
	}
	return n
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

// TestClockStepWhileTheDiskHangs: a stream that waits for the disk holds up neither the others nor
// the proof of life, and its times are moved like theirs.
func TestClockStepWhileTheDiskHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"), spec("foyer", "cam2"))
		r.boot()
		defer r.end(false)
		r.live("lobby", "F1")
		r.live("foyer", "F2")
		free := r.holdStates()
		rec, h := r.sent(controller.HookNoViewers, "lobby")
		go r.c.Take(context.Background(), rec, h) //nolint:errcheck // the phase tells
		r.wall.Store(int64(time.Hour))
		r.pass(3 * time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := r.c.Pulse(ctx); err != nil {
			t.Error(err)
		}
		close(free)
		r.pass(time.Second)
		if v := r.view("lobby"); v.Phase != controller.PhaseLingering ||
			time.Until(v.Deadline.Time.Add(-time.Hour)).Round(time.Second) != 16*time.Second {
			t.Errorf("lobby is %s until %v", v.Phase, v.Deadline)
		}
		r.pass(17 * time.Second)
		r.want("lobby", controller.PhaseStopping)
	})
}

// TestAccountGone: the account of a watched stream leaves the configuration. No hook can say any
// more who watches, so the stream ends.
func TestAccountGone(t *testing.T) {
	for _, how := range []string{"reload", "restart"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, spec("lobby", "cam"))
				r.boot()
				r.live("lobby", "F1")
				delete(r.accounts, "ACC")
				if how == "reload" {
					r.reload()
				} else {
					r.end(false)
					r.specs = nil
					r.boot()
				}
				defer r.end(false)
				r.pass(10 * time.Second)
				if v := r.view("lobby"); v.Phase != controller.PhaseLive || !strings.Contains(v.Reason, "account") ||
					v.Deadline == nil {
					t.Errorf("%s until %v: %s", v.Phase, v.Deadline, v.Reason)
				}
				r.pass(20 * time.Second)
				r.wantOn("")
			})
		})
	}
}

// TestHoldAndPersonsShow: a hold wants a stream on that a person has put on the air. It is on; when
// the hold ends, the show goes on.
func TestHoldAndPersonsShow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, byHand(spec("lobby", "obs")))
		r.boot()
		defer r.end(false)
		r.pass(time.Second)
		r.boxes["obs"].PressStart()
		r.pass(3 * time.Second)
		if _, err := r.c.SetMode(context.Background(), "ACC/lobby", controller.ModeRequest{Mode: controller.ModeOn,
			For: time.Minute}); err != nil {
			t.Fatal(err)
		}
		r.pass(5 * time.Minute)
		r.wantOn("obs")
		if st, _ := r.boxes["obs"].Status(context.Background(), encoders.Job{}); !st.ByHand {
			t.Errorf("the show was taken over: %+v", st)
		}
	})
}

// TestFolderGone: the folder of an idle encoder is deleted. Its next start makes it again.
func TestFolderGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		defer r.end(false)
		r.live("lobby", "F1")
		r.leave("lobby", "F1")
		if err := os.RemoveAll(filepath.Join(r.dir, "encoders-cam")); err != nil {
			t.Fatal(err)
		}
		r.hook(controller.HookAttempt, "lobby")
		r.pass(10 * time.Second)
		r.wantOn("cam")
	})
}
