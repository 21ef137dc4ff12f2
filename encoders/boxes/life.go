package boxes

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/oncue/oncue/encoders"
)

// Manners are the keys of a driver's settings that say how a box is to be treated.
type Manners struct {
	StartIdempotent    bool   `yaml:"start_idempotent" doc:"a second start does no harm; otherwise the state is read before each start"`
	StopIdempotent     bool   `yaml:"stop_idempotent" doc:"a second stop does no harm; otherwise the state is read before each stop"`
	StatusIsConfigOnly bool   `yaml:"status_is_config_only" doc:"live says that the box is switched on, not that it delivers"`
	FoundOff           string `yaml:"found_off" enum:"hand,failure" doc:"what it means when a box that was on is found stopped: somebody stopped it (hand), or it failed"`

	Interval      time.Duration `yaml:"interval" min:"100ms" doc:"how often the state is read"`
	QuickInterval time.Duration `yaml:"quick_interval" min:"10ms" doc:"how often while it is changing"`
	Settle        time.Duration `yaml:"settle" doc:"how long the box may still say stopped after a start"`
	MinGap        time.Duration `yaml:"min_gap" doc:"least time between a stop and the next start; 0 = none"`
	Confirmations int           `yaml:"confirmations" min:"1" doc:"how many readings in a row must say stopped before a stop is confirmed"`
}

// DefaultManners are those of a box of which nothing is known.
func DefaultManners() Manners {
	return Manners{
		StopIdempotent: true,
		FoundOff:       "hand",
		Interval:       5 * time.Second,
		QuickInterval:  500 * time.Millisecond,
		Settle:         10 * time.Second,
		Confirmations:  1,
	}
}

// Manners says what is wrong with m.
func (c *Compiler) Manners(m Manners) {
	if m.Interval < m.QuickInterval {
		c.Fail("interval", "must not be shorter than quick_interval (%s)", m.QuickInterval)
	}
	for key, bad := range map[string]bool{
		"interval": m.Interval <= 0, "quick_interval": m.QuickInterval <= 0, "confirmations": m.Confirmations <= 0,
	} {
		if bad {
			c.Fail(key, "must be more than 0")
		}
	}
	if m.FoundOff != "hand" && m.FoundOff != "failure" {
		c.Fail("found_off", "is %q; allowed: hand, failure", m.FoundOff)
	}
}

// Step is what a call is about.
type Step string

const (
	Start Step = "start"
	Stop  Step = "stop"
	Read  Step = "status"
)

// Talk is how one call of the controller speaks with the box.
type Talk interface {
	// Turn waits for the caller's turn at the box. The caller must call leave.
	Turn(ctx context.Context) (leave func(), err error)

	// Read reads the state. A box that does not answer is no error: the reading says so. The
	// caller has the turn.
	Read(ctx context.Context) Reading

	// Send makes a start or a stop. The error of a box that has not accepted it holds a [Refusal],
	// or is permanent; after any other the box may or may not have it. The caller has the turn.
	Send(ctx context.Context, step Step) error
}

// Refusal is an answer of the box that it has not done what was asked.
type Refusal struct {
	Text  string
	Cause error // nil, or ErrBusy
}

func (r *Refusal) Error() string {
	if r.Cause != nil {
		return r.Cause.Error() + ": " + r.Text
	}
	return r.Text
}

func (r *Refusal) Unwrap() error { return r.Cause }

// Life is the life of a box; a driver's encoder holds one.
type Life struct {
	// set at construction
	manners    Manners
	stallAfter time.Duration
	env        encoders.Env
	talk       func(job encoders.Job, step Step) Talk
	acting     chan struct{} // holds one token while a Start or Stop is under way

	mu      sync.Mutex
	started Started
	seen    seen
	acts    int           // counts our starts and stops: a reading from before the last one is out of date
	changed chan struct{} // closed and replaced when the state should be read now
	stopped time.Time     // when the last stop was confirmed
}

// NewLife remembers who started the box; it does not talk to it. stallAfter is that of [States].
func NewLife(
	m Manners, stallAfter time.Duration, env encoders.Env, talk func(job encoders.Job, step Step) Talk,
) (*Life, error) {
	c, err := encoders.Recall[Started](env.Dir, startedFile)
	if err != nil {
		return nil, err
	}
	return &Life{
		manners: m, stallAfter: stallAfter, env: env, talk: talk, started: c,
		acting: make(chan struct{}, 1), changed: make(chan struct{}),
	}, nil
}

// act waits until no other Start or Stop is under way.
func (e *Life) act(ctx context.Context) (done func(), err error) {
	select {
	case e.acting <- struct{}{}:
		return func() { <-e.acting }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("another start or stop is under way: %w", ctx.Err())
	}
}

// Remembered is whose start is on.
func (e *Life) Remembered() Started {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.started
}

// remembered is Remembered, with how often we have acted.
func (e *Life) remembered() (Started, int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.started, e.acts
}

// remember sets whose start is on, on disk first.
func (e *Life) remember(c Started) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.acts++
	return e.save(c)
}

// save sets whose start is on. The caller holds mu.
func (e *Life) save(c Started) error {
	if c == e.started {
		return nil
	}
	if err := c.save(e.env.Dir); err != nil {
		return err
	}
	e.started = c
	return nil
}

// Wake makes every Watch read the state now.
func (e *Life) Wake() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.changed)
	e.changed = make(chan struct{})
}

// quick reports whether the box is about to change because of us.
func (e *Life) quick(s encoders.State) bool {
	if s == encoders.StateStarting || s == encoders.StateStopping {
		return true
	}
	c, _ := e.remembered()
	return c.Stopping || c.pending(e.manners.Settle)
}

// call is one Start, Stop or Status under way.
type call struct {
	Talk
	e   *Life
	job encoders.Job
}

func (e *Life) call(job encoders.Job, step Step) *call { return &call{e.talk(job, step), e, job} }

// send is Send, with the turn that it needs.
func (c *call) send(ctx context.Context, step Step) error {
	leave, err := c.Turn(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return c.Send(ctx, step)
}
