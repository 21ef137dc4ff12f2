package runner

import (
	"log/slog"
	"slices"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/encoders"
)

// Config is what the wiring gives the controller. A reload gives another one; the funcs stay the
// same.
type Config struct {
	Find     func(account, name string) (StreamSpec, bool) // the stream that a name means, pattern or not
	Streams  []StreamSpec                                  // those that the configuration names without a pattern
	Accounts map[string]AccountSpec
	Limits   Limits
	Defaults machine.Policy // of streams that the configuration does not have any more, until they are off

	Store       controller.Store
	Clock       *Clock
	Open        OpenFunc
	Left        func() []machine.EncoderSpec                    // encoders that have files here, and so may run
	EndLost     func()                                          // ends what can never be found again; called first
	Discard     func(machine.Instance)                          // removes the files of one that is no longer needed
	ParseRecord func(controller.Record) (controller.Hook, bool) // makes the hook of a journaled record again
	Notify      func(controller.Notice)                         // must not block
	Observe     Observer
	Log         *slog.Logger
}

// OpenFunc opens the driver of an encoder, and tells the version of the settings that it was opened
// with. An encoder whose version is not that of today is opened with the settings that it had last,
// whatever the configuration says now. An error that trying again cannot cure is marked by
// encoders.Permanent.
type OpenFunc func(e machine.EncoderSpec, job encoders.Job) (enc encoders.Encoder, version string, err error)

// StreamSpec is one stream of the configuration.
type StreamSpec struct {
	Account, Name string
	Policy        machine.Policy

	// Publish is where the encoder of that name publishes to, with placeholders. It is not set when
	// the encoder knows by itself, or when the token is not there yet. Nil: no encoder is told.
	Publish func(encoder string) secret.Value
}

// ID is the stream id.
func (s *StreamSpec) ID() controller.StreamID { return controller.JoinID(s.Account, s.Name) }

// publishesElsewhere reports whether an encoder is told another address than before, which includes
// the token.
func (s *StreamSpec) publishesElsewhere(before *StreamSpec) bool {
	return s.Publish != nil && before.Publish != nil &&
		slices.ContainsFunc(slices.Collect(s.Policy.All()), func(e *machine.EncoderSpec) bool {
			return !s.Publish(e.Name).Same(before.Publish(e.Name))
		})
}

// AccountSpec is one account of the configuration.
type AccountSpec struct {
	Platform     controller.Platform // nil without an API secret
	PollInterval time.Duration
}

// Observer hears what happens, for metrics. Nil fields are left out; the funcs must not block.
type Observer struct {
	AttemptToStart func(d time.Duration)
	AttemptToLive  func(d time.Duration)
	Waited         func(account, stream string, until controller.WaitEnd, took time.Duration) // stream: or its pattern
	Transition     func(controller.Transition)
	Unconfirmed    func()
	Polled         func(account string, err error)
}
