package controller

import (
	"context"
	"errors"
	"time"
)

// Store is what the controller keeps for ever. The one implementation is package store; every
// method is one transaction, and what it returns without an error has survived power loss.
type Store interface {
	// Commit stores what a step of a stream has led to, and returns a receipt for each of its records.
	// The state and the transitions are stored only when every record was: one that turns out to be a
	// duplicate would not have led to them. err is about all of it, and nothing is stored then; but
	// when ctx has ended, all of it may be. ErrStore is in the chain whenever the store cannot take
	// it.
	Commit(ctx context.Context, c Commit) (receipts []Receipt, err error)
	// LoadStreams returns every stream ever saved and not forgotten.
	LoadStreams(ctx context.Context) ([]Saved, error)
	// ForgetStream removes the state of a stream; its history stays until it ages out.
	ForgetStream(ctx context.Context, id StreamID) error
	// History returns at most limit transitions of a stream with a Seq below before (0: no bound),
	// newest first.
	History(ctx context.Context, id StreamID, limit int, before int64) ([]Transition, error)
	// Records returns hooks, newest first.
	Records(ctx context.Context, f RecordFilter) ([]Record, error)
	// Replay calls fn with the accepted hooks received at or after since, bodies included, oldest
	// first.
	Replay(ctx context.Context, since time.Time, fn func(Record) error) error
	// Setting and SetSetting keep small values by name, such as secrets that came from the platform's
	// API. A missing one is "".
	Setting(ctx context.Context, key string) (string, error)
	SetSetting(ctx context.Context, key, value string) error
	// Ready says why hooks cannot be stored now, or nil.
	Ready(ctx context.Context) error
}

// ErrStore is in the chain of every error that means: the store cannot take it now.
var ErrStore = errors.New("the store cannot take it")

// Commit is what one step of a stream brings to the store.
type Commit struct {
	Records     []Record // hooks that led to the step; the store numbers them
	Saved       *Saved   // the state that it ended in; nil when that need not be stored
	Transitions []Transition
}

// Receipt tells what became of one record of a commit.
type Receipt struct {
	Seq int64 // its number; that of the earlier hook for a duplicate
	// Duplicate: the body was stored within the last 24 h, and is not stored again. But what was not
	// Accepted, or was a picture, never makes a duplicate of a hook that is.
	Duplicate bool
	Err       error // why it is not stored; nil when it is, or is a duplicate
}

// Saved is a stream's state as stored.
type Saved struct {
	ID    StreamID
	At    time.Time // when it was true; hooks received later may be missing in it
	State []byte    // JSON
}

// RecordFilter narrows the journal. Zero fields do not narrow; Limit 0 means 100.
type RecordFilter struct {
	Stream StreamID
	Type   string // matches Record.Type or Record.Event, in any case
	Limit  int
	Before int64 // Seq below
}

// Platform is the platform's API for one account, as far as the machine needs it.
type Platform interface {
	// Live returns every stream of the account that is live now, as well as can be told where streams
	// come and go: one may be missing. It takes a question for each hundred of them, and as long as
	// those take; it bounds that by itself.
	Live(ctx context.Context) ([]LiveStream, error)
	// LiveStream returns one stream by its name; Live is false when the platform does not know it.
	LiveStream(ctx context.Context, name string) (LiveStream, error)
	// Disconnect closes the stream's feeds. An encoder that is still on connects again.
	Disconnect(ctx context.Context, name string) error
}

// ErrRefused is in the chain of a Platform's error when asking again is of no use: the API secret
// is wrong.
var ErrRefused = errors.New("the platform refuses the API secret")

// LiveStream is one look at a stream through the platform's API.
type LiveStream struct {
	Name    string
	Live    bool
	Viewers int
}

// Notice is something that people want to know.
type Notice struct {
	Kind    string // failed, recovered, stop_unconfirmed, webhook_disabled, max_uptime, …
	Account string
	Stream  StreamID // "" for the account's or the host's affairs
	At      time.Time
	Text    string // plain words, no secret
}

// What the control methods return for a person's mistakes, and for what cannot be done now.
var (
	ErrUnknownStream = errors.New("no such stream")
	ErrInvalid       = errors.New("invalid request")
	ErrFull          = errors.New("there are too many already")
)
