package fake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/oncue/oncue/encoders"
)

// Encoder is a fake box and its driver in one. It has no goroutine of its own.
type Encoder struct {
	settings  Settings
	dir       string // "": in memory
	log       *slog.Logger
	pressPath string // "" without a Dir

	mu          sync.Mutex
	st          state
	unreachable bool
	changed     chan struct{} // closed and replaced at every change
}

// New opens the box in env.Dir, which is as it was left. Without Dir it makes a new one, in memory.
func New(settings Settings, env encoders.Env) (*Encoder, error) {
	if err := settings.Validate(); err != nil {
		return nil, err
	}
	st, err := encoders.Recall[state](env.Dir, stateFile)
	if err != nil {
		return nil, err
	}
	e := &Encoder{settings: settings, dir: env.Dir, log: env.Log, st: st,
		unreachable: settings.Unreachable, changed: make(chan struct{})}
	if env.Dir != "" {
		e.pressPath = filepath.Join(env.Dir, pressFile)
	}
	return e, nil
}

var (
	errUnreachable = errors.New("the fake box cannot be reached")
	errPressed     = errors.New("the fake encoder was made to die")
)

// Start switches the box on.
func (e *Encoder) Start(ctx context.Context, job encoders.Job) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start the fake box: %w", err)
	}
	e.pressByFile()
	for {
		wait, err := e.tryStart(job)
		if err != nil || wait == nil {
			return err
		}
		if err := wait(ctx); err != nil {
			return fmt.Errorf("start the fake box: %w", err)
		}
	}
}

// tryStart switches the box on, or returns a wait after which the caller must try again.
func (e *Encoder) tryStart(job encoders.Job) (wait func(context.Context) error, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.unreachable {
		return nil, errUnreachable
	}
	now := time.Now()
	switch p := e.st.at(now, e.settings); {
	case e.settings.HangStart:
		return e.wait(time.Time{}), nil
	case p.state == encoders.StateStopping:
		return e.wait(p.next), nil
	case !p.state.Gone() && e.st.Stream == job.ID() && !e.st.ByHand:
		return nil, nil
	case !p.state.Gone() && e.st.ByHand && job.Adopt:
		e.st.Stream, e.st.Run, e.st.ByHand = job.ID(), job.Run, false
		return nil, e.commit()
	case !p.state.Gone():
		return nil, fmt.Errorf("the fake box: %w", encoders.ErrBusy)
	}
	e.st.Starts++
	if text := e.settings.startRefused(e.st.Starts); text != "" {
		err = errors.New(text)
		if e.settings.Permanent {
			err = encoders.Permanent(err)
		}
		return nil, errors.Join(err, encoders.Remember(e.dir, stateFile, e.st))
	}
	e.st = state{Stream: job.ID(), Run: job.Run, Started: now, Starts: e.st.Starts, Stops: e.st.Stops}
	return nil, e.commit()
}

// Stop switches the box off, if it is on for the job's stream, and waits until it is.
func (e *Encoder) Stop(ctx context.Context, job encoders.Job) error {
	e.pressByFile()
	for {
		wait, err := e.tryStop(job)
		if err != nil || wait == nil {
			return err
		}
		if err := wait(ctx); err != nil {
			return fmt.Errorf("the fake box has not confirmed the stop: %w", err)
		}
	}
}

func (e *Encoder) tryStop(job encoders.Job) (wait func(context.Context) error, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.unreachable {
		return nil, errUnreachable
	}
	now := time.Now()
	p := e.st.at(now, e.settings)
	switch ours := e.st.Stream == job.ID() && !e.st.ByHand; {
	case p.state == encoders.StateStopped || !ours && !(job.Adopt && e.st.ByHand):
		return nil, nil
	case p.state == encoders.StateFailed:
		e.st = state{Starts: e.st.Starts, Stops: e.st.Stops}
		return nil, e.commit()
	case p.state == encoders.StateStopping:
		return e.wait(p.next), nil
	}
	e.st.Stops++
	if text := e.settings.stopRefused(e.st.Stops); text != "" {
		return nil, errors.Join(errors.New(text), encoders.Remember(e.dir, stateFile, e.st))
	}
	e.st.Stopped, e.st.ByHand = now, false
	if err := e.commit(); err != nil {
		return nil, err
	}
	if p = e.st.at(now, e.settings); p.state.Gone() {
		return nil, nil
	}
	return e.wait(p.next), nil
}

// commit writes the changed state and wakes those who wait for a change. The caller holds mu.
func (e *Encoder) commit() error {
	close(e.changed)
	e.changed = make(chan struct{})
	return encoders.Remember(e.dir, stateFile, e.st)
}

// wait returns a function that waits for the next change: a press, or the time when the box changes
// by itself (zero: never). The caller holds mu.
func (e *Encoder) wait(next time.Time) func(context.Context) error {
	changed := e.changed
	return func(ctx context.Context) error {
		var due <-chan time.Time
		if !next.IsZero() {
			timer := time.NewTimer(time.Until(next))
			defer timer.Stop()
			due = timer.C
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-due:
		}
		return nil
	}
}

// Status observes the box.
func (e *Encoder) Status(ctx context.Context, _ encoders.Job) (encoders.Status, error) {
	if d := e.settings.StatusDelay; d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return encoders.Status{}, ctx.Err()
		}
	}
	e.pressByFile()
	s, _, _ := e.observe()
	return s, ctx.Err()
}

// observe returns the status, the time when it changes by itself (zero: never), and a channel that
// is closed on any other change.
func (e *Encoder) observe() (encoders.Status, time.Time, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.unreachable {
		return encoders.Status{State: encoders.StateUnknown, At: time.Now(), Error: errUnreachable.Error()}, time.Time{},
			e.changed
	}
	return e.look()
}

// face is what observe returns to a person at the box's front, who needs no network.
func (e *Encoder) face() (encoders.Status, time.Time, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.look()
}

// look is observe for those who hold mu.
func (e *Encoder) look() (encoders.Status, time.Time, <-chan struct{}) {
	now := time.Now()
	p := e.st.at(now, e.settings)
	s := encoders.Status{State: p.state, At: now, Since: p.since, Run: e.st.Run, ByHand: e.st.ByHand, Error: p.err}
	if !e.st.ByHand {
		s.Stream = e.st.Stream
	}
	switch p.state {
	case encoders.StatePublishing:
		s.ConfigOnly = e.settings.ConfigOnly
		if !s.ConfigOnly {
			s.Health = e.settings.health(p.since, now)
		}
	case encoders.StateFailed:
		s.Permanent = e.settings.Permanent
	}
	return s, p.next, e.changed
}

const (
	healthEvery = 2 * time.Second // how often figures move
	pressEvery  = 4 * time.Second // how often the press file is looked for, most of the cost of an idle box
)

// Watch reports the box as it changes. All boxes of a process wake at the same instants, so that a
// thousand of them wake it no more often than one.
func (e *Encoder) Watch(ctx context.Context, _ encoders.Job, report func(encoders.Status)) error {
	return e.watch(ctx, e.observe, report)
}

func (e *Encoder) watch(
	ctx context.Context, observe func() (encoders.Status, time.Time, <-chan struct{}), report func(encoders.Status),
) error {
	timer := time.NewTimer(healthEvery)
	defer timer.Stop()
	var last encoders.Status
	var pressAt time.Time
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if time.Until(pressAt) <= 0 {
			e.pressByFile()
			pressAt = time.Now().Add(untilNext(pressEvery))
		}
		s, next, changed := observe()
		if last.At.IsZero() || differs(last, s) || s.Health != nil && s.At.Truncate(healthEvery).After(last.At) {
			report(s)
			last = s
		}
		wait := untilNext(healthEvery)
		if e.dir == "" && s.Health == nil {
			wait = time.Hour
		}
		if !next.IsZero() {
			wait = min(wait, time.Until(next))
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
	}
}

// untilNext is how long it is until a whole multiple of d.
func untilNext(d time.Duration) time.Duration { return d - time.Duration(time.Now().UnixNano())%d }

func differs(a, b encoders.Status) bool {
	return a.State != b.State || a.Run != b.Run || a.Stream != b.Stream || a.Error != b.Error || a.ByHand != b.ByHand
}

// Plan says what a start would do.
func (e *Encoder) Plan(job encoders.Job) []string {
	return []string{fmt.Sprintf("pretend to publish %s, live after %v", job.ID(), e.settings.StartDelay)}
}

// Check fails when the box is set to be unreachable.
func (e *Encoder) Check(context.Context, encoders.Job) []encoders.Finding {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.unreachable {
		return []encoders.Finding{{Level: encoders.Bad, What: errUnreachable.Error(),
			Hint: "take unreachable out of its settings"}}
	}
	return []encoders.Finding{{Level: encoders.OK, What: "the fake box answers"}}
}
