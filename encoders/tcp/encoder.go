package tcp

import (
	"errors"
	"sync"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/boxes"
)

// Encoder is a box that is spoken to over a plain connection.
type Encoder struct {
	*boxes.Life // Start, Stop, Status and Watch

	// set at construction
	plan    *plan
	env     encoders.Env
	devices *Devices

	mu     sync.Mutex
	link   *link // nil: none
	closed bool
	idle   *time.Timer // ends link when it is not used; nil: it is in use, or is to be kept
	wake   *time.Timer // ends the time in which nobody is woken again; nil: there is none
	again  bool        // somebody is to be woken then

	show   func(TraceLine)
	log    []string
	hidden []string       // secrets that the box has told, newest last
	mask   *secret.Masker // of the newest call
}

// Devices makes all encoders of one process take turns at each box. The zero value is ready. A
// process needs one Devices.
type Devices struct{ boxes boxes.Devices }

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
	e := &Encoder{plan: p, env: env, devices: d}
	e.mask = boxes.NewMasker(p.words, env.Secrets, encoders.Job{})
	var err error
	e.Life, err = boxes.NewLife(settings.Manners, settings.Status.StallAfter, env,
		func(job encoders.Job, step boxes.Step) boxes.Talk { return e.call(job, step) })
	if err != nil {
		return nil, err
	}
	return e, nil
}

var errClosed = errors.New("the encoder is closed")

// Close ends the connection to the box.
func (e *Encoder) Close() error {
	e.mu.Lock()
	e.closed = true
	for _, t := range []*time.Timer{e.wake, e.idle} {
		if t != nil {
			t.Stop()
		}
	}
	l := e.link
	e.mu.Unlock()
	e.drop(l)
	return nil
}

// current is the connection, nil for none.
func (e *Encoder) current() *link {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.link
}

// take is current for a call that is about to use it.
func (e *Encoder) take() *link {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.idle != nil {
		e.idle.Stop()
		e.idle = nil
	}
	return e.link
}

// idleFor is how long a connection is kept that may be needed again: a stop is followed by
// questions, and some boxes serve one client at a time and are slow to notice that one has gone.
const idleFor = 2 * time.Second

// rest ends the connection if no call takes it soon.
func (e *Encoder) rest() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.link == nil || e.closed {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(idleFor, func() {
		e.mu.Lock()
		if e.idle != t {
			e.mu.Unlock()
			return
		}
		l := e.link
		e.idle, e.link = nil, nil
		e.mu.Unlock()
		e.drop(l)
	})
	e.idle = t
}

// use takes a new connection, and hears what comes in.
func (e *Encoder) use(l *link) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosed
	}
	e.link, l.heard, l.lost = l, e.heard, e.lost
	go l.read()
	return nil
}

// drop ends a connection, which may be nil.
func (e *Encoder) drop(l *link) {
	if l == nil {
		return
	}
	e.mu.Lock()
	if e.link == l {
		e.link = nil
	}
	e.mu.Unlock()
	l.close()
}

// heard is told what the box says by itself.
func (e *Encoder) heard(message string, changed bool) {
	e.mu.Lock()
	mask := e.mask
	e.mu.Unlock()
	e.hide(message, mask)
	line := TraceLine{At: time.Now(), Step: unasked, Text: boxes.Clean(mask, e.plan.cover(message))}
	e.note(line, changed)
	if changed {
		e.soon()
	}
}

// lost is told that the box has ended the connection. The state is read at once, but not for a box
// that ends each connection: that one is tried again at the interval.
func (e *Encoder) lost(l *link) {
	e.note(TraceLine{At: time.Now(), Step: unasked, Text: "the connection has ended"}, true)
	if time.Since(l.began) >= e.plan.settings.Interval {
		e.soon()
	}
}

// soon makes every Watch read the state, not more often than at quick_interval.
func (e *Encoder) soon() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wake != nil || e.closed {
		e.again = true
		return
	}
	e.Wake()
	e.again = false
	e.wake = time.AfterFunc(e.plan.settings.QuickInterval, func() {
		e.mu.Lock()
		again := e.again
		e.wake = nil
		e.mu.Unlock()
		if again {
			e.soon()
		}
	})
}
