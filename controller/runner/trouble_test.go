package runner_test

import (
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders/fake"
)

// What failed stays in sight when its viewer has given up, over a restart, until the encoder is
// live again or another is in its place.
func TestTroubleOutlivesItsViewer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"), spec("stage", "other"))
		r.settings["cam"] = fake.Settings{StartError: "connection refused"}
		r.boot()
		if v := r.view("lobby"); v.Trouble != nil {
			t.Errorf("a new stream has the trouble %+v", v.Trouble)
		}
		begun := time.Now()
		r.hook(controller.HookAttempt, "lobby")
		r.pass(5 * time.Second)
		tries := r.view("lobby").Starts
		if tries < 3 {
			t.Fatalf("%d tries", tries)
		}
		r.pass(time.Minute)
		r.want("lobby", controller.PhaseIdle)
		said := r.view("lobby").Trouble
		if said == nil || said.Encoder != "cam" || said.Text != "connection refused" || said.Count < tries ||
			said.Since.Sub(begun) > time.Second || !said.Last.After(said.Since.Time) {
			t.Fatalf("the trouble of an idle stream is %+v", said)
		}
		if v := r.view("lobby"); v.Savings.Wakes != 1 || v.Savings.Wasted != 1 || v.Starts < tries {
			t.Errorf("%d starts are %d wakes, %d wasted", v.Starts, v.Savings.Wakes, v.Savings.Wasted)
		}
		if v := r.view("stage"); v.Trouble != nil {
			t.Errorf("the other stream has the trouble %+v", v.Trouble)
		}

		r.end(false)
		r.settings["cam"] = fake.Settings{}
		r.boot()
		if got := r.view("lobby").Trouble; got == nil || got.Count != said.Count || !got.Since.Equal(said.Since.Time) {
			t.Fatalf("after a restart the trouble is %+v, before it was %+v", got, said)
		}
		r.live("lobby", "F1")
		if v := r.view("lobby"); v.Trouble != nil {
			t.Errorf("a live stream has the trouble %+v", v.Trouble)
		}
		r.leave("lobby", "F1")
		r.end(false)
	})
}

// A stream that nobody has ever asked for saves from when it was first known, whatever its encoder,
// and goes on to after a restart.
func TestSavingsCountFromTheStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"), spec("pair", "a", "b"))
		begun := time.Now()
		r.boot()
		avoided := func(name string, want time.Duration) {
			t.Helper()
			s := r.view(name).Savings
			if got := time.Duration(s.AvoidedS * float64(time.Second)); (got - want).Abs() > time.Second {
				t.Errorf("%s has avoided %v, want %v", name, got, want)
			}
			if s.Since.Sub(begun).Abs() > time.Second {
				t.Errorf("%s counts since %v, want %v", name, s.Since, begun)
			}
		}
		r.pass(time.Hour)
		avoided("lobby", time.Hour)
		avoided("pair", 2*time.Hour)
		r.end(false)
		r.pass(time.Hour)
		r.boot()
		avoided("lobby", 2*time.Hour)
		for _, v := range r.c.Streams() {
			if !v.Since.Equal(r.view(v.Name).Savings.Since.Time) {
				t.Errorf("%s is idle since %v", v.ID, v.Since)
			}
		}

		// The first viewer takes nothing of it away.
		r.live("lobby", "F1")
		r.leave("lobby", "F1")
		v := r.view("lobby")
		avoided("lobby", 2*time.Hour+time.Since(begun.Add(2*time.Hour))-time.Duration(v.Savings.RunS*float64(time.Second)))

		// A stream that comes later counts from then; one that goes and comes back, anew.
		r.reload(spec("lobby", "cam"), spec("late", "x"))
		r.pass(time.Hour)
		if got := r.view("late").Savings.AvoidedS; got != 3600 {
			t.Errorf("a stream of a reload has avoided %v s after an hour", got)
		}
		// The wall clock is set: what was avoided stays what it was.
		before := r.view("late").Savings.AvoidedS
		r.wall.Store(int64(48 * time.Hour))
		r.pass(5 * time.Second)
		if got := r.view("late").Savings.AvoidedS - before; got < 4 || got > 6 {
			t.Errorf("setting the clock makes %v s of 5 s", got)
		}
		r.end(false)
	})
}
