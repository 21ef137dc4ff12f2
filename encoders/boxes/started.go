package boxes

import (
	"time"

	"github.com/oncue/oncue/encoders"
)

// Started remembers a start: which stream and run asked for what the box does now. It is saved
// before the start is sent, and removed once the box has confirmed a stop. So a controller that was
// killed in between neither starts the box twice nor takes its own stream for somebody else's. The
// zero value says that the box is on for none of our streams.
type Started struct {
	Stream   string    `json:"stream"` // stream id
	Run      string    `json:"run"`
	At       time.Time `json:"at"`                 // when it was asked for
	Accepted bool      `json:"taken,omitempty"`    // the box has accepted the start
	Live     bool      `json:"live,omitempty"`     // it was seen on since
	Stopping bool      `json:"stopping,omitempty"` // a stop was sent and not confirmed
	Off      bool      `json:"off,omitempty"`      // the box has accepted the stop
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
func (c Started) pending(settle time.Duration) bool {
	return c.Stream != "" && !c.Live && c.Ended == notEnded && !c.Stopping && time.Since(c.At) < settle
}

const startedFile = "started.json"

// save writes c to the encoder's folder; the zero value leaves no file.
func (c Started) save(dir string) error {
	if c == (Started{}) {
		return encoders.Forget(dir, startedFile)
	}
	return encoders.Remember(dir, startedFile, c)
}
