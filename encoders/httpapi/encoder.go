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
	transport http.RoundTripper // wire, or what signs requests for it
	session   session
	acting    chan struct{} // holds one token while a Start or Stop is under way

	mu      sync.Mutex
	show    func(TraceEntry)
	claim   claim
	seen    seen
	steps   int           // counts changes of what we want of the box, so that older looks are told apart
	changed chan struct{} // closed and replaced when we have acted
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
	c, err := encoders.Recall[claim](env.Dir, claimFile)
	if err != nil {
		return nil, err
	}
	return &Encoder{
		plan: p, env: env, devices: d, wire: w, transport: transport, claim: c,
		acting: make(chan struct{}, 1), changed: make(chan struct{}),
	}, nil
}

// Close lets go of idle connections.
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

// claimed returns what is remembered, and its number.
func (e *Encoder) claimed() (claim, int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.claim, e.steps
}

// setClaim remembers c, on disk first.
func (e *Encoder) setClaim(c claim) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.steps++
	return e.keep(c)
}

// keep is setClaim for those who hold mu.
func (e *Encoder) keep(c claim) error {
	if c == e.claim {
		return nil
	}
	if err := c.keep(e.env.Dir); err != nil {
		return err
	}
	e.claim = c
	return nil
}

// wake has every Watch look again now.
func (e *Encoder) wake() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.changed)
	e.changed = make(chan struct{})
}

// quick reports whether the box is about to change by our doing.
func (e *Encoder) quick(s encoders.State) bool {
	if s == encoders.StateStarting || s == encoders.StateStopping {
		return true
	}
	c, _ := e.claimed()
	return c.Stopping || c.pending(e.plan.settings.Settle)
}
