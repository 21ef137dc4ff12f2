package machine

import (
	"iter"
	"math"
	"time"

	"github.com/oncue/oncue/controller"
)

// Policy is what the configuration says of one stream. The machine only reads it; a reload replaces
// it.
type Policy struct {
	Stream  controller.StreamID
	Matches []string // what * and ? matched, for a stream that comes from a pattern
	Pattern string   // that pattern, with the account; "" for a stream that the configuration names
	Rank    int      // 1 goes first when limits keep streams off
	Helper  bool     // it publishes nothing: encoders of streams need it to be on; see helper.go
	Keeps   []string // of a helper: those that are not stopped before it is off

	AttemptHold  time.Duration // demand kept after the last ViewerAttempt while the stream is off
	StartTimeout time.Duration // from start to confirmed live
	JoinTimeout  time.Duration // live, and nobody has joined yet
	IdleTimeout  time.Duration // live, and the last viewer has left
	StopTimeout  time.Duration // from stop to confirmed gone
	MinUptime    time.Duration // once live, stay up at least this long
	MaxUptime    time.Duration // 0: no cap. Holds and schedules are a person's word and not capped
	Cooldown     time.Duration // after a stop, viewers are ignored this long

	Confirm          Confirm
	Unmanaged        Unmanaged
	KeepElsewhere    bool // once live, stay up: it is re-streamed or recorded, and nobody tells who watches there
	Several          Several
	FailoverAfter    int // deaths of a live encoder before failover moves on
	MaxStartsPerHour int // wakes by viewers; 0: no cap
	MaxInstances     int // of a pattern: streams at once; 0: no cap
	Restart          Restart

	Encoders  []EncoderSpec     // in the order of the configuration
	Cover     *EncoderSpec      // none of Encoders; publishes below them. nil: none
	Needs     map[string][]Need // by encoder: the helpers that have to be ready before its start, in this order
	Schedule  *Schedule         // nil: none
	CanAsk    bool              // the platform's API can be asked
	ForceStop bool              // the platform may be told to disconnect a feed that outlives its encoder
}

// Instance tells one encoder apart from all others, whatever the configuration calls it today. A
// run belongs to the instance that was started.
type Instance struct {
	Driver string `json:"driver,omitempty"`
	Device string `json:"device,omitempty"` // two streams that share a device take turns
}

// EncoderSpec is one encoder as one stream sees it.
type EncoderSpec struct {
	Name string
	Instance
	Version string // changes with its settings; "" means the settings that the instance was opened with last
	Watched bool   // also when it is idle: people may switch it on at the box, or it keeps something ready
	Shared  bool   // other streams of the configuration use the device, too
	Cost    int    // what it counts for in the limit of the host

	Publishes *Contribution // nil: it is not known, for its own settings say
}

// Need is a helper that an encoder needs.
type Need struct {
	Helper string
	Within time.Duration // a start waits no longer for it
}

// All are the encoders of the stream, and at last its cover, if it has one.
func (p *Policy) All() iter.Seq[*EncoderSpec] {
	return func(yield func(*EncoderSpec) bool) {
		for i := range p.Encoders {
			if !yield(&p.Encoders[i]) {
				return
			}
		}
		if p.Cover != nil {
			yield(p.Cover)
		}
	}
}

// Encoder returns the encoder of that name, which may be the cover, or nil.
func (p *Policy) Encoder(name string) *EncoderSpec {
	if p.Cover != nil && p.Cover.Name == name {
		return p.Cover
	}
	for i := range p.Encoders {
		if p.Encoders[i].Name == name {
			return &p.Encoders[i]
		}
	}
	return nil
}

// Confirm says whose word makes a stream live.
type Confirm string

const (
	ConfirmFeed    Confirm = "feed"    // the platform's
	ConfirmEncoder Confirm = "encoder" // the encoder's
	ConfirmSwitch  Confirm = "switch"  // the encoder's, though it says only that it is switched on
)

// Unmanaged says what to do with a broadcast that somebody else started.
type Unmanaged string

const (
	Observe Unmanaged = "observe" // leave it alone
	Adopt   Unmanaged = "adopt"   // treat it as ours from now on
)

// Several says how the encoders of one stream share the work.
type Several string

const (
	AllEncoders Several = "all"
	Failover    Several = "failover"
)

// Restart is the backoff between tries of a failing encoder.
type Restart struct {
	Initial     time.Duration
	Max         time.Duration
	Factor      float64
	ResetAfter  time.Duration // healthy for this long: the next failure counts as the first
	GiveUpAfter int           // failures in a row; 0: never
}

// Delay is the wait after the given failure in a row, counted from 1. roll is in [0,1) and spreads
// it by a quarter to either side.
func (r Restart) Delay(failure int, roll float64) time.Duration {
	d := float64(r.Initial) * math.Pow(max(r.Factor, 1), float64(failure-1))
	if r.Max > 0 {
		d = min(d, float64(r.Max))
	}
	return time.Duration(d * (0.75 + roll/2))
}
