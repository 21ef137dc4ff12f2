// Package wol wakes a computer by its network card (Wake-on-LAN), so that what runs there can be
// used: it is a helper, and publishes nothing itself.
//
// Read [Settings] first. A start sends the magic packet, and again every two seconds, because
// packets get lost, until what `check` names answers: then the computer is ready. No packet puts a
// computer to sleep. So a stop confirms at once and leaves the computer as it is; afterwards the
// state is stopped, although it may be awake. Its own power plan sends it to sleep, or another
// helper switches it off.
//
// The packet is six bytes FF and sixteen times the address of the card, by UDP to a broadcast
// address; the card looks at nothing else. Source: AMD, "Magic Packet Technology", publication
// 20213 (1995). Routers do not pass it on. Not tried with a real card that sleeps.
package wol

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oncue/oncue/encoders"
)

var (
	_ encoders.Encoder = (*Encoder)(nil)
	_ encoders.Watcher = (*Encoder)(nil)
	_ encoders.Checker = (*Encoder)(nil)
	_ encoders.Planner = (*Encoder)(nil)
)

// Encoder is one computer. It has no goroutine of its own: while it wakes, who looks at it also
// sends the next packet.
type Encoder struct {
	// set at construction
	settings Settings
	env      encoders.Env
	every    time.Duration // between packets, and between looks of Watch

	mu      sync.Mutex
	started started
	sent    time.Time // the last packet
	silent  time.Time // since when it does not answer; zero: it does
	state   encoders.State
	since   time.Time     // when state began
	changed chan struct{} // closed and replaced at each start and stop
}

// started remembers a start for the next process. The zero value says that nobody needs the
// computer.
type started struct {
	Stream string `json:"stream"` // stream id
	Run    string `json:"run"`
	Up     bool   `json:"up,omitempty"` // it has answered since
}

const startedFile = "started.json"

// New returns the encoder of one computer. It sends nothing.
func New(settings Settings, env encoders.Env) (*Encoder, error) {
	if err := settings.Validate(); err != nil {
		return nil, encoders.Permanent(err)
	}
	c, err := encoders.Recall[started](env.Dir, startedFile)
	if err != nil {
		return nil, err
	}
	return &Encoder{settings: settings, env: env, every: 2 * time.Second, started: c, changed: make(chan struct{})}, nil
}

// Start sends the first packet. A computer that is awake is not disturbed by it.
func (e *Encoder) Start(ctx context.Context, job encoders.Job) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("wake: %w", err)
	}
	s, err := e.Status(ctx, job)
	if err != nil {
		return fmt.Errorf("wake: %w", err)
	}
	if !s.State.Gone() {
		if s.Stream != job.ID() {
			return fmt.Errorf("the computer is woken for %s: %w", s.Stream, encoders.ErrBusy)
		}
		return nil
	}
	if err := e.set(started{Stream: job.ID(), Run: job.Run}); err != nil {
		return fmt.Errorf("wake: %w", err)
	}
	if err := e.send(ctx); err != nil {
		return errors.Join(fmt.Errorf("wake: %w", err), e.set(started{}))
	}
	return nil
}

// Stop ends the waking. It does nothing to the computer.
func (e *Encoder) Stop(_ context.Context, job encoders.Job) error {
	e.mu.Lock()
	ours := e.started.Stream == job.ID()
	e.mu.Unlock()
	if !ours {
		return nil
	}
	if err := e.set(started{}); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

// set changes for whom the computer is on, on disk first.
func (e *Encoder) set(c started) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.save(c); err != nil {
		return err
	}
	e.silent, e.sent = time.Time{}, time.Time{}
	close(e.changed)
	e.changed = make(chan struct{})
	return nil
}

// save is set for those who hold mu.
func (e *Encoder) save(c started) (err error) {
	if c == e.started {
		return nil
	}
	if c == (started{}) {
		err = encoders.Forget(e.env.Dir, startedFile)
	} else {
		err = encoders.Remember(e.env.Dir, startedFile, c)
	}
	if err == nil {
		e.started = c
	}
	return err
}

// Status asks whether the computer answers. While it has not yet, the next packet is sent when it
// is time.
func (e *Encoder) Status(ctx context.Context, _ encoders.Job) (encoders.Status, error) {
	e.mu.Lock()
	c := e.started
	e.mu.Unlock()
	if c.Stream == "" {
		return e.note(c, encoders.StateStopped, ""), ctx.Err()
	}
	problem := e.settings.ask(ctx)
	if ctx.Err() != nil {
		return encoders.Status{}, ctx.Err()
	}
	e.mu.Lock()
	if e.started.Stream != c.Stream || e.started.Run != c.Run { // stopped, or started anew, meanwhile
		c, problem = e.started, nil
		e.mu.Unlock()
		if c.Stream == "" {
			return e.note(c, encoders.StateStopped, ""), nil
		}
		return e.note(c, encoders.StateStarting, ""), nil
	}
	send := false
	if problem == nil {
		e.silent, c.Up = time.Time{}, true
		if err := e.save(c); err != nil {
			e.env.Log.Warn("it cannot be saved that the computer is up", "error", err)
		}
	} else {
		if e.silent.IsZero() {
			e.silent = time.Now()
		}
		send = !c.Up && time.Since(e.sent) >= e.every
	}
	// One look may be lost in a busy network: it takes another, later, to say that it has failed.
	failed := c.Up && problem != nil && time.Since(e.silent) >= e.every
	e.mu.Unlock()
	if send {
		if err := e.send(ctx); err != nil {
			e.env.Log.Warn("the packet was not sent", "error", err)
		}
	}
	switch {
	case failed:
		return e.note(c, encoders.StateFailed, fmt.Sprintf("it answers no more: %v", problem)), nil
	case c.Up:
		return e.note(c, encoders.StatePublishing, ""), nil
	}
	return e.note(c, encoders.StateStarting, ""), nil
}

// note makes a status, and remembers when its state began.
func (e *Encoder) note(c started, state encoders.State, text string) encoders.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if state != e.state {
		e.state, e.since = state, now
	}
	return encoders.Status{State: state, At: now, Since: e.since, Run: c.Run, Stream: c.Stream, Error: text}
}

// Watch asks every two seconds while somebody needs the computer.
func (e *Encoder) Watch(ctx context.Context, job encoders.Job, report func(encoders.Status)) error {
	var last encoders.Status
	tick := time.NewTicker(e.every)
	defer tick.Stop()
	for {
		e.mu.Lock()
		changed := e.changed
		e.mu.Unlock()
		s, err := e.Status(ctx, job)
		if err != nil {
			return err
		}
		if last.State == "" || !s.Alike(last) {
			report(s)
			last = s
		}
		select {
		case <-tick.C:
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
