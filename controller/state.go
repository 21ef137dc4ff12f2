package controller

import (
	"slices"
	"time"

	"github.com/oncue/oncue/encoders"
)

// State is all that the machine knows of one stream. It is a value: Decide takes one and gives the next. It is stored as JSON; fields that
// describe only the present process (what was seen since boot, calls in flight) are not.
type State struct {
	Facts  Facts  `json:"facts"`
	Hold   Hold   `json:"hold,omitzero"`
	Window Window `json:"window,omitzero"`

	Phase   Phase     `json:"phase"`
	Since   time.Time `json:"since,omitzero"`
	Reason  string    `json:"reason"`
	Wanted  bool      `json:"wanted"`
	Managed bool      `json:"managed"` // what runs is ours

	Deadline time.Time `json:"deadline,omitzero"` // the next moment at which something may change by itself
	Does     string    `json:"does,omitempty"`    // what it will do then

	Episode     time.Time   `json:"episode,omitzero"`      // since when we keep the stream up; zero: we do not
	ForViewers  bool        `json:"for_viewers,omitempty"` // it was begun by viewers, not by a person or the schedule
	ProofAfter  time.Time   `json:"proof_after,omitzero"`  // signs of life older than this belong to an earlier run
	LiveSince   time.Time   `json:"live_since,omitzero"`   // of the present run; zero: not live
	FirstLive   time.Time   `json:"first_live,omitzero"`   // of the episode
	Joined      bool        `json:"joined,omitempty"`      // somebody watched in this episode
	JoinUntil   time.Time   `json:"join_until,omitzero"`   // how long to wait for the first viewer
	IdleFrom    time.Time   `json:"idle_from,omitzero"`    // a hold, a window or an adoption ended in nobody watching: idle_timeout counts from here at the earliest
	Unconfirmed bool        `json:"unconfirmed,omitempty"` // live by the encoder's word alone
	FeedLost    time.Time   `json:"feed_lost,omitzero"`    // our last feed ended while the encoder says it publishes
	GoneAt      time.Time   `json:"gone_at,omitzero"`      // when our last encoder was last known to be gone
	SpentAt     time.Time   `json:"spent_at,omitzero"`     // demand from before this is spent: a cap, or a person at the encoder
	Blocked     time.Time   `json:"blocked,omitzero"`      // since when viewers have been finding the stream off while somebody else's feed is believed to be open
	Wakes       []time.Time `json:"wakes,omitempty"`       // starts for viewers within the last hour

	Encoders []Enc `json:"encoders"`
	Active   int   `json:"active,omitempty"` // failover: which one is in use

	Asking      Question  `json:"-"`
	AskedStop   time.Time `json:"-"` // when a stop for idleness was first put to the platform
	StopOK      time.Time `json:"-"` // the platform agreed to a stop at this time
	ContendedBy string    `json:"-"`

	Starts   int    `json:"starts,omitempty"`
	Totals   Totals `json:"totals,omitzero"`
	Draining bool   `json:"draining,omitempty"`
	Anchor   string `json:"anchor,omitempty"` // Clock.Anchor when it was saved
}

// Hold is a person's word on the stream.
type Hold struct {
	Mode  Mode      `json:"mode,omitempty"` // "" is ModeAuto
	Until time.Time `json:"until,omitzero"`
	By    string    `json:"by,omitempty"`
	Why   string    `json:"why,omitempty"`
}

// Window is the schedule's word on the stream: "" when no window is open.
type Window struct {
	Do    Mode      `json:"do,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

// Totals are the sums behind Savings.
type Totals struct {
	From    time.Time     `json:"from,omitzero"` // when the stream was first seen
	At      time.Time     `json:"at,omitzero"`   // up to when the sums are made
	Run     time.Duration `json:"run,omitempty"`
	Watched time.Duration `json:"watched,omitempty"`
	Wasted  int           `json:"wasted,omitempty"`
}

// Question is what the platform is being asked, and since when.
type Question struct {
	Why   string // "start", "stop" or ""
	Since time.Time
}

// Step is where one encoder is in the machine's hands.
type Step string

const (
	StepOff      Step = "off"      // not wanted, known or believed to be gone
	StepWaiting  Step = "waiting"  // wanted, held by somebody else
	StepStarting Step = "starting" // told to start
	StepOn       Step = "on"       // live
	StepStopping Step = "stopping" // told to stop, not confirmed
	StepBackoff  Step = "backoff"  // failed; RetryAt says when it is tried again
	StepFailed   Step = "failed"   // given up until it is wanted anew
)

// Enc is one encoder of a stream in the machine's hands.
type Enc struct {
	Name      string    `json:"name"`
	Driver    string    `json:"driver,omitempty"` // of the last start: with Device it finds the encoder also when the stream is gone from the configuration
	Device    string    `json:"device,omitempty"`
	Step      Step      `json:"step"`
	Since     time.Time `json:"since,omitzero"`
	Run       string    `json:"run,omitempty"`
	StartedAt time.Time `json:"started_at,omitzero"`
	OnSince   time.Time `json:"on_since,omitzero"`
	Failures  int       `json:"failures,omitempty"` // in a row
	Deaths    int       `json:"deaths,omitempty"`   // in this episode, after it was live
	Restarts  int       `json:"restarts,omitempty"` // in this episode
	RetryAt   time.Time `json:"retry_at,omitzero"`
	StopAt    time.Time `json:"stop_at,omitzero"` // since when it is being stopped
	Then      Step      `json:"then,omitempty"`   // StepStopping: what follows it; "" is StepOff
	Doubt     bool      `json:"doubt,omitempty"`  // a start failed in such a way that the box may have heard it
	Alarmed   bool      `json:"alarmed,omitempty"`
	Claimed   bool      `json:"claimed,omitempty"`
	Error     string    `json:"error,omitempty"` // why it failed last

	Shown bool `json:"shown,omitempty"` // this run was seen on

	Known    bool            `json:"-"` // looked at since boot
	Calling  bool            `json:"-"` // a Start or Stop is in flight
	Boot     bool            `json:"-"` // Step is from before the controller's restart and not yet compared with the box
	StopNext time.Time       `json:"-"` // when an unconfirmed stop is tried again
	Holder   string          `json:"-"` // StepWaiting: who has it
	Seen     encoders.Status `json:"-"`
}

// on reports whether the encoder runs or may run at our word.
func (e *Enc) on() bool { return e.Step == StepStarting || e.Step == StepOn || e.Step == StepStopping }

// claiming reports whether the encoder is ours to use, or stands in the queue for us.
func (e *Enc) claiming() bool { return e.Claimed || e.Holder != "" }

// foreign reports whether the encoder runs, and not at our word.
func (e *Enc) foreign() bool {
	return e.Step != StepStarting && e.Step != StepOn && e.Step != StepStopping &&
		(e.Seen.State == encoders.StatePublishing || e.Seen.State == encoders.StateStarting || e.Seen.State == encoders.StateStalled)
}

func (s *State) enc(name string) *Enc {
	for i := range s.Encoders {
		if s.Encoders[i].Name == name {
			return &s.Encoders[i]
		}
	}
	return nil
}

// anyOn reports whether an encoder runs or may run at our word.
func (s *State) anyOn() bool {
	return slices.ContainsFunc(s.Encoders, func(e Enc) bool { return e.on() })
}

// over reports whether nothing runs, and nothing is wanted.
func (s *State) over() bool { return !s.anyOn() && s.Episode.IsZero() }

// clone makes a state whose slices are its own.
func (s State) clone() State {
	s.Encoders = slices.Clone(s.Encoders)
	s.Wakes = slices.Clone(s.Wakes)
	s.Facts.Feeds = slices.Clone(s.Facts.Feeds)
	return s
}

// fit makes the encoders of the state those of the policy: new ones are off, ones that are gone from the policy stay until they are off.
func (s *State) fit(p *Policy) {
	if s.Phase == "" {
		s.Phase = PhaseIdle
	}
	if !slices.EqualFunc(s.Encoders, p.Encoders, func(e Enc, r EncoderRef) bool { return e.Name == r.Name }) {
		s.Encoders = s.fitted(p.Encoders)
	}
	if s.Active >= max(len(p.Encoders), 1) {
		s.Active = 0
	}
}

func (s *State) fitted(policy []EncoderRef) []Enc {
	next := make([]Enc, 0, len(policy))
	for _, ref := range policy {
		if e := s.enc(ref.Name); e != nil {
			next = append(next, *e)
		} else {
			next = append(next, Enc{Name: ref.Name, Step: StepOff})
		}
	}
	for _, e := range s.Encoders {
		if !slices.ContainsFunc(policy, func(r EncoderRef) bool { return r.Name == e.Name }) && (e.on() || e.Claimed) {
			next = append(next, e)
		}
	}
	return next
}

// shift moves every time that was read off the machine's clock.
func (s *State) shift(by time.Duration) {
	for _, t := range []*time.Time{&s.Since, &s.Deadline, &s.Episode, &s.ProofAfter, &s.LiveSince, &s.FirstLive, &s.JoinUntil, &s.IdleFrom, &s.FeedLost, &s.GoneAt,
		&s.SpentAt, &s.Blocked, &s.Hold.Until, &s.Totals.From, &s.Totals.At, &s.Asking.Since, &s.AskedStop, &s.StopOK,
		&s.Facts.Attempt.Seen, &s.Facts.First.Seen, &s.Facts.NoViewers.Seen, &s.Facts.Poll.Asked, &s.Facts.Poll.ZeroSince, &s.Facts.Poll.OfflineSince} {
		move(t, by)
	}
	for i := range s.Wakes {
		move(&s.Wakes[i], by)
	}
	for i := range s.Encoders {
		e := &s.Encoders[i]
		for _, t := range []*time.Time{&e.Since, &e.StartedAt, &e.OnSince, &e.RetryAt, &e.StopAt, &e.StopNext} {
			move(t, by)
		}
	}
	for i := range s.Facts.Feeds {
		move(&s.Facts.Feeds[i].Seen, by)
		move(&s.Facts.Feeds[i].EndSeen, by)
	}
}

func move(t *time.Time, by time.Duration) {
	if !t.IsZero() {
		*t = t.Add(by)
	}
}
