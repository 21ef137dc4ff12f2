package machine_test

import (
	"fmt"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
)

// A viewer finds the stream off, and a minute after the last one has left its encoder is stopped.
// This is what a stream's goroutine does, without the store between decision and act.
func ExampleDecide() {
	policy := machine.Policy{
		AttemptHold: 45 * time.Second, StartTimeout: 30 * time.Second,
		JoinTimeout: 90 * time.Second, IdleTimeout: time.Minute,
		StopTimeout: 10 * time.Second, Confirm: machine.ConfirmFeed, Unmanaged: machine.Observe,
		Encoders: []machine.EncoderSpec{{Name: "cam"}},
	}
	begin := time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC)
	var state machine.State
	var tell func(ev machine.Event, now time.Time)
	tell = func(ev machine.Event, now time.Time) {
		next, actions := machine.Decide(state, ev, &policy, now, 0.5)
		state = next // save it here, before anything is done
		for _, a := range actions {
			switch a := a.(type) {
			case machine.Claim: // nobody else has the encoder
				tell(machine.Claimed{Encoder: a.Encoder, OK: true, For: ev.Label()}, now)
			case machine.StartEncoder:
				fmt.Println("start", a.Encoder)
			case machine.StopEncoder:
				fmt.Println("stop", a.Encoder)
			case machine.Tell:
				fmt.Printf("%v: %s\n", a.At.Sub(begin), a.Reason)
			}
		}
	}
	hook := func(after time.Duration, kind controller.HookKind) {
		now := begin.Add(after)
		feed := controller.Feed{ID: "F1", Started: controller.ByPlatform(now)}
		tell(controller.Hook{Kind: kind, At: controller.ByPlatform(now), Received: now, Feed: feed}, now)
	}

	hook(0, controller.HookAttempt)
	hook(2*time.Second, controller.HookFeedStarted)
	hook(5*time.Second, controller.HookFirstViewer)
	hook(10*time.Minute, controller.HookNoViewers)
	fmt.Println("decide again at", state.Deadline.Sub(begin))
	tell(machine.Timer{}, state.Deadline)

	// Output:
	// start cam
	// 0s: a viewer is waiting
	// 2s: live, and waiting for the first viewer to join
	// 5s: the first viewer is in
	// 10m0s: nobody is watching
	// decide again at 11m0s
	// stop cam
	// 11m0s: nobody has watched for 1m
}
