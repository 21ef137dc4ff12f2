// Package encoders says what an encoder is.
//
// An encoder is a box or a process that publishes one stream to the platform: an FFmpeg, an OBS, a
// device with an HTTP API. A driver (one folder each) implements [Encoder], and [Watcher] where it
// can notice changes by itself. Read those two first.
//
// A driver knows its box and nothing else: no retry, no restart, no policy, no store. What is
// wanted, when to give up and when to try again is the controller's business. Every driver passes
// the suite in encodertest.
package encoders

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/oncue/oncue/configs/secret"
)

// Encoder is one box or process. The controller has at most one Start or Stop in flight for an
// encoder; Status and Watch may run at the same time. All methods obey ctx's deadline and return
// soon after it. All errors are fit for people: they name the step and the cause, and carry no
// secret.
type Encoder interface {
	// Start makes the encoder publish for job and returns once the process runs or the request is
	// accepted, not once it is live: Status and Watch tell that. When an earlier Start for the same
	// stream has switched it on, Start does nothing and returns nil. When it is on for another
	// stream, or was not switched on by a Start, Start changes nothing and returns ErrBusy; with
	// Job.Adopt, a broadcast that no Start began becomes this job's run, unless it is known to
	// publish elsewhere. A failure that a retry cannot cure (missing binary, unknown option, wrong
	// password) is wrapped with Permanent.
	Start(ctx context.Context, job Job) error

	// Stop ends what a Start for job's stream has begun or adopted, and returns nil only when it is
	// known to be gone: process reaped, box confirming. It escalates before ctx's deadline (TERM,
	// TERM, KILL). When nothing of that stream is on, it does nothing and returns nil: without
	// Job.Adopt it never ends somebody else's broadcast. An error means "not confirmed": call it
	// again.
	Stop(ctx context.Context, job Job) error

	// Status observes the encoder now. For an encoder that cannot be asked it returns StateUnknown,
	// with the reason in Error; the error result is ctx's alone.
	Status(ctx context.Context, job Job) (Status, error)
}

// Watcher is implemented by drivers that notice changes sooner than polling would: an exit, an
// event, a stall.
type Watcher interface {
	// Watch calls report with the status at once and then at each change of State, Run, PID, Error
	// or ByHand (and about every 2 s while Health moves), until ctx ends; then it returns
	// ctx.Err(). It survives loss of the connection to the box: that is reported as StateUnknown.
	// report must not be called concurrently, and returns quickly. Any number of Watch calls may
	// run.
	Watch(ctx context.Context, job Job, report func(Status)) error
}

// Closer is implemented by drivers that hold connections, goroutines or processes of their own.
// Close ends them all, but not an encoder that publishes, nor what waits for the next controller
// and ends by itself when none comes: an input that is held open. A closed encoder cannot be used
// again.
type Closer interface{ Close() error }

// Readier is implemented by drivers that can keep something ready for the next start.
type Readier interface {
	// KeepReady says whether something may be kept ready for the job's next start. It returns at
	// once; Status.Standby tells what comes of it, and Off ends all that is kept, once no run needs
	// it. Before the first call nothing new is made ready.
	KeepReady(job Job, on bool)
}

// Logger is implemented by drivers that keep the encoder's output. Log returns at most n last
// lines, oldest first, secrets redacted.
type Logger interface {
	Log(ctx context.Context, n int) ([]string, error)
}

// Checker is implemented by drivers that can test themselves without going live: binary present,
// box reachable, password right. Each finding can be understood alone. A check changes nothing at
// the encoder.
type Checker interface {
	Check(ctx context.Context, job Job) []Finding
}

// Prober is implemented by drivers that can open what the encoder reads from, as a start would,
// without publishing. It is not called while the encoder is on, because its input may serve one
// reader only. It does not repeat what Check finds.
type Prober interface {
	Probe(ctx context.Context, job Job) []Finding
}

// Planner is implemented by drivers that can say what a start would do: a command line or the
// requests, secrets masked.
type Planner interface {
	Plan(job Job) []string
}

// Finding is one result of a Check.
type Finding struct {
	Level Level  `json:"level"`
	What  string `json:"what"`           // what was tested, and the result: "obs at 10.0.0.5:4455 answers (OBS 30.1.2)"
	Hint  string `json:"hint,omitempty"` // the likely fix, when not OK
}

// Level grades a Finding.
type Level string

const (
	OK   Level = "ok"
	Warn Level = "warning"
	Bad  Level = "error"
)

// State is what an encoder is doing, as far as its driver can see.
type State string

const (
	StateStopped    State = "stopped"    // known not to publish
	StateStarting   State = "starting"   // asked to, not delivering yet
	StatePublishing State = "publishing" // evidence of delivery (see Status.ConfigOnly for boxes that only claim it)
	StateStalled    State = "stalled"    // running, but not delivering for the driver's stall time
	StateStopping   State = "stopping"   // asked to stop, not gone yet
	StateFailed     State = "failed"     // ended by itself; Error says why. As gone as StateStopped
	StateUnknown    State = "unknown"    // the box cannot be asked
)

// Gone reports whether the encoder is known not to publish.
func (s State) Gone() bool { return s == StateStopped || s == StateFailed }

// Status is one observation of an encoder. It holds no secret.
type Status struct {
	State      State     `json:"state"`
	At         time.Time `json:"at"`                    // when the driver observed it
	Since      time.Time `json:"since"`                 // when State began, as far as the driver knows; zero: unknown
	Run        string    `json:"run,omitempty"`         // Job.Run of its start; "" when the driver cannot tell
	Stream     string    `json:"stream,omitempty"`      // stream id of its start; "" when no Start began it
	PID        int       `json:"pid,omitempty"`         // of the process, for drivers that have one
	ByHand     bool      `json:"by_hand,omitempty"`     // somebody else made the last change, at the encoder
	ConfigOnly bool      `json:"config_only,omitempty"` // StatePublishing means "switched on", not "delivering"
	Error      string    `json:"error,omitempty"`       // plain words, for StateFailed, StateStalled and StateUnknown
	Permanent  bool      `json:"permanent,omitempty"`   // with StateFailed: a retry cannot cure it
	Warning    string    `json:"warning,omitempty"`     // plain words, in any state: it does less than its settings ask for
	Health     *Health   `json:"health,omitempty"`      // what the box measures, if it does
	Standby    *Standby  `json:"standby,omitempty"`     // what is kept ready for the next start; nil: nothing is to be
}

// Alike reports whether two observations say the same but for figures and the time.
func (s Status) Alike(o Status) bool {
	same := s.Standby.Alike(o.Standby)
	s.Health, s.At, s.Standby, o.Health, o.At, o.Standby = nil, time.Time{}, nil, nil, time.Time{}, nil
	return same && s == o
}

// Standby is what is kept ready for an encoder's next start. Figures that are not known are nil.
type Standby struct {
	Kind       string   `json:"kind"`                  // warm: a loaded process; hot: a live input with its last pictures
	Ready      bool     `json:"ready"`                 // a start would profit from it now
	AgeMS      *int64   `json:"age_ms,omitempty"`      // hot: how long ago its newest picture came
	BeginsMS   *int64   `json:"begins_ms,omitempty"`   // hot: how old the picture is with which a start would begin
	BitrateBPS *int64   `json:"bitrate_bps,omitempty"` // hot: bits per second that the input sends
	CPU        *float64 `json:"cpu_percent,omitempty"` // of one core
	Memory     *int64   `json:"memory,omitempty"`      // bytes, shared ones in proportion
	Error      string   `json:"error,omitempty"`       // plain words: why it is not ready
}

// Alike reports whether two standbys are the same but for figures.
func (s *Standby) Alike(o *Standby) bool {
	if s == nil || o == nil {
		return s == o
	}
	return s.Kind == o.Kind && s.Ready == o.Ready && s.Error == o.Error
}

// Health is what an encoder measures of itself. A field that the box does not report is nil.
type Health struct {
	BitrateBPS *float64 `json:"bitrate_bps,omitempty"` // bits per second
	FPS        *float64 `json:"fps,omitempty"`
	Frames     *int64   `json:"frames,omitempty"`     // sent since the start
	Dropped    *int64   `json:"dropped,omitempty"`    // frames
	Bytes      *int64   `json:"bytes,omitempty"`      // sent since the start
	Congestion *float64 `json:"congestion,omitempty"` // 0 to 1
	Speed      *float64 `json:"speed,omitempty"`      // 1 = real time
}

// Job is what an encoder is to publish: one run for one stream. The controller fills it and passes
// the same one to Start, Status and Stop. After a restart of the controller, Run is still that of
// the last start.
type Job struct {
	Account string        // the platform's account id
	Name    string        // stream name, without the account; any UTF-8 up to 128 characters
	Publish secret.Value  // where to publish, with key; may be empty for boxes that know it themselves
	Matches []string      // what * and ? matched, for streams that come from a pattern
	Run     string        // id of this run, [a-z0-9]+; "" in a Status or Stop before any start
	Adopt   bool          // a broadcast that no Start began is this stream's: Start takes it over, Stop ends it
	Grace   time.Duration // stop_timeout: a stop is forced after it; drivers also obey ctx
}

// ID is the stream id, "account/name".
func (j Job) ID() string { return j.Account + "/" + j.Name }

var plainName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// Plain reports whether a name is safe in a path or a command line without escaping.
func Plain(name string) bool {
	return plainName.MatchString(name) && name != "." && name != ".." && !strings.HasPrefix(name, "-")
}

// Fill replaces {stream}, {account}, {1}, {2} … in s. A value that is not Plain is percent-encoded.
// It does not replace {publish}: that is a secret, and a driver puts it where nobody can read it.
func (j Job) Fill(s string) string { return j.FillWith(s, escape) }

// FillWith is Fill with each value written as escape says, for places with rules of their own.
func (j Job) FillWith(s string, escape func(value string) string) string {
	if !strings.Contains(s, "{") {
		return s
	}
	pairs := []string{"{stream}", escape(j.Name), "{account}", escape(j.Account)}
	for i, m := range j.Matches {
		pairs = append(pairs, "{"+strconv.Itoa(i+1)+"}", escape(m))
	}
	return strings.NewReplacer(pairs...).Replace(s)
}

// FillSecret is Fill for a secret.
func (j Job) FillSecret(v secret.Value) secret.Value { return secret.New(j.Fill(v.Reveal())) }

// escape percent-encodes all but what Plain allows, so that the value is a single word and a single
// name anywhere.
func escape(s string) string {
	dots := strings.Trim(s, ".") == ""
	if s == "" || plainName.MatchString(s) && !dots {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; plainName.MatchString(string(rune(c))) && !(dots && c == '.') {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Env is what a driver gets in addition to its settings.
type Env struct {
	Name string // as in the configuration, or name@stream for a pattern's instance; not for paths
	// Dir is a private folder (0700) for lock, state and output files. It exists, and its path
	// holds no stream name. It is "" when the encoder is only planned or checked: keep nothing
	// then.
	Dir string
	Log *slog.Logger // never nil; its lines name the encoder

	Guard Guard // what the encoder's process, if it has one, must not reach

	// Secrets are those of the settings, and the values that references gave to other keys. Never
	// show them, nor put them into a command line.
	Secrets []secret.Value
}

// Guard names what belongs to the controller alone. A driver gives no process access to a folder
// that holds any of it, unless the settings name that folder.
type Guard struct {
	Paths  []string // the configuration, the database, credentials: files and folders; ignore empty ones
	Hidden []string // those of Paths that no other program uses
	Ports  []int    // TCP ports of this host, those of the admin side
}

// ErrBusy means that the encoder is on for another stream, or that no Start began it.
var ErrBusy = errors.New("it is on already, and not for this stream")

// Permanent marks err as one that a retry cannot cure. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

// IsPermanent reports whether err was marked by Permanent.
func IsPermanent(err error) bool {
	var p permanent
	return errors.As(err, &p)
}

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }
