package obs

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
	_ encoders.Closer  = (*Encoder)(nil)
	_ encoders.Checker = (*Encoder)(nil)
	_ encoders.Planner = (*Encoder)(nil)
)

// Encoder is one OBS. Its connection is opened by the first Start, Stop, Status or Watch, and closed by Close.
type Encoder struct {
	settings Settings
	env      encoders.Env
	limits   limits
	turn     chan struct{} // held by the one Start or Stop under way
	kick     chan struct{} // asks for a connection attempt now
	nudge    chan struct{} // tells the loop that the output moved

	opening sync.Once
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
	target  target // set by opening

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every change of what follows
	out     output
	saved   claim     // what is on disk
	sess    *session  // nil while not connected
	ready   bool      // sess has told where the output is
	holds   int       // who wants OBS not to be asked anything: it is changing its profile or scene collection
	held    time.Time // when holds changed last
	events  int       // stream events seen on this connection
	version version   // of the OBS that sess leads to
	linkErr error     // why there is no connection; nil before the first attempt has ended
	lastErr error     // why there was none last
	lost    time.Time // when the connection was lost, or first failed; zero while there is one
	begun   int       // attempts begun
	tries   int       // attempts ended
}

// limits are the driver's times. Tests shorten them.
type limits struct {
	dial        time.Duration // TCP, websocket and hand-shake together
	request     time.Duration // one request; OBS answers in milliseconds unless it is frozen
	change      time.Duration // a change of profile or scene collection
	look        time.Duration // what Status waits for an answer
	pollOn      time.Duration // between polls while the output is not stopped
	pollOff     time.Duration // between polls while it is; they are also what finds a dead connection
	pollUnsure  time.Duration // between polls until it is certain that the output is stopped
	retry       time.Duration // after OBS said that it is not ready
	quiet       time.Duration // see output.quiet
	backoffMin  time.Duration
	backoffMax  time.Duration
	backoffAuth time.Duration // after a refused password
}

func defaultLimits() limits {
	return limits{
		dial: 5 * time.Second, request: 5 * time.Second, change: 30 * time.Second, look: 3 * time.Second,
		pollOn: time.Second, pollOff: 12 * time.Second, pollUnsure: 100 * time.Millisecond, retry: 300 * time.Millisecond, quiet: 2 * time.Second,
		backoffMin: time.Second, backoffMax: 30 * time.Second, backoffAuth: 30 * time.Second,
	}
}

// New returns the encoder of one OBS. It does not connect: OBS may be closed.
func New(settings Settings, env encoders.Env) (*Encoder, error) {
	return newEncoder(settings, env, defaultLimits())
}

func newEncoder(settings Settings, env encoders.Env, l limits) (*Encoder, error) {
	if err := settings.Validate(); err != nil {
		return nil, err
	}
	e := &Encoder{
		settings: settings, env: env, limits: l,
		turn: make(chan struct{}, 1), kick: make(chan struct{}, 1), nudge: make(chan struct{}, 1), changed: make(chan struct{}),
		out: output{stallAfter: settings.StallTimeout, quiet: l.quiet, remembers: env.Dir != "", phase: phaseUnseen},
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e, nil
}

// Close ends the connection. OBS goes on with what it does.
func (e *Encoder) Close() error {
	e.opening.Do(func() {})
	e.cancel()
	e.running.Wait()
	return nil
}

var errClosed = errors.New("the encoder is closed")

// open starts the connection for an encoder that has none yet.
func (e *Encoder) open(job encoders.Job) {
	e.opening.Do(func() {
		e.target = e.targetFor(job)
		c, err := encoders.Recall[claim](e.env.Dir, claimFile)
		if err != nil {
			e.env.Log.Warn("cannot tell whether OBS was started from here", "error", err)
		}
		e.saved, e.out.owner = c, c
		if now := time.Now(); c.Stream != "" && now.Sub(c.At) < startLimit {
			e.out.move(phaseStarting, now)
			e.out.deadline = c.At.Add(startLimit)
		}
		e.running.Go(e.run)
	})
}

func (e *Encoder) targetFor(job encoders.Job) target {
	return target{address: job.Fill(e.settings.Addr), tls: e.settings.TLS, password: e.settings.Password}
}

// update changes what is known, keeps the claim on disk in step, and wakes all who wait.
func (e *Encoder) update(change func(now time.Time)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(time.Now())
	owner := e.out.owner
	if e.out.phase == phaseStopped {
		owner = claim{}
	}
	if owner != e.saved && e.out.phase != phaseUnseen {
		if err := owner.keep(e.env.Dir); err != nil {
			e.env.Log.Warn("a restart of the controller may take this OBS's stream for somebody else's", "error", err)
		}
		e.saved = owner
	}
	close(e.changed)
	e.changed = make(chan struct{})
	select {
	case e.nudge <- struct{}{}:
	default:
	}
}

// await returns once done says so. done is called with what is known locked, at every change and at the time again, when that is to come.
func (e *Encoder) await(ctx context.Context, done func(now time.Time) (ok bool, again time.Time)) error {
	for {
		e.mu.Lock()
		now := time.Now()
		ok, again := done(now)
		changed := e.changed
		e.mu.Unlock()
		if ok {
			return nil
		}
		if !again.After(now) {
			again = time.Time{}
		}
		if err := e.pause(ctx, changed, again); err != nil {
			return err
		}
	}
}

// pause waits for a change, the time again (zero: never), or an end, which is an error.
func (e *Encoder) pause(ctx context.Context, changed <-chan struct{}, again time.Time) error {
	var alarm <-chan time.Time
	if !again.IsZero() {
		t := time.NewTimer(time.Until(again))
		defer t.Stop()
		alarm = t.C
	}
	select {
	case <-changed:
	case <-alarm:
	case <-ctx.Done():
		return ctx.Err()
	case <-e.ctx.Done():
		return errClosed
	}
	return nil
}

// takeTurn waits for the Start or Stop before to end, and returns how to end one's own.
func (e *Encoder) takeTurn(ctx context.Context) (release func(), err error) {
	select {
	case e.turn <- struct{}{}:
		return func() { <-e.turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the start or stop before: %w", ctx.Err())
	}
}
