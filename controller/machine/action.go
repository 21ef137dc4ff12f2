package machine

import (
	"time"

	"github.com/oncue/oncue/controller"
)

// An Action is what the machine wants done. The runner does it after the state that wants it is
// saved; each may be done again after a crash.
type Action interface{ action() }

type (
	// StartEncoder begins an encoder's Start; StartDone follows. Adopt: what is on already is made
	// this run.
	StartEncoder struct {
		Encoder  string
		Instance Instance
		Run      string
		Adopt    bool
	}
	// StopEncoder begins an encoder's Stop; StopDone follows.
	StopEncoder struct {
		Encoder  string
		Instance Instance
		Run      string
	}
	// Claim asks for the sole use of an encoder; Claimed follows at once. Running: it is on already,
	// so no limit forbids it. A claim is given back by a state that does not have it any more.
	Claim struct {
		Encoder string
		Running bool
	}
	// Ask asks the platform about the stream; Polled or AskFailed follows.
	Ask struct{}
	// Disconnect tells the platform to close the stream's feeds.
	Disconnect struct{}
	// Notify tells people.
	Notify struct{ Kind, Text string }
	// Waited tells metrics how long somebody waited who asked for the stream.
	Waited struct {
		Until controller.WaitEnd
		Took  time.Duration
	}
	// Tell adds a line to the stream's history.
	Tell struct{ controller.Transition }
)

func (StartEncoder) action() {}
func (StopEncoder) action()  {}
func (Claim) action()        {}
func (Ask) action()          {}
func (Disconnect) action()   {}
func (Notify) action()       {}
func (Waited) action()       {}
func (Tell) action()         {}
