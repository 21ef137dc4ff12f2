package controller

import (
	"log/slog"
	"slices"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
)

// Config is what the wiring gives the controller. A reload gives another one; the funcs stay the same.
type Config struct {
	Find     func(account, name string) (StreamSpec, bool) // the stream that a name means, pattern or not
	Streams  []StreamSpec                                  // those that the configuration names without a pattern
	Accounts map[string]AccountSpec
	Running  int // encoders at once; 0: no cap

	Store       Store
	Clock       *Clock
	Open        func(e EncoderSpec, job encoders.Job) (encoders.Encoder, error) // opens a driver
	Traces      func(device string) bool                                        // whether an encoder may have been left running there by an earlier process
	ParseRecord func(Record) (Hook, bool)                                       // makes the hook of a journaled record again
	Notify      func(Notice)                                                    // must not block
	Observe     Observer
	Log         *slog.Logger
}

// StreamSpec is one stream of the configuration.
type StreamSpec struct {
	Account, Name string
	Publish       secret.Value // with placeholders
	Matches       []string     // of the pattern
	Policy        Policy
	Encoders      []EncoderSpec // parallel to Policy.Encoders
	Schedule      []ScheduleLine
	Zone          *time.Location
}

// ID is the stream id.
func (s *StreamSpec) ID() string { return s.Account + "/" + s.Name }

func (s *StreamSpec) encoder(name string) (EncoderSpec, bool) {
	i := slices.IndexFunc(s.Encoders, func(e EncoderSpec) bool { return e.Name == name })
	if i < 0 {
		return EncoderSpec{}, false
	}
	return s.Encoders[i], true
}

// EncoderSpec is one encoder as one stream sees it.
type EncoderSpec struct {
	Name    string
	Driver  string
	Device  string // the instance: two streams that share it take turns
	Version string // changes with its settings
	ByHand  bool   // people may switch it on and off at the box: it is watched when it is idle, too
}

// ScheduleLine is one line of a schedule.
type ScheduleLine struct {
	Cron string
	For  time.Duration
	Do   Mode
}

// AccountSpec is one account of the configuration.
type AccountSpec struct {
	Platform     Platform // nil without an API secret
	PollInterval time.Duration
}

// Observer is told what happens, for metrics. Nil fields are left out; the funcs must not block.
type Observer struct {
	AttemptToStart func(d time.Duration)
	AttemptToLive  func(d time.Duration)
	Story          func(Transition)
	Unconfirmed    func()
	Polled         func(account string, err error)
}
