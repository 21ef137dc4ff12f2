package runner_test

import (
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/encoders"
)

// TestCoverUnderLimit: a cover counts for limits.running, and gives its place to another stream's
// encoder, which does not wait for it.
func TestCoverUnderLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		covered := spec("gala", "cam")
		high, low := 100, 99
		covered.Policy.Encoders[0].Publishes = &machine.Contribution{Priority: &high}
		covered.Policy.Cover = &machine.EncoderSpec{
			Name: "slate", Instance: machine.Instance{Driver: "fake", Device: "slate"},
			Publishes: &machine.Contribution{Priority: &low},
		}
		r := newRig(t, covered, spec("talk", "obs"))
		r.limits.Running = 2
		r.boot()
		defer r.end(false)
		state := func(encoder int) encoders.State { return r.view("gala").Encoders[encoder].State }
		r.hook(controller.HookAttempt, "gala")
		r.pass(time.Second)
		r.want("gala", controller.PhaseStarting)
		if got := state(1); got != encoders.StatePublishing {
			t.Fatalf("the cover is %s", got)
		}
		r.hook(controller.HookAttempt, "talk")
		r.want("talk", controller.PhaseStarting)
		r.pass(time.Second)
		if got := state(1); got != encoders.StateStopped {
			t.Errorf("the cover is %s, and another stream's encoder has its place", got)
		}
		if got := state(0); got.Gone() {
			t.Errorf("the encoder of the covered stream is %s", got)
		}
		r.hook(controller.HookFeedStarted, "talk", "F")
		r.hook(controller.HookFirstViewer, "talk")
		r.want("talk", controller.PhaseLive)
		r.pass(time.Second)
		r.want("gala", controller.PhaseStarting)
	})
}
