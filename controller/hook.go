package controller

import (
	"time"
)

// A Hook is one webhook of the platform in the machine's own words. It says what was true at the
// platform; it commands nothing. millicast.Parse makes it; runner.Controller stores it and hands it
// to the stream it names.
type Hook struct {
	Kind     HookKind
	Account  string       // the platform's account id
	Name     string       // stream name, without the account
	At       PlatformTime // when the platform sent it, by the platform's clock; hooks are ordered by it
	Received time.Time    // when it arrived, by the machine's clock; time-outs count from it
	Feed     Feed         // for HookFeedStarted and HookFeedEnded
	Again    bool         // it is taken from the journal once more: what the facts hold already is not changed by it
}

// StreamID is the id of the stream that the hook names, "account/name".
func (h Hook) StreamID() StreamID { return JoinID(h.Account, h.Name) }

// Label is the short name of the hook in a stream's history.
func (h Hook) Label() string { return string(h.Kind) }

// HookKind tells the hooks apart that move the machine. All others are journaled and go no further.
type HookKind string

const (
	HookAttempt     HookKind = "ViewerAttempt"         // a viewer tried a stream that is off
	HookFirstViewer HookKind = "FirstViewerConnection" // the stream is live and its first viewer is in
	HookNoViewers   HookKind = "NoActiveViewers"       // nobody has watched for 60 s
	HookFeedStarted HookKind = "started"               // a publisher's connection is up
	HookFeedEnded   HookKind = "ended"                 // a publisher's connection is gone
)

// A Feed is one publisher's connection to the platform.
type Feed struct {
	ID       string       `json:"id"`
	Started  PlatformTime `json:"started"`           // zero when not told
	Ended    PlatformTime `json:"ended,omitzero"`    // zero while open
	SourceID string       `json:"source_id"`         // tells the sources of a multi-source stream apart
	Priority *int         `json:"priority"`          // tells redundant publishers of one source apart
	Encoder  string       `json:"encoder,omitempty"` // whose feed it is; "" when that is not known
}

// A Record is one hook as the journal keeps it.
type Record struct {
	Seq      int64     `json:"seq"`
	Received time.Time `json:"received"`
	Sent     time.Time `json:"sent,omitzero"` // the platform's timestamp; zero when it had none
	Account  string    `json:"account"`
	Stream   StreamID  `json:"stream"` // "" when the hook names none
	Type     string    `json:"type"`   // as received: "viewerConnection", "feeds", "thumbnail", …
	Event    string    `json:"event"`  // as received: "ViewerAttempt", "started", …
	Verdict  Verdict   `json:"verdict"`
	Note     string    `json:"note,omitempty"` // why, when the verdict is not accepted
	Size     int       `json:"size"`           // of the body as received, bytes
	Sum      [32]byte  `json:"-"`              // SHA-256 of the body
	Body     []byte    `json:"-"`              // as received; nil for images
}

// Verdict is what became of a verified hook; it is the "status" of the HTTP answer.
type Verdict string

const (
	Accepted    Verdict = "accepted"    // stored, and acted on
	Duplicate   Verdict = "duplicate"   // the same body came before, and was acted on or set aside as it would be now
	Ignored     Verdict = "ignored"     // stored; its type is unknown, or no stream of the configuration matches it
	Stale       Verdict = "stale"       // stored; signed more than 10 min away from this clock, so not acted on
	Quarantined Verdict = "quarantined" // stored; signed, but not understood
)
