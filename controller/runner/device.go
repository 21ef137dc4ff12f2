package runner

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/encoders"
)

// devices are the encoders of this host by instance, whoever uses them.
type devices struct {
	c       *Controller
	mu      sync.Mutex
	of      map[machine.Instance]*device
	closing map[machine.Instance]chan struct{} // closed when the driver of before is
}

// device is one encoder: its driver, opened once it is needed, and one watch that tells all streams
// that use it. Locks: opening before mu, mu before a stream's. None of them is held while the
// controller's is taken, and no driver is opened, asked or closed under devices.mu or mu.
type device struct {
	c  *Controller
	at machine.Instance

	opening sync.Mutex      // one opens or closes at a time; files and processes are looked at meanwhile
	before  <-chan struct{} // closed when the driver that the instance had before is; nil: it had none

	refs int // boxes and others that work with it; guarded by devices.mu

	mu       sync.Mutex
	enc      encoders.Encoder // nil: not open
	version  string           // of the settings that it was opened with
	users    map[*stream]user
	watch    context.CancelFunc // nil: there is none
	watched  watching           // what it is for
	last     encoders.Status    // its latest look; no State: none yet
	replaced int                // how often the driver was opened anew
}

// user is a stream that is told of the device.
type user struct {
	spec   machine.EncoderSpec
	job    encoders.Job
	active bool // the device may run at its word: the watch is made with its job
}

type watching struct {
	stream *stream
	run    string
	opened int
}

// get returns the device for as long as the caller works with it; put ends that.
func (ds *devices) get(at machine.Instance) *device {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	d := ds.of[at]
	if d == nil {
		d = &device{c: ds.c, at: at, users: map[*stream]user{}, before: ds.closing[at]}
		ds.of[at] = d
	}
	d.refs++
	return d
}

// put closes the driver of a device that nobody works with any more.
func (ds *devices) put(d *device) {
	ds.mu.Lock()
	if d.refs--; d.refs > 0 {
		ds.mu.Unlock()
		return
	}
	closed := make(chan struct{})
	delete(ds.of, d.at)
	ds.closing[d.at] = closed
	ds.mu.Unlock()
	d.close()
	close(closed)
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if ds.closing[d.at] == closed {
		delete(ds.closing, d.at)
	}
}

// close closes all drivers, when nobody works with them any more.
func (ds *devices) close() {
	ds.mu.Lock()
	all := slices.Collect(maps.Values(ds.of))
	clear(ds.of)
	ds.mu.Unlock()
	for _, d := range all {
		d.close()
	}
}

// driver is the driver that is open, or else one that is opened now. inHand: the encoder runs, or
// is started, at the caller's word, so e has the version that counts. Who only looks takes that of
// what may run there.
func (d *device) driver(e machine.EncoderSpec, job encoders.Job, inHand bool) (encoders.Encoder, error) {
	if d.before != nil {
		<-d.before
	}
	d.opening.Lock()
	defer d.opening.Unlock()
	if enc, _ := d.open(); enc != nil {
		return enc, nil
	}
	if !inHand && !d.c.claims.free(d.at.Device) {
		e.Version = ""
	}
	enc, version, err := d.c.cfg.Open(e, job)
	if err != nil {
		return nil, fmt.Errorf("encoder %s: %w", e.Name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.enc, d.version = enc, version
	return enc, nil
}

func (d *device) open() (enc encoders.Encoder, version string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.enc, d.version
}

// renew closes the driver when it was opened with other settings than those of e. The caller knows
// that nothing runs there, or that what runs is to be found with the new settings.
func (d *device) renew(e machine.EncoderSpec) {
	d.opening.Lock()
	defer d.opening.Unlock()
	if d.outdated(e.Version) {
		d.reopen()
	}
}

// renewIdle is renew, unless somebody has come to use the device meanwhile: a start renews the
// driver itself.
func (d *device) renewIdle(e machine.EncoderSpec) {
	d.opening.Lock()
	defer d.opening.Unlock()
	if d.outdated(e.Version) && d.c.claims.free(d.at.Device) {
		d.reopen()
	}
}

// outdated reports whether the driver was opened with another version of the settings.
func (d *device) outdated(version string) bool {
	enc, was := d.open()
	return enc != nil && was != version
}

// again has the driver opened anew, whatever its settings are.
func (d *device) again() {
	d.opening.Lock()
	defer d.opening.Unlock()
	d.reopen()
}

// reopen closes the driver, and the watch goes on with the next one. The caller holds opening.
func (d *device) reopen() {
	d.shut()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.replaced++
	d.rewatch()
}

func (d *device) close() {
	d.opening.Lock()
	defer d.opening.Unlock()
	d.shut()
}

// shut ends the watch and closes the driver. The caller holds opening.
func (d *device) shut() {
	d.mu.Lock()
	enc := d.enc
	d.enc, d.last = nil, encoders.Status{}
	d.endWatch()
	d.mu.Unlock()
	if closer, ok := enc.(encoders.Closer); ok {
		if err := closer.Close(); err != nil {
			d.c.cfg.Log.Warn("the driver of an encoder does not close", "encoder", d.at.Device, "error", err)
		}
	}
}

// addUser has the stream told of every look at the device from now on, the latest one first.
func (d *device) addUser(s *stream, u user) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, there := d.users[s]
	d.users[s] = u
	d.rewatch()
	if !there && d.watch != nil && d.last.State != "" {
		s.observe(machine.EncoderSeen{Encoder: u.spec.Name, Instance: d.at, Version: d.version, Status: d.last})
	}
}

// has reports whether the stream is told of the device, for that run and with those settings.
func (d *device) has(s *stream, spec machine.EncoderSpec, run string, active bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	was, there := d.users[s]
	return there && was.active == active && was.job.Run == run && was.spec == spec
}

// removeUser ends that.
func (d *device) removeUser(s *stream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, there := d.users[s]; !there {
		return
	}
	delete(d.users, s)
	d.rewatch()
}

// rewatch makes the watch that of the stream at whose word the device may run, or of any when it is
// nobody's. The caller holds mu.
func (d *device) rewatch() {
	var lead user
	want := watching{opened: d.replaced}
	for s, u := range d.users {
		if want.stream == nil || u.active && !lead.active || u.active == lead.active && s == d.watched.stream {
			lead, want.stream, want.run = u, s, u.job.Run
		}
	}
	if d.watch != nil && want == d.watched {
		return
	}
	d.endWatch()
	if want.stream == nil || d.c.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(d.c.ctx)
	d.watch, d.watched = cancel, want
	d.c.calls.Go(func() { d.look(ctx, lead) })
}

func (d *device) endWatch() {
	if d.watch != nil {
		d.watch()
		d.watch, d.watched, d.last = nil, watching{}, encoders.Status{}
	}
}

const (
	lookEvery   = time.Second // how often a driver that cannot watch is asked
	openAgain   = time.Second // after which a driver that did not open is tried again; it doubles
	openAgainIn = 30 * time.Second
)

// look watches until ctx ends, with a driver that is opened as soon as it can be.
func (d *device) look(ctx context.Context, u user) {
	report := func(st encoders.Status) { d.report(ctx, st) }
	wait := openAgain
	for ctx.Err() == nil {
		enc, err := d.driver(u.spec, u.job, u.active)
		if err == nil {
			wait = openAgain
			if w, ok := enc.(encoders.Watcher); ok {
				_ = w.Watch(ctx, u.job, report)
			} else {
				poll(ctx, enc, u.job, report)
			}
		} else {
			report(encoders.Status{State: encoders.StateUnknown, Error: err.Error()})
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
			wait = min(2*wait, openAgainIn)
		}
	}
}

// report hands a look to all who are told, unless it is of a watch that is over.
func (d *device) report(ctx context.Context, st encoders.Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	d.last = st
	for s, u := range d.users {
		s.observe(machine.EncoderSeen{Encoder: u.spec.Name, Instance: d.at, Version: d.version, Status: st})
	}
}

func poll(ctx context.Context, enc encoders.Encoder, job encoders.Job, report func(encoders.Status)) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if st, err := enc.Status(ctx, job); err == nil {
			report(st)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
