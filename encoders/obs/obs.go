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
	_ encoders.Readier = (*Encoder)(nil)
)

// Encoder is one OBS. Its connection is made by the first Start, Stop, Status, Watch or KeepReady,
// and closed by Close.
type Encoder struct {
	// set at construction
	settings Settings
	env      encoders.Env
	limits   limits
	turn     chan struct{} // held by the one Start or Stop under way
	dialNow  chan struct{} // asks for a connection attempt now
	moved    chan struct{} // tells the polling loop that the output may have moved
	ctx      context.Context
	cancel   context.CancelFunc // called by Close

	// set by connectOnce
	once    sync.Once
	running sync.WaitGroup
	target  target

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every change of what follows
	out     output
	saved   started // what is on disk
	link    link
	keep    setup // what KeepReady wants in OBS while it is idle
}

// link is what is known of the connection to OBS.
type link struct {
	sess    *session  // nil while there is no connection
	ready   bool      // sess has told where the output is
	version version   // of the OBS that sess leads to
	events  int       // stream events received from sess
	changes int       // changes of its profile or scene collection under way, during which OBS must not be polled
	change  time.Time // when changes was set last

	setup     setup     // put into OBS last, or tried, on sess
	busyUntil time.Time // OBS is not set up before the next start until then: an output was on

	err     error     // why there is no connection; nil before the first attempt has ended
	lastErr error     // why the last attempt failed, or the last connection ended
	lost    time.Time // when the connection was lost, or first failed; zero while there is one
	begun   int       // attempts begun
	ended   int       // attempts that ended without a connection, and connections that ended
}

// limits are the driver's times. Tests shorten them.
type limits struct {
	dial        time.Duration // TCP, websocket and handshake together
	request     time.Duration // one request; OBS answers in milliseconds unless it is frozen
	change      time.Duration // a change of profile or scene collection
	status      time.Duration // how long Status waits for an answer
	pollOn      time.Duration // between polls while the output is not stopped
	pollOff     time.Duration // between polls while it is; these polls also find a dead connection
	pollUnsure  time.Duration // between polls until it is certain that the output is stopped
	retry       time.Duration // after OBS said that it is not ready
	quiet       time.Duration // see output.quiet
	backoffMin  time.Duration
	backoffMax  time.Duration
	backoffAuth time.Duration // after a refused password
}

func defaultLimits() limits {
	return limits{
		dial: 5 * time.Second, request: 5 * time.Second, change: 30 * time.Second, status: 3 * time.Second,
		pollOn: time.Second, pollOff: 12 * time.Second, pollUnsure: 100 * time.Millisecond,
		retry: 300 * time.Millisecond, quiet: 2 * time.Second,
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
		turn: make(chan struct{}, 1), dialNow: make(chan struct{}, 1), moved: make(chan struct{}, 1),
		changed: make(chan struct{}),
		out: output{
			stallAfter: settings.StallTimeout, quiet: l.quiet, remembers: env.Dir != "", phase: phaseUnseen,
		},
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e, nil
}

// Close ends the connection. It changes nothing in OBS.
func (e *Encoder) Close() error {
	e.once.Do(func() {})
	e.cancel()
	e.running.Wait()
	return nil
}

var errClosed = errors.New("the encoder is closed")

// connectOnce begins to keep a connection, at its first call.
func (e *Encoder) connectOnce(job encoders.Job) {
	e.once.Do(func() {
		e.target = e.targetFor(job)
		last, err := encoders.Recall[started](e.env.Dir, startedFile)
		if err != nil {
			e.env.Log.Warn("it is not known whether OBS was started from here", "error", err)
		}
		e.saved, e.out.owner = last, last
		if now := time.Now(); last.Stream != "" && now.Sub(last.At) < startLimit {
			e.out.move(phaseStarting, now)
			e.out.deadline = last.At.Add(startLimit)
		}
		e.running.Go(e.run)
		e.running.Go(e.keepReady)
	})
}

func (e *Encoder) targetFor(job encoders.Job) target {
	return target{address: job.Fill(e.settings.Addr), tls: e.settings.TLS, password: e.settings.Password}
}

// update changes what is known, saves whose start is on, and wakes everything that waits for a
// change.
func (e *Encoder) update(change func(now time.Time)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(time.Now())
	owner := e.out.owner
	if e.out.phase == phaseStopped {
		owner = started{}
	}
	if owner != e.saved && e.out.phase != phaseUnseen {
		if err := owner.save(e.env.Dir); err != nil {
			e.env.Log.Warn("after a restart, oncue may not know this OBS's stream as its own", "error", err)
		}
		e.saved = owner
	}
	close(e.changed)
	e.changed = make(chan struct{})
	select {
	case e.moved <- struct{}{}:
	default:
	}
}

// await returns once done says so. It calls done with mu locked, at every change and at the time
// that done gave last, unless that is past.
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

// pause waits for a change or for the time again (zero: never). The end of ctx or of the encoder is
// an error.
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

// waitTurn waits until no other Start or Stop is under way. The caller must call release.
func (e *Encoder) waitTurn(ctx context.Context) (release func(), err error) {
	select {
	case e.turn <- struct{}{}:
		return func() { <-e.turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for another start or stop to end: %w", ctx.Err())
	}
}
