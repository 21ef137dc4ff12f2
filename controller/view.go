package controller

import (
	"time"

	"github.com/oncue/oncue/encoders"
)

// StreamView is what is published of a stream: in /status, the API, the dashboard and the events.
// Readers get a copy of their own.
type StreamView struct {
	ID           StreamID      `json:"id"`
	Account      string        `json:"account"`
	Name         string        `json:"name"`
	Pattern      string        `json:"pattern,omitempty"` // it comes from, with the account
	Phase        Phase         `json:"phase"`
	Mode         Mode          `json:"mode"`
	ModeUntil    *Time         `json:"mode_until"`
	ModeBy       *string       `json:"mode_by"`
	ModeWhy      *string       `json:"mode_why"`
	Demand       []Lease       `json:"demand"` // who else asks for it, by name
	Wanted       bool          `json:"wanted"`
	Managed      bool          `json:"managed"` // false: what runs was started by somebody else, and is left alone
	Reason       string        `json:"reason"`
	Since        Time          `json:"since"`
	Deadline     *Time         `json:"deadline"`
	DeadlineDoes *string       `json:"deadline_does"`
	Unconfirmed  bool          `json:"unconfirmed"` // live by the encoder's word alone; the platform has not confirmed it
	WaitsFor     *string       `json:"waits_for"`   // in phase waiting: the stream that holds the encoder
	Viewers      *int          `json:"viewers"`     // null while the platform has not been asked
	Feeds        []Feed        `json:"feeds"`       // open ones
	Encoders     []EncoderView `json:"encoders"`
	UptimeS      float64       `json:"uptime_s"` // of the present run, since it is live
	Starts       int           `json:"starts"`   // encoder starts so far
	LastAttempt  *Time         `json:"last_attempt"`
	Trouble      *Trouble      `json:"trouble"` // in any phase: what fails, and has not gone well since
	Waits        *Waits        `json:"waits"`   // of those who asked for it; null before the first
	Savings      Savings       `json:"savings"`
	Draining     bool          `json:"draining,omitempty"` // no longer in the configuration; ends when it is off
}

// Lease is somebody's demand for a stream through the API, as long as it lasts.
type Lease struct {
	By    string `json:"by"`
	Until Time   `json:"until"`
}

// Situation is where a stream is, for pages that wait for it.
type Situation struct {
	Phase Phase `json:"phase"`
	Live  bool  `json:"live"` // viewers see it, or would
}

// SituationIn is the situation of a stream in that phase.
func SituationIn(p Phase) Situation { return Situation{p, p == PhaseLive || p == PhaseLingering} }

// EncoderView is one encoder of a stream.
type EncoderView struct {
	Name     string           `json:"name"`
	Driver   string           `json:"driver"`
	State    encoders.State   `json:"state"`
	Wanted   bool             `json:"wanted"`
	Since    *Time            `json:"since"`
	Restarts int              `json:"restarts"` // since it was last wanted anew
	Error    *string          `json:"error"`
	PID      *int             `json:"pid"`
	OnAir    bool             `json:"on_air"`             // viewers are shown what it publishes
	Cover    bool             `json:"cover,omitempty"`    // it shows a slate while none of the others is live
	Outdated bool             `json:"outdated,omitempty"` // it runs with settings from before a reload
	Health   *encoders.Health `json:"health"`

	Warning string            `json:"warning,omitempty"` // plain words: it does less than its settings ask for
	Standby *encoders.Standby `json:"standby,omitempty"` // what is kept ready for its next start
}

// HelperView is what is published of a helper: a thing that is on while encoders need it.
type HelperView struct {
	Name   string      `json:"name"`
	Driver string      `json:"driver"`
	State  HelperState `json:"state"`
	Wanted bool        `json:"wanted"`
	For    []StreamID  `json:"for"`    // the streams that need it now
	Since  *Time       `json:"since"`  // of the state
	Reason string      `json:"reason"` // plain words
	Error  *string     `json:"error"`
}

// HelperState is where a helper is.
type HelperState string

const (
	HelperOff      HelperState = "off"
	HelperStarting HelperState = "starting" // told to be on, and not ready yet
	HelperOn       HelperState = "on"       // ready
	HelperStopping HelperState = "stopping" // told to be off, and not confirmed
	HelperFailed   HelperState = "failed"   // and is tried again while somebody needs it
)

// Trouble is what an encoder failed of last. It stays when nobody asks for the stream any more,
// over restarts too, until the encoder is live again or the configuration has another in its place.
type Trouble struct {
	Encoder string `json:"encoder"`
	Text    string `json:"text"`
	Count   int    `json:"count"` // failures without success between them
	Since   Time   `json:"since"` // of the first of them
	Last    Time   `json:"last"`
}

// Savings is what running on cue was worth, since the stream was first known.
type Savings struct {
	Since    Time    `json:"since"`
	RunS     float64 `json:"run_s"`         // encoder-seconds run
	WatchedS float64 `json:"watched_s"`     // seconds live with a viewer in
	AvoidedS float64 `json:"avoided_s"`     // encoder-seconds not run, against always on
	Wakes    int     `json:"wakes"`         // times that viewers woke it; tries to start it again are no more of them
	Wasted   int     `json:"wasted_starts"` // of these, how often nobody joined
}

// AccountView is the platform's side of one account.
type AccountView struct {
	Account   string       `json:"account"`
	LastHook  *Time        `json:"last_hook"`
	LastPoll  *Time        `json:"last_poll"`
	PollError *string      `json:"poll_error"`
	Webhook   *WebhookView `json:"webhook"`
}

// WebhookView is the account's webhook that points here, as the platform showed it last.
type WebhookView struct {
	ID       int     `json:"id"`
	URL      string  `json:"url"`
	Disabled *string `json:"disabled"` // the reason and until when, or null
}

// A Transition is one step in a stream's history.
type Transition struct {
	Seq      int64    `json:"seq"`
	Stream   StreamID `json:"stream"`
	At       Time     `json:"at"`
	From     Phase    `json:"from"`
	To       Phase    `json:"to"`
	Event    string   `json:"event"`  // what happened: a hook's name, timer, encoder, mode, boot, …
	Reason   string   `json:"reason"` // plain words
	Encoder  string   `json:"encoder"`
	Deadline *Time    `json:"deadline"`
	Warning  bool     `json:"-"` // for the log
}

// A Change is one message of the live feed: exactly one of the pointers is set.
type Change struct {
	ID     uint64 // grows; resume after it
	Stream *StreamView
	Helper *HelperView
	Hook   *Record
}

// Phase is where a stream is. doc.go draws how they follow each other.
type Phase string

const (
	PhaseIdle      Phase = "idle"      // off, and not wanted
	PhaseWaiting   Phase = "waiting"   // wanted, but the encoder is held by another stream, or a limit is reached
	PhaseStarting  Phase = "starting"  // told to start; not confirmed live
	PhaseLive      Phase = "live"      // confirmed
	PhaseLingering Phase = "lingering" // live, and nobody watches
	PhaseStopping  Phase = "stopping"  // told to stop; not confirmed gone
	PhaseBackoff   Phase = "backoff"   // wanted; waits to try again
	PhaseFailed    Phase = "failed"    // wanted; given up
)

// Phases lists all phases, in the order of a stream's life.
var Phases = []Phase{
	PhaseIdle, PhaseWaiting, PhaseStarting, PhaseLive, PhaseLingering, PhaseStopping, PhaseBackoff, PhaseFailed,
}

// Mode says who decides: the machine, or a person.
type Mode string

const (
	ModeAuto Mode = "auto"
	ModeOn   Mode = "on"
	ModeOff  Mode = "off"
)

// ModeRequest is a person's hold on a stream.
type ModeRequest struct {
	Mode Mode
	For  time.Duration // 0: until further notice
	By   string
	Why  string
}

// WaitEnd is what somebody waits for who asks for a stream.
type WaitEnd string

const (
	WaitStart  WaitEnd = "start"  // of the encoder
	WaitLive   WaitEnd = "live"   // confirmed
	WaitViewer WaitEnd = "viewer" // the first one is in
)

// Waits are how long those waited who asked for a stream that was off: viewers, and who asks by
// SetDemand or a wake link.
type Waits struct {
	Last    Wait `json:"last"`
	Typical Wait `json:"typical"` // the median of each figure, over the latest
	Of      int  `json:"of"`      // so many waits
}

// Wait is one wait, in seconds from the first wish. Null: that has not come.
type Wait struct {
	StartS  *float64 `json:"start_s"`
	LiveS   *float64 `json:"live_s"`
	ViewerS *float64 `json:"viewer_s"`
}

// DemandRequest begins or renews a lease on a stream, or ends it.
type DemandRequest struct {
	By  string
	For time.Duration // 0: it is given back
}

// Time prints as RFC 3339 with milliseconds, UTC.
type Time struct{ time.Time }

const timeFormat = "2006-01-02T15:04:05.000Z"

func (t Time) String() string { return t.UTC().Format(timeFormat) }

// MarshalJSON writes the quoted RFC 3339 text.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(nil, `"`+timeFormat+`"`), nil
}
