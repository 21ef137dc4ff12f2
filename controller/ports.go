package controller

import (
	"context"
	"errors"
	"time"
)

// Store is what the controller keeps for ever. The one implementation is package store; every
// method is one transaction, and what it returns without an error has survived power loss.
type Store interface {
	// Append stores one hook and numbers it. A body that was stored within the last 24 h is not stored
	// again: duplicate is true then. But what was not Accepted, or was a picture, never makes a
	// duplicate of a hook that is. ErrStore is in err's chain whenever the store cannot take it.
	Append(ctx context.Context, r Record) (seq int64, duplicate bool, err error)
	// AppendWith is Append and SaveStream in one transaction: the hook, and what it has led to. Of a
	// duplicate neither is stored.
	AppendWith(ctx context.Context, r Record, s Saved, story []Transition) (seq int64, duplicate bool, err error)
	// SaveStream replaces the stream's state and adds to its history, in one transaction.
	SaveStream(ctx context.Context, s Saved, story []Transition) error
	// LoadStreams returns every stream ever saved and not forgotten.
	LoadStreams(ctx context.Context) ([]Saved, error)
	// ForgetStream removes the state of a stream; its history stays until it ages out.
	ForgetStream(ctx context.Context, id string) error
	// History returns at most limit transitions of a stream with a Seq below before (0: no bound),
	// newest first.
	History(ctx context.Context, id string, limit int, before int64) ([]Transition, error)
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

// Saved is a stream's state as stored.
type Saved struct {
	ID    string
	At    time.Time // when it was true; hooks received later may be missing in it
	State []byte    // JSON
}

// RecordFilter narrows the journal. Zero fields do not narrow; Limit 0 means 100.
type RecordFilter struct {
	Stream string // stream id
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
	Stream  string // stream id, "" for the account's or the host's affairs
	At      time.Time
	Text    string // plain words, no secret
}

// ErrUnknownStream and ErrInvalid are what the control methods return for a person's mistakes.
var (
	ErrUnknownStream = errors.New("no such stream")
	ErrInvalid       = errors.New("invalid request")
)
