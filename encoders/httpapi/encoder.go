package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/oncue/oncue/encoders"
)

// Encoder is a box behind an HTTP API.
type Encoder struct {
	// set at construction
	plan      *plan
	env       encoders.Env
	devices   *Devices
	wire      *wire
	transport http.RoundTripper // wire, or digest authentication around it
	session   session
	acting    chan struct{} // holds one token while a Start or Stop is under way

	mu      sync.Mutex
	show    func(TraceEntry)
	started started
	seen    seen
	acts    int           // counts our starts and stops: a reading from before the last one is out of date
	changed chan struct{} // closed and replaced after each start and stop
	stopped time.Time     // when the last stop was confirmed
}

// New opens a box on its own; see [Devices.New].
func New(settings Settings, env encoders.Env) (*Encoder, error) {
	return new(Devices).New(settings, env)
}

// New opens a box; it does not talk to it yet. Encoders of one Devices take turns at a box.
func (d *Devices) New(settings Settings, env encoders.Env) (*Encoder, error) {
	p, errs := compile(settings)
	if len(errs) > 0 {
		return nil, encoders.Permanent(errors.Join(errs...))
	}
	w, transport, err := newTransport(p)
	if err != nil {
		return nil, encoders.Permanent(err)
	}
	c, err := encoders.Recall[started](env.Dir, startedFile)
	if err != nil {
		return nil, err
	}
	return &Encoder{
		plan: p, env: env, devices: d, wire: w, transport: transport, started: c,
		acting: make(chan struct{}, 1), changed: make(chan struct{}),
	}, nil
}

// Close closes idle connections.
func (e *Encoder) Close() error {
	e.wire.CloseIdleConnections()
	return nil
}

// act waits until no other Start or Stop is under way.
func (e *Encoder) act(ctx context.Context) (done func(), err error) {
	select {
	case e.acting <- struct{}{}:
		return func() { <-e.acting }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("another start or stop is under way: %w", ctx.Err())
	}
}

// remembered returns whose start is on, and how often we have acted.
func (e *Encoder) remembered() (started, int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.started, e.acts
}

// remember sets whose start is on, on disk first.
func (e *Encoder) remember(c started) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.acts++
	return e.save(c)
}

// save sets whose start is on. The caller holds mu.
func (e *Encoder) save(c started) error {
	if c == e.started {
		return nil
	}
	if err := c.save(e.env.Dir); err != nil {
		return err
	}
	e.started = c
	return nil
}

// wake makes every Watch read the state now.
func (e *Encoder) wake() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.changed)
	e.changed = make(chan struct{})
}

// quick reports whether the box is about to change because of us.
func (e *Encoder) quick(s encoders.State) bool {
	if s == encoders.StateStarting || s == encoders.StateStopping {
		return true
	}
	c, _ := e.remembered()
	return c.Stopping || c.pending(e.plan.settings.Settle)
}
