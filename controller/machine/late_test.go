package machine

import (
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

// TestLookFromBeforeTheStop: a look that was made before a stop and is told after it takes nothing
// over.
func TestLookFromBeforeTheStop(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := &Policy{
		AttemptHold: 45 * time.Second, StartTimeout: 30 * time.Second, StopTimeout: 10 * time.Second,
		Several: AllEncoders, Encoders: []EncoderSpec{{Name: "cam"}},
	}
	var s State
	var acts []Action
	step := func(ev Event) {
		s, acts = Decide(s, ev, p, now, 0.5)
		for _, a := range acts {
			if c, ok := a.(Claim); ok {
				s, acts = Decide(s, Claimed{Encoder: c.Encoder, OK: true}, p, now, 0.5)
			}
		}
	}
	step(ModeSet{Mode: controller.ModeOn})
	run := s.Encoder("cam").Run
	look := EncoderSeen{Encoder: "cam", Status: encoders.Status{State: encoders.StatePublishing, Run: run}}
	step(StartDone{Encoder: "cam", Run: run})
	step(look)
	step(ModeSet{Mode: controller.ModeOff})
	step(StopDone{Encoder: "cam", Run: run})
	step(look)
	if e := s.Encoder("cam"); e.On() || s.Phase != controller.PhaseIdle {
		t.Errorf("%s: %s %+v", s.Phase, s.Reason, e)
	}
}

// TestJournalTellsAnOldEnd: the end of a feed comes before its begin in the journal, and both are
// taken again when the daemon has been away for an hour. The feed stays closed.
func TestJournalTellsAnOldEnd(t *testing.T) {
	then := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := then.Add(time.Hour)
	var s State
	p := &Policy{Encoders: []EncoderSpec{{Name: "cam"}}}
	for _, kind := range []controller.HookKind{controller.HookFeedEnded, controller.HookFeedStarted} {
		at := controller.ByPlatform(then)
		feed := controller.Feed{ID: "F1", Started: at}
		s, _ = Decide(s, controller.Hook{Kind: kind, At: at, Received: then, Feed: feed, Again: true}, p, now, 0.5)
		s, _ = Decide(s, Timer{}, p, now, 0.5)
	}
	if len(s.Facts.Feeds) != 1 || s.Facts.Feeds[0].Open() || s.Phase != controller.PhaseIdle {
		t.Errorf("%s: %+v", s.Phase, s.Facts.Feeds)
	}
}
