package runner_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
)

func (r *rig) demand(name, by string, lasts time.Duration) (controller.StreamView, error) {
	return r.c.SetDemand(context.Background(), controller.StreamID("ACC/"+name),
		controller.DemandRequest{By: by, For: lasts})
}

// TestDemand: somebody's demand starts a stream, is renewed, outlives a kill from the moment of its
// answer on, and ends by itself.
func TestDemand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		v, err := r.demand("lobby", "player", time.Minute)
		if err != nil || v.Phase != controller.PhaseStarting || v.Reason != "wanted by player" || len(v.Demand) != 1 {
			t.Fatalf("%+v %v", v, err)
		}
		r.pass(time.Second)
		r.hook(controller.HookFeedStarted, "lobby", "F1")
		r.want("lobby", controller.PhaseLive)
		r.pass(10 * time.Second) // the state is saved, whatever it takes
		if _, err := r.demand("lobby", "player", 10*time.Minute); err != nil {
			t.Fatal(err)
		}
		until := time.Now().Add(10 * time.Minute)
		if !strings.Contains(r.saved(), until.Format(time.RFC3339)[:19]) {
			t.Errorf("the renewal is answered, and not saved: %s", r.saved())
		}
		r.refuses(errors.New("killed")) // nothing that it does from now on is stored
		r.end(false)
		r.refuses(nil)
		r.boot()
		r.pass(time.Minute)
		if v := r.view("lobby"); len(v.Demand) != 1 || !v.Demand[0].Until.Equal(until) || !v.Wanted {
			t.Errorf("after a kill: %+v", v)
		}
		r.pass(9 * time.Minute)
		r.want("lobby", controller.PhaseLingering)
		r.end(false)
	})
}

// TestDemandIsBounded: a stream has so many leases, and a pattern so many names. Nobody makes a
// stream by ending a lease.
func TestDemandIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.pattern = cameras
		r.boot()
		for i := range machine.LeaseLimit {
			if _, err := r.demand("lobby", fmt.Sprint("page ", i), time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.demand("lobby", "one more", time.Minute); !errors.Is(err, controller.ErrFull) {
			t.Error(err)
		}
		if _, err := r.demand("lobby", "page 7", time.Hour); err != nil {
			t.Error("a renewal:", err)
		}
		for i := range 3 {
			if _, err := r.demand(fmt.Sprint("cam-", i), "page", time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.demand("cam-9", "page", time.Minute); !errors.Is(err, controller.ErrFull) {
			t.Error(err)
		}
		for _, name := range []string{"loby", "cam-8"} {
			if _, err := r.demand(name, "page", 0); !errors.Is(err, controller.ErrUnknownStream) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := r.demand("loby", "page", time.Minute); !errors.Is(err, controller.ErrUnknownStream) {
			t.Error(err)
		}
		r.pass(2 * time.Minute)
		if v := r.view("lobby"); len(v.Demand) != 1 || v.Demand[0].By != "page 7" {
			t.Errorf("%+v", v.Demand)
		}
		r.end(true)
	})
}
