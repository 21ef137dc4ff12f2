package machine

import (
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

// Needer is a stream, or another helper, that needs a helper. A need that ends and begins again has
// a higher number.
type Needer struct {
	ID     controller.StreamID
	Number uint64
}

// An Event is something that happened to a stream. Decide merges it into the state; none of them is
// a command that must be obeyed, and each may come late, twice or not at all.
type Event interface {
	// Label is the short name that history shows.
	Label() string
}

type (
	// Polled is the platform's answer about the stream; Asked is when the question left.
	Polled struct {
		Asked   time.Time
		Live    bool
		Viewers int
	}
	// AskFailed says that the platform could not be asked. Refused: it will not answer until somebody
	// repairs the API secret.
	AskFailed struct {
		Asked   time.Time
		Refused bool
		Text    string
	}
	// EncoderSeen is a look at one encoder; a look at another instance than the stream uses now says
	// nothing.
	EncoderSeen struct {
		Encoder  string
		Instance Instance
		Version  string // of the settings that the driver was opened with
		Status   encoders.Status
	}
	// Leftover says that an encoder was found running for the stream, and that nothing in the store
	// told of it.
	Leftover struct {
		Encoder  string
		Instance Instance
		Status   encoders.Status
	}
	// StartDone and StopDone end the calls that the actions of the same name began. Run tells late
	// ones apart.
	StartDone struct {
		Encoder, Run string
		Err          string // "" when done
		Busy         bool   // it is on, and not at this stream's word: nothing was done
		Permanent    bool
		Doubt        bool // it failed, but the box may have heard it
	}
	StopDone struct {
		Encoder, Run string
		Err          string
		Hopeless     bool // it can never be stopped: the encoder is no longer known
	}
	// Claimed answers a Claim: the encoder is ours to use, or Holder has it and Freed will follow.
	Claimed struct {
		Encoder string
		OK      bool
		Holder  string // stream id, or words for a limit
		For     string // label of the event that made the claim
	}
	// Freed says that it is our turn at a device: whoever still waits for it claims it again.
	Freed struct{ Device string }
	// Contended says that another stream waits for the encoder that we hold; By is "" when it has
	// stopped waiting. First: it goes before a stream of a pattern that nobody has watched yet.
	// Outranked: it goes before this one, whoever watches.
	Contended struct {
		By        string
		First     bool
		Outranked bool
	}
	// HelperSeen says how a helper is that an encoder of this stream needs, by the helper's own
	// machine and after it was told of the need.
	HelperSeen struct {
		Helper string
		Ready  bool
		Error  string // why it is not ready, and will not be soon; "": it may be
	}
	// Needed tells a helper who needs it from now on, and who keeps it on if it is on.
	Needed struct {
		By   []Needer // those that came first are the first
		Kept []controller.StreamID
	}
	// Yield says that To needs the place which our cover has.
	Yield struct{ Device, To string }
	// ModeSet is a person's word. Until is zero for "until further notice".
	ModeSet struct {
		Mode  controller.Mode
		Until time.Time
		By    string
		Why   string
	}
	// Leased begins, renews or, with a zero Until, ends a lease. One more than LeaseLimit is not
	// taken.
	Leased Lease
	// Timer says that the deadline has come.
	Timer struct{}
	// Booted is the first event after the controller's start: what encoders do is not known yet.
	Booted struct{}
	// Reloaded says that the policy is another one.
	Reloaded struct{}
	// TokenChanged says that there is another publishing token, or that the one there is has become
	// good: what failed for want of it is worth another try.
	TokenChanged struct{}
	// Drained says that the stream is no longer in the configuration. Deaf: neither is its account, so
	// nobody will say who watches.
	Drained struct{ Deaf bool }
)

func (Polled) Label() string       { return "poll" }
func (AskFailed) Label() string    { return "poll failed" }
func (EncoderSeen) Label() string  { return "encoder" }
func (Leftover) Label() string     { return "encoder" }
func (StartDone) Label() string    { return "start" }
func (StopDone) Label() string     { return "stop" }
func (c Claimed) Label() string    { return c.For }
func (Freed) Label() string        { return "claim" }
func (Contended) Label() string    { return "contended" }
func (HelperSeen) Label() string   { return "helper" }
func (Needed) Label() string       { return "needed" }
func (Yield) Label() string        { return "claim" }
func (ModeSet) Label() string      { return "mode" }
func (Leased) Label() string       { return "demand" }
func (Timer) Label() string        { return "timer" }
func (Booted) Label() string       { return "boot" }
func (Reloaded) Label() string     { return "reload" }
func (TokenChanged) Label() string { return "token" }
func (Drained) Label() string      { return "reload" }
