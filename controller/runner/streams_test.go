package runner_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/controller/runner"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/fake"
)

// TestReload: timers stay, a removed stream is drained and then forgotten.
func TestReload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("stays", "cam-a"), spec("goes", "cam-b"), spec("lingers", "cam-c"))
		r.boot()
		defer r.end(false)
		r.live("stays", "FA")
		r.live("goes", "FB")
		r.live("lingers", "FC")
		r.hook(controller.HookNoViewers, "stays")
		before := r.view("stays").Deadline
		r.specs = r.specs[:1]
		if err := r.c.Reload(runner.Config{Find: r.find, Streams: r.specs, Accounts: r.accounts}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if after := r.view("stays").Deadline; *after != *before {
			t.Errorf("the deadline was %v and is %v", before, after)
		}
		if v := r.view("goes"); v.Phase != controller.PhaseLive || !v.Draining {
			t.Errorf("the removed stream is %s, draining %v", v.Phase, v.Draining)
		}
		r.hook(controller.HookNoViewers, "goes")
		r.hook(controller.HookNoViewers, "lingers")
		r.pass(21 * time.Second)
		r.want("lingers", controller.PhaseStopping)
		r.hook(controller.HookFeedEnded, "lingers", "FC") // its last word
		if v, ok := r.c.Stream("ACC/lingers"); ok {
			t.Errorf("the removed stream is still there after its feed's end: %s, %s", v.Phase, v.Reason)
		}
		r.pass(10 * time.Second)
		if v, ok := r.c.Stream("ACC/goes"); ok {
			t.Errorf("the removed stream is still there: %s, %s", v.Phase, v.Reason)
		}
		if st, _ := r.boxes["cam-b"].Status(context.Background(), encoders.Job{}); !st.State.Gone() {
			t.Errorf("its encoder is %s", st.State)
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

// TestFailoverOverlaps: with priorities of their own, the next encoder publishes while the failed
// one, which takes its time to stop, still does.
func TestFailoverOverlaps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec("lobby", "main", "backup")
		s.Policy.Several, s.Policy.FailoverAfter = machine.Failover, 1
		for i := range s.Policy.Encoders {
			priority := ingest.Rank(i)
			s.Policy.Encoders[i].Publishes = &machine.Contribution{Priority: &priority}
		}
		r := newRig(t, s)
		r.settings["main"] = fake.Settings{StopDelay: 4 * time.Second}
		r.boot()
		defer r.end(false)
		r.live("lobby", "F1")
		r.boxes["main"].Stall()
		r.pass(2 * time.Second)
		if main, backup := r.boxes["main"].Face(), r.boxes["backup"].Face(); main.State != encoders.StateStopping ||
			backup.State != encoders.StatePublishing {
			t.Errorf("main is %s, backup %s", main.State, backup.State)
		}
		r.hook(controller.HookFeedStarted, "lobby", "F2")
		r.pass(3 * time.Second)
		r.wantOn("backup")
		r.hook(controller.HookFeedEnded, "lobby", "F1")
		r.pass(time.Minute)
		r.wantOn("backup")
		r.want("lobby", controller.PhaseLive)
		if n := r.starts("backup"); n != 1 {
			t.Errorf("%d starts of backup", n)
		}
	})
}

// TestOrphan: the store is lost while an encoder runs; it is found and taken over.
func TestOrphan(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		r.live("lobby", "F1")
		r.end(false)
		r.loseStore(t)
		r.boot()
		r.pass(time.Second)
		if v := r.view("lobby"); !v.Managed || v.Starts != 0 || v.Encoders[0].State != encoders.StatePublishing {
			t.Errorf("%+v", v)
		}
		r.pass(time.Minute)
		if st, _ := r.boxes["cam"].Status(context.Background(), encoders.Job{}); !st.State.Gone() {
			t.Errorf("nobody is known to watch, and it is %s", st.State)
		}
		r.end(false)
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
		if history, err := r.c.History(context.Background(), "ACC/cam-7", 10, 0); err != nil || len(history) == 0 {
			t.Errorf("its history is gone: %v", err)
		}
		if all, err := r.store.LoadStreams(context.Background()); err != nil || len(all) > 1 {
			t.Errorf("%d rows are kept, %v", len(all), err)
		}
		r.live("cam-7", "F2") // and it can come again
		r.wantOn("nvr@cam-7")
	})
}
