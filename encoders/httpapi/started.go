package httpapi

import (
	"time"

	"github.com/oncue/oncue/encoders"
)

// claim is the memory of a start: which stream and run asked for what the box does now. It is on disk before the start is sent and until
// the box has confirmed a stop, so that a controller that was killed in between neither starts twice nor takes its own stream for
// somebody else's. The zero claim says that the box is on for none of us.
type claim struct {
	Stream   string    `json:"stream"` // stream id
	Run      string    `json:"run"`
	At       time.Time `json:"at"`                 // when it was asked for
	Taken    bool      `json:"taken,omitempty"`    // the box has answered that it starts
	Live     bool      `json:"live,omitempty"`     // was seen on since
	Stopping bool      `json:"stopping,omitempty"` // a stop was sent and not confirmed
	Ended    ending    `json:"ended,omitempty"`
	Why      string    `json:"why,omitempty"` // of Ended, in words
}

// ending is how a run ended without us.
type ending string

const (
	notEnded ending = ""
	byHand   ending = "hand"
	byItself ending = "failure"
)

// pending reports whether the box was asked to start and need not show it yet.
func (c claim) pending(settle time.Duration) bool {
	return c.Stream != "" && !c.Live && c.Ended == notEnded && !c.Stopping && time.Since(c.At) < settle
}

const claimFile = "started.json"

// keep is the claim on disk from now on; the zero claim leaves none.
func (c claim) keep(dir string) error {
	if c == (claim{}) {
		return encoders.Forget(dir, claimFile)
	}
	return encoders.Remember(dir, claimFile, c)
}
