// Package encodertest is the suite that every driver passes. A driver's test makes a [Harness] and
// calls [Run]:
//
//	encodertest.Run(t, encodertest.Harness{New: func(t *testing.T) encodertest.Rig {
//		box := newBox(t)
//		return encodertest.Rig{Encoder: open(t, box), Copies: box.copies, Die: box.crash}
//	}})
//
// The box may be a real one or one of the driver's own making. Leave nil what a harness cannot do;
// the parts of the suite that need it are skipped.
package encodertest

import (
	"cmp"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
)

// Canary is the text that must never be seen. It is in the publishing URL of [NewJob]; a harness
// puts it into the passwords of its box too.
const Canary = "canary0d9f51secret"

// Harness says how to make an encoder under test, and how quick its box is.
type Harness struct {
	// New makes a stopped box and an encoder for it, fresh for each part of the suite. It cleans up
	// with t.Cleanup; the suite closes the encoder before that. Nothing may be left running
	// afterwards: the suite counts goroutines.
	New func(t *testing.T) Rig

	// Live is how long a start may take to be seen publishing; 0 means 10 s.
	Live time.Duration
	// Gone is how long a stop may take; 0 means 10 s.
	Gone time.Duration
	// Soon is how long a call may outlive its context, and how long a fault may take to be seen; 0
	// means 5 s.
	Soon time.Duration

	// EchoesRun is set when Status tells the Run of the start it belongs to.
	EchoesRun bool
	// OneStream is set when the driver can tell streams apart, so that a start for another stream
	// while it is on is ErrBusy.
	OneStream bool
	// AtOnce is set when the parts of the suite may run at once, which is shorter where they wait
	// for processes. Goroutines are then counted after all of them.
	AtOnce bool
}

// Rig is one encoder with its box. Only Encoder is required.
type Rig struct {
	Encoder encoders.Encoder
	Job     encoders.Job // what to publish; the zero Job means NewJob("")
	Secrets []string     // texts that must not be seen, apart from Canary

	Copies      func() int                                    // how many copies publish at the box now
	Waiting     func() int                                    // how many processes are kept ready for a start
	Reopen      func(t *testing.T) encoders.Encoder           // opens the box again, after the first encoder is closed
	Die         func(t *testing.T)                            // makes the publishing encoder end by itself
	Unreachable func(t *testing.T)                            // makes the box unreachable for good
	Freeze      func(t *testing.T)                            // makes the box never answer a call, until t.Cleanup
	Press       func(t *testing.T, job encoders.Job, on bool) // a person starts or stops at the box
}

// NewJob returns a job for stream ABC123/lobby with Canary in its publishing URL. An empty url
// means one that leads nowhere.
func NewJob(url string) encoders.Job {
	if url == "" {
		url = "rtmps://127.0.0.1:1/v2/pub/lobby?token=" + Canary
	}
	return encoders.Job{Account: "ABC123", Name: "lobby", Publish: secret.New(url), Run: "run1", Grace: 5 * time.Second}
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	h.Live, h.Gone, h.Soon = cmp.Or(h.Live, 10*time.Second), cmp.Or(h.Gone, 10*time.Second),
		cmp.Or(h.Soon, 5*time.Second)
	if h.AtOnce {
		countGoroutines(t)
	}
	for _, part := range []struct {
		name string
		run  func(*bench)
	}{
		{"stopped at first", (*bench).stoppedAtFirst},
		{"start publishes", (*bench).startPublishes},
		{"start twice makes one copy", (*bench).startTwice},
		{"stop ends it", (*bench).stopEnds},
		{"start again after a stop", (*bench).startAgain},
		{"another stream", (*bench).anotherStream},
		{"cancelled context", (*bench).cancelled},
		{"watch tells changes", (*bench).watch},
		{"many callers", (*bench).manyCallers},
		{"no secret is seen", (*bench).noSecret},
		{"survives the controller", (*bench).reopen},
		{"close ends what waits", (*bench).closeEndsWaiting},
		{"dies by itself", (*bench).dies},
		{"cannot be asked", (*bench).unreachable},
		{"never answers", (*bench).frozen},
		{"by hand", (*bench).byHand},
	} {
		t.Run(part.name, func(t *testing.T) {
			if h.AtOnce {
				t.Parallel()
			} else {
				countGoroutines(t)
			}
			part.run(newBench(t, h))
		})
	}
}

// spareRoom is the thread that a sandbox keeps for its next process.
var spareRoom = goleak.IgnoreAnyFunction("github.com/oncue/oncue/encoders/sandbox.(*room).use")

// countGoroutines fails the test if there are more in the end than now. Cleanups run last first, so
// it comes after those of all that is opened later.
func countGoroutines(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		if !t.Failed() {
			goleak.VerifyNone(t, before, spareRoom)
		}
	})
}

// newBench opens one rig.
func newBench(t *testing.T, h Harness) *bench {
	b := &bench{T: t, h: h, Rig: h.New(t)}
	if b.Job.Name == "" {
		b.Job = NewJob("")
	}
	if r, ok := b.Encoder.(encoders.Readier); ok {
		r.KeepReady(b.Job, true)
	}
	t.Cleanup(func() { b.end() })
	return b
}
