package runner_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/runner"
	"github.com/oncue/oncue/encoders"
)

// TestModes: a person's word is there at once, outlives a restart, and ends by itself.
func TestModes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		ctx := context.Background()
		v, err := r.c.SetMode(ctx, "ACC/lobby", controller.ModeRequest{Mode: controller.ModeOn, For: time.Hour,
			By: "anna", Why: "rehearsal"})
		if err != nil || v.Mode != controller.ModeOn || v.Phase != controller.PhaseStarting || *v.ModeBy != "anna" {
			t.Fatalf("%+v %v", v, err)
		}
		r.pass(time.Minute)
		r.end(false)
		r.boot()
		r.pass(time.Second)
		if v := r.view("lobby"); v.Mode != controller.ModeOn || !v.Wanted {
			t.Errorf("after a restart the mode is %s", v.Mode)
		}
		r.pass(time.Hour)
		if v := r.view("lobby"); v.Mode != controller.ModeAuto || v.Wanted {
			t.Errorf("after an hour the mode is %s, wanted %v", v.Mode, v.Wanted)
		}
		for _, bad := range []controller.ModeRequest{{Mode: "maybe"}, {Mode: controller.ModeOn, For: -1},
			{Mode: controller.ModeAuto, For: time.Hour}} {
			if _, err := r.c.SetMode(ctx, "ACC/lobby", bad); !errors.Is(err, controller.ErrInvalid) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		_, err = r.c.SetMode(ctx, "ACC/loby", controller.ModeRequest{Mode: controller.ModeOn})
		if !errors.Is(err, controller.ErrUnknownStream) {
			t.Error(err)
		}
		r.end(false)
	})
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
