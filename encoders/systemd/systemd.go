package systemd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/oncue/oncue/encoders"
)

var (
	_ encoders.Encoder = (*Encoder)(nil)
	_ encoders.Watcher = (*Encoder)(nil)
	_ encoders.Closer  = (*Encoder)(nil)
	_ encoders.Logger  = (*Encoder)(nil)
	_ encoders.Checker = (*Encoder)(nil)
	_ encoders.Planner = (*Encoder)(nil)
)

// Encoder is one unit.
type Encoder struct {
	// set at construction
	settings Settings
	env      encoders.Env
	bus      *Bus
	acting   chan struct{} // holds one token while a Start or Stop is under way

	at     atomic.Pointer[place] // where the unit is, and on which connection its signals come
	closed atomic.Bool

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced when the unit may have changed
	started  started
	acts     int             // counts our changes of started: a reading from before the last one is out of date
	lastRead time.Time       // when the latest reading was made that was judged
	starting bool            // a Start is under way
	job      dbus.ObjectPath // of the last StartUnit
	active   string          // ActiveState, as it was signalled last
	ended    []jobEnd        // jobs of the unit that have ended since it was seen on
	heard    int             // how many have ended in all
	name     string          // of the unit, for its journal; "" before it was read
}

// jobEnd is the end of a job of the unit.
type jobEnd struct {
	number int // counts them
	job    dbus.ObjectPath
	result string
	off    bool // it left the unit off
}

// New opens a unit of the host. It does not talk to systemd yet.
func (b *Bus) New(settings Settings, env encoders.Env) (*Encoder, error) {
	if err := settings.Validate(); err != nil {
		return nil, encoders.Permanent(err)
	}
	c, err := encoders.Recall[started](env.Dir, startedFile)
	if err != nil {
		return nil, err
	}
	return &Encoder{settings: settings, env: env, bus: b, started: c, acting: make(chan struct{}, 1),
		changed: make(chan struct{})}, nil
}

var errClosed = errors.New("the encoder is closed")

// Close leaves the bus. It changes nothing at the unit.
func (e *Encoder) Close() error {
	e.closed.Store(true)
	e.bus.leave(e)
	e.wake()
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

// wake makes everybody who waits read the unit.
func (e *Encoder) wake() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.changed)
	e.changed = make(chan struct{})
}

// signalled notes a change of the unit's state.
func (e *Encoder) signalled(active string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.active = active
}

// jobEnded notes the end of a job of the unit. systemd signals the unit's state before it.
func (e *Encoder) jobEnded(job dbus.ObjectPath, result string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard++
	if len(e.ended) == 64 { // a unit that is off, and refuses one start after the other
		e.ended = e.ended[1:]
	}
	e.ended = append(e.ended, jobEnd{e.heard, job, result, unit{active: e.active}.state().Gone()})
}

// observe reads the unit, judges it, and remembers what follows. Its error is for people.
func (e *Encoder) observe(ctx context.Context, job encoders.Job) (encoders.Status, unit, error) {
	name := e.settings.name(job)
	for range 10 {
		e.mu.Lock()
		e.name = name
		acts, heard := e.acts, e.heard
		e.mu.Unlock()
		var u unit
		p, err := e.bus.follow(ctx, e, name)
		if err == nil {
			u, err = readUnit(ctx, p)
		}
		if err != nil {
			return encoders.Status{}, unit{}, explain("read its state", name, err)
		}
		if s, ok := e.interpret(p, u, acts, heard); ok {
			return s, u, nil
		}
	}
	return encoders.Status{}, unit{}, fmt.Errorf("unit %s is being started and stopped all the time", name)
}

// interpret judges a reading that began when we had acted so often and heard of so many jobs. ok is
// false when it is out of date: a caller that was held up with "off" would make a run that has
// begun meanwhile look ended.
func (e *Encoder) interpret(p *place, u unit, acts, heard int) (s encoders.Status, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if acts != e.acts || u.at.Before(e.lastRead) {
		return s, false
	}
	e.lastRead = u.at
	k := known{starting: e.starting, followed: p.judged.Swap(true)}
	for _, j := range e.ended {
		if j.job == e.job {
			k.own = j.result
		} else if j.off && j.result == "done" {
			k.stopped = true
		}
	}
	s, c := judge(u, e.started, k)
	if u.on() { // jobs from before this reading say nothing about how it will end
		e.ended = slices.DeleteFunc(e.ended, func(j jobEnd) bool { return j.number <= heard && j.job != e.job })
	}
	if err := e.save(c); err != nil {
		e.env.Log.Warn("what the unit does cannot be saved", "error", err)
	}
	return s, true
}

// remember sets whose start is on, on disk first.
func (e *Encoder) remember(c started) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.acts++
	return e.save(c)
}

// save sets whose start is on, and removes the publishing URL of one that has ended. The caller
// holds mu.
func (e *Encoder) save(c started) error {
	if c.Stream == "" || c.Ended != notEnded {
		if err := removePublish(e.started.File); err != nil {
			return err
		}
		c.File = ""
	}
	if c == e.started {
		return nil
	}
	if err := c.save(e.env.Dir); err != nil {
		return err
	}
	e.started = c
	return nil
}

func (e *Encoder) remembered() started {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.started
}

// Status reads the unit's state.
func (e *Encoder) Status(ctx context.Context, job encoders.Job) (encoders.Status, error) {
	s, _, err := e.observe(ctx, job)
	if ctx.Err() != nil {
		return encoders.Status{}, ctx.Err()
	}
	if err != nil {
		return encoders.Status{State: encoders.StateUnknown, At: time.Now(), Error: err.Error()}, nil
	}
	return s, nil
}

const (
	// lookEvery is how often the unit is read although no signal came.
	lookEvery = time.Minute
	// retryEvery is how often a bus that was lost is tried.
	retryEvery = time.Second
)

// Watch reads the unit when systemd signals a change, and reports what is new.
func (e *Encoder) Watch(ctx context.Context, job encoders.Job, report func(encoders.Status)) error {
	var last encoders.Status
	for {
		changed := e.changes()
		s, err := e.Status(ctx, job)
		if err != nil {
			return err
		}
		if last.State == "" || !s.Alike(last) {
			report(s)
			last = s
		}
		next := lookEvery
		if s.State == encoders.StateUnknown {
			next = retryEvery
		}
		if err := pause(ctx, changed, next); err != nil {
			return err
		}
	}
}

// changes is closed when the unit may have changed.
func (e *Encoder) changes() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.changed
}

// pause waits for a change, or for d. Only the end of ctx is an error.
func pause(ctx context.Context, changed <-chan struct{}, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-changed:
	case <-ctx.Done():
	}
	return ctx.Err()
}
