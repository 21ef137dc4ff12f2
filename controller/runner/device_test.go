package runner_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/controller/runner"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/fake"
	"github.com/oncue/oncue/store"
)

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

// TestDriverOpensSlowly: while the driver of one encoder opens, which may read files and processes
// of a slow disk, hooks of all streams are taken and the others start. Whoever waits for a lock is
// unknown to a bubble of simulated time, so this runs in real time.
func TestDriverOpensSlowly(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	st, err := store.Open(ctx, store.Options{Dir: filepath.Join(t.TempDir(), "data")})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	r := newRig(t, spec("lobby", "slow"), spec("foyer", "fast"))
	r.boxes = map[string]*fake.Encoder{}
	opening, opens := make(chan struct{}), make(chan struct{})
	started := make(chan struct{})
	c := runner.New(runner.Config{Find: r.find, Streams: r.specs, Accounts: r.accounts, Store: st,
		Open: func(e machine.EncoderSpec, job encoders.Job) (encoders.Encoder, string, error) {
			if e.Device == "slow" {
				close(opening)
				<-opens
			} else {
				close(started)
			}
			return r.open(e, job)
		}})
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer c.Stop(ctx, false)
	defer close(opens)
	take := func(name string, n int) {
		h := controller.Hook{Kind: controller.HookAttempt, Account: "ACC", Name: name,
			At: controller.ByPlatform(r.begun.Add(time.Duration(n))), Received: r.begun}
		if _, _, err := c.Take(ctx, recordOf(h), h); err != nil {
			t.Fatal(name, err)
		}
	}
	take("lobby", 1)
	<-opening
	alive, cancelAlive := context.WithTimeout(ctx, 10*time.Second)
	defer cancelAlive()
	if err := c.Pulse(alive); err != nil {
		t.Fatal(err)
	}
	take("foyer", 1)
	take("lobby", 2)
	select {
	case <-started:
	case <-ctx.Done():
		t.Error("the other encoder is not started")
	}
}
