package machine

import (
	"iter"
	"reflect"
	"slices"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

// State is all that the machine knows of one stream. It is a value: Decide takes one and gives the
// next. It is stored as JSON; fields that describe only the present process (what was seen since
// boot, calls in flight) are not.
type State struct {
	Facts  Facts   `json:"facts"`
	Hold   Hold    `json:"hold,omitzero"`
	Window Window  `json:"window,omitzero"`  // what the schedule said last
	Leases []Lease `json:"leases,omitempty"` // by name

	Phase   controller.Phase `json:"phase"`
	Since   time.Time        `json:"since,omitzero"`
	Reason  string           `json:"reason"`
	Wanted  bool             `json:"wanted"`
	Managed bool             `json:"managed"` // what runs is ours

	Deadline time.Time `json:"deadline,omitzero"` // the next moment at which something may change by itself
	Does     string    `json:"does,omitempty"`    // what it will do then

	Episode     time.Time   `json:"episode,omitzero"`      // since when we keep the stream up; zero: we do not
	ForViewers  bool        `json:"for_viewers,omitempty"` // it was begun by viewers, not by a person or the schedule
	ProofAfter  time.Time   `json:"proof_after,omitzero"`  // signs of life older than this belong to an earlier run
	LiveSince   time.Time   `json:"live_since,omitzero"`   // of the present run; zero: not live
	FirstLive   time.Time   `json:"first_live,omitzero"`   // of the episode
	Joined      bool        `json:"joined,omitempty"`      // somebody watched in this episode
	JoinUntil   time.Time   `json:"join_until,omitzero"`   // how long to wait for the first viewer
	IdleFrom    time.Time   `json:"idle_from,omitzero"`    // a hold, window or adoption ended: idle_timeout starts here
	LeaseEnd    time.Time   `json:"lease_end,omitzero"`    // a lease ended in this episode; max_uptime does not count from it
	NeedEnd     time.Time   `json:"need_end,omitzero"`     // of a helper: when it was last needed
	Unconfirmed bool        `json:"unconfirmed,omitempty"` // live by the encoder's word alone
	GoneAt      time.Time   `json:"gone_at,omitzero"`      // when our last encoder was last known to be gone
	SpentAt     time.Time   `json:"spent_at,omitzero"`     // hooks from before this ask for nothing any more
	Blocked     time.Time   `json:"blocked,omitzero"`      // since when viewers contradict somebody else's feed
	Wakes       []time.Time `json:"wakes,omitempty"`       // starts for viewers within the last hour

	Encoders []Encoder `json:"encoders"`
	InUse    string    `json:"in_use,omitempty"`  // failover: the name of the one in use; "" is the first
	Unheard  []PastRun `json:"unheard,omitempty"` // runs that are over and of whose feeds hooks may still come
	Cover    Encoder   `json:"cover,omitzero"`    // without a name: there is none

	Asking    Question     `json:"-"`
	AskedStop time.Time    `json:"-"` // when a stop for idleness was first put to the platform
	StopOK    time.Time    `json:"-"` // the platform agreed to a stop at this time
	Contended Contended    `json:"-"` // who else waits for what this stream holds
	Helped    []HelperSeen `json:"-"` // what is known of the helpers that its encoders need
	Needed    Needed       `json:"-"` // of a helper: who needs it
	Spent     uint64       `json:"-"` // of a helper: needs up to this number ask for nothing any more

	Starts    int       `json:"starts,omitempty"`
	Totals    Totals    `json:"totals,omitzero"`
	Waits     Waits     `json:"waits,omitzero"`
	Draining  bool      `json:"draining,omitempty"`
	DeafSince time.Time `json:"deaf_since,omitzero"` // Draining, and no hook can come any more
	Anchor    string    `json:"anchor,omitempty"`    // Clock.Anchor when it was saved
}

// Hold is a person's word on the stream.
type Hold struct {
	Mode  controller.Mode `json:"mode,omitempty"` // "" is ModeAuto
	Until time.Time       `json:"until,omitzero"`
	By    string          `json:"by,omitempty"`
	Why   string          `json:"why,omitempty"`
}

// Lease is somebody's demand for the stream, like that of a viewer who waits: a page that wants to
// show it soon, or another server. It is no hold: everything that keeps a viewer from starting the
// stream keeps a lease, too.
type Lease struct {
	By    string    `json:"by"`
	Asked time.Time `json:"asked,omitzero"` // first, by this host's clock
	Until time.Time `json:"until"`
}

// LeaseLimit is how many leases a stream has at once.
const LeaseLimit = 64

// Window is the schedule's word on the stream.
type Window struct {
	Do    controller.Mode `json:"do,omitempty"`   // "": no window is open
	Until time.Time       `json:"until,omitzero"` // the window's earliest end; without one, the next begin
}

// Totals are the sums behind Savings.
type Totals struct {
	From    time.Time     `json:"from,omitzero"` // when the stream was first seen
	At      time.Time     `json:"at,omitzero"`   // up to when the sums are made
	Run     time.Duration `json:"run,omitempty"`
	Watched time.Duration `json:"watched,omitempty"`
	Wakes   int           `json:"wakes,omitempty"`
	Wasted  int           `json:"wasted,omitempty"`
}

// Question is what the platform is being asked, and since when.
type Question struct {
	Why   string // "start", "stop", "blocked" or ""
	Since time.Time
}

// Step is where one encoder is in the machine's hands.
type Step string

const (
	StepOff      Step = "off"      // not wanted, known or believed to be gone
	StepWaiting  Step = "waiting"  // wanted, held by somebody else
	StepHelpers  Step = "helpers"  // wanted, and its helpers are not ready yet
	StepStarting Step = "starting" // told to start
	StepOn       Step = "on"       // live
	StepStopping Step = "stopping" // told to stop, not confirmed
	StepBackoff  Step = "backoff"  // failed; RetryAt says when it is tried again
	StepFailed   Step = "failed"   // given up until it is wanted anew
)

// Encoder is one encoder of a stream as the machine knows it.
type Encoder struct {
	Name      string    `json:"name"`
	Instance            // what runs, or starts next; while it may run it stays, whatever the configuration says
	Matches   []string  `json:"matches,omitempty"` // Job.Matches of the run
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
	Trouble   Failing   `json:"trouble,omitzero"`

	Publishes *Contribution `json:"publishes,omitempty"` // of the run; nil: it is not known
	FeedLost  time.Time     `json:"feed_lost,omitzero"`  // since when the platform has lost its feed
	GoneAt    time.Time     `json:"gone_at,omitzero"`    // when it was last known to be gone
	OnAir     bool          `json:"on_air,omitempty"`    // viewers are shown what it publishes

	Needs     []string  `json:"needs,omitempty"`     // the helpers that it keeps on, in the order of their starts
	NeedSince time.Time `json:"need_since,omitzero"` // StepHelpers: since when it waits for the last of them

	Shown bool `json:"shown,omitempty"` // this run was seen on
	Begun bool `json:"begun,omitempty"` // this run was seen publishing

	Version  string          `json:"-"` // of the settings of the run; "": those that the instance was opened with last
	Known    bool            `json:"-"` // looked at since boot
	Busy     bool            `json:"-"` // a start found it on at somebody else's word, and no look has shown it off since
	Ended    string          `json:"-"` // the run whose stop was confirmed last: a look at it that comes now is late
	Calling  bool            `json:"-"` // a Start or Stop is in flight
	Boot     bool            `json:"-"` // Step is from before the controller's restart and not yet compared with the box
	StopNext time.Time       `json:"-"` // when an unconfirmed stop is tried again
	Holder   string          `json:"-"` // StepWaiting: who has it
	Seen     encoders.Status `json:"-"`
}

// Failing is an encoder's failures since it was live last. Unlike Encoder.Failures they outlast the
// demand in which they happened.
type Failing struct {
	Text  string    `json:"text,omitempty"` // of the last
	Count int       `json:"count,omitempty"`
	Since time.Time `json:"since,omitzero"`
	Last  time.Time `json:"last,omitzero"`
}

// PastRun is a run that has published and is over, and of whose feed nobody had heard until then.
type PastRun struct {
	Encoder   string       `json:"encoder"`
	Published Contribution `json:"published"`
	GoneAt    time.Time    `json:"gone_at"`
}

// On reports whether the encoder runs or may run at our word.
func (e *Encoder) On() bool {
	return e.Step == StepStarting || e.Step == StepOn || e.Step == StepStopping
}

// MayRun reports whether the encoder is to be kept in hand until it is known to be off.
func (e *Encoder) MayRun() bool { return e.On() || e.Doubt }

// Foreign reports whether the encoder runs, and not at our word.
func (e *Encoder) Foreign() bool {
	return !e.On() && e.looksOn()
}

// looksOn reports whether the encoder was last seen running.
func (e *Encoder) looksOn() bool {
	switch e.Seen.State {
	case encoders.StatePublishing, encoders.StateStarting, encoders.StateStalled:
		return true
	}
	return false
}

// Outdated reports whether the encoder runs with other settings than those of today.
func (e *Encoder) Outdated(now *EncoderSpec) bool {
	return e.MayRun() && now != nil && (e.Instance != now.Instance || e.Version != "" && e.Version != now.Version)
}

// All are the encoders of the stream, and at last its cover, if it has one.
func (s *State) All() iter.Seq[*Encoder] {
	return func(yield func(*Encoder) bool) {
		for i := range s.Encoders {
			if !yield(&s.Encoders[i]) {
				return
			}
		}
		if s.Cover.Name != "" {
			yield(&s.Cover)
		}
	}
}

// Encoder returns the encoder of that name, which may be the cover, or nil.
func (s *State) Encoder(name string) *Encoder {
	if s.Cover.Name == name && name != "" {
		return &s.Cover
	}
	for i := range s.Encoders {
		if s.Encoders[i].Name == name {
			return &s.Encoders[i]
		}
	}
	return nil
}

// ByInstance returns the encoder that is that instance, or nil.
func (s *State) ByInstance(at Instance) *Encoder {
	for e := range s.All() {
		if e.Instance == at {
			return e
		}
	}
	return nil
}

// anyOn reports whether an encoder runs or may run at our word. The cover is none.
func (s *State) anyOn() bool {
	return slices.ContainsFunc(s.Encoders, func(e Encoder) bool { return e.On() })
}

// Over reports whether nothing runs, and nothing is wanted.
func (s *State) Over() bool { return !s.anyOn() && !s.Cover.MayRun() && s.Episode.IsZero() }

// Disposable reports whether nobody would miss the state: it is of a name that a pattern matches,
// it is off, and no person has said anything about it.
func (s *State) Disposable(p *Policy) bool {
	return p.Pattern != "" && s.Over() && s.Hold.Mode == "" && len(s.Leases) == 0 &&
		s.Phase == controller.PhaseIdle && !s.Facts.Poll.Live &&
		!s.Cover.Foreign() && !slices.ContainsFunc(s.Encoders, func(e Encoder) bool { return e.MayRun() || e.Foreign() })
}

// ForgetAt is when a disposable state tells nothing any more that could matter: hooks that belong
// to it would be too old by then, and the starts of the last hour are over. Zero: not before
// something happens.
func (s *State) ForgetAt(p *Policy) time.Time {
	if !s.Disposable(p) {
		return time.Time{}
	}
	f := &s.Facts
	last := later(s.Since, s.Totals.From)
	for _, t := range []time.Time{f.Attempt.Seen, f.First.Seen, f.NoViewers.Seen, s.GoneAt, s.SpentAt} {
		last = later(last, t)
	}
	at := later(last.Add(feedMemory), s.GoneAt.Add(p.Cooldown))
	if n := len(s.Wakes); n > 0 && p.MaxStartsPerHour > 0 {
		at = later(at, s.Wakes[n-1].Add(time.Hour))
	}
	return at
}

// TotalsAt is the sums brought up to now.
func (s *State) TotalsAt(p *Policy, now time.Time) Totals {
	t := s.Totals
	d := now.Sub(t.At)
	if t.At.IsZero() || d <= 0 {
		return t
	}
	for i := range s.Encoders {
		if s.Encoders[i].On() {
			t.Run += d
		}
	}
	if present, _ := s.audience(p); present && !s.LiveSince.IsZero() {
		t.Watched += d
	}
	t.At = now
	return t
}

// Clone makes a state whose slices are its own.
func (s State) Clone() State {
	s.Encoders = slices.Clone(s.Encoders) // whose Matches and Needs are never changed in place
	s.Helped = slices.Clone(s.Helped)
	s.Wakes = slices.Clone(s.Wakes)
	s.Leases, s.Unheard = slices.Clone(s.Leases), slices.Clone(s.Unheard)
	s.Waits.Past = slices.Clone(s.Waits.Past)
	s.Facts.Feeds = slices.Clone(s.Facts.Feeds)
	return s
}

// fit makes the encoders of the state those of the policy. One that may run is kept as it was
// started: in its place while the policy has its name, else behind the others until it is off.
func (s *State) fit(p *Policy) {
	if s.Phase == "" {
		s.Phase = controller.PhaseIdle
	}
	same := func(e Encoder, r EncoderSpec) bool { return e.Name == r.Name && e.Instance == r.Instance }
	if !slices.EqualFunc(s.Encoders, p.Encoders, same) {
		before := s.Encoders
		s.Encoders = s.fitted(p.Encoders)
		s.Facts.left(before, s.Encoders)
	}
	if p.Encoder(s.InUse) == nil {
		s.InUse = ""
	}
	s.fitCover(p)
}

func (s *State) fitted(policy []EncoderSpec) []Encoder {
	next := make([]Encoder, 0, len(policy))
	for _, ref := range policy {
		i := slices.IndexFunc(s.Encoders, func(e Encoder) bool { return e.Name == ref.Name })
		if i >= 0 && (s.Encoders[i].Instance == ref.Instance || s.Encoders[i].MayRun()) {
			next = append(next, s.Encoders[i])
		} else {
			next = append(next, Encoder{Name: ref.Name, Instance: ref.Instance, Step: StepOff})
		}
	}
	for _, e := range s.Encoders {
		if e.MayRun() && !slices.ContainsFunc(policy, func(r EncoderSpec) bool { return r.Name == e.Name }) {
			next = append(next, e)
		}
	}
	return next
}

// Shift moves every time that was read off the machine's clock; those of the platform's are of
// another type.
func (s *State) Shift(by time.Duration) { shiftTimes(reflect.ValueOf(s).Elem(), by) }

func shiftTimes(v reflect.Value, by time.Duration) {
	switch v.Kind() {
	case reflect.Struct:
		if t, ok := v.Addr().Interface().(*time.Time); ok {
			move(t, by)
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				shiftTimes(v.Field(i), by)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			shiftTimes(v.Index(i), by)
		}
	}
}

// Shifted is an event that has not been decided yet, its times moved with the machine's clock.
func Shifted(ev Event, by time.Duration) Event {
	switch ev := ev.(type) {
	case controller.Hook:
		ev.Received = ev.Received.Add(by)
		return ev
	case Polled:
		ev.Asked = ev.Asked.Add(by)
		return ev
	case ModeSet:
		move(&ev.Until, by)
		return ev
	case Leased:
		move(&ev.Until, by)
		return ev
	}
	return ev
}

func move(t *time.Time, by time.Duration) {
	if !t.IsZero() {
		*t = t.Add(by)
	}
}
